"""Entry point: `python -m tools.evaluation suite` judges `auto`, `python -m tools.evaluation quantus` times curves."""

from __future__ import annotations

import sys


def main(arguments: list[str]) -> None:
    """Run the measurement that is named first."""
    if arguments[:1] == ["quantus"]:
        from tools.evaluation import quantus_speed

        quantus_speed.main()
    elif arguments[:1] == ["suite"]:
        from tools.evaluation import suite

        suite.main(arguments[1:])
    else:
        raise SystemExit("python -m tools.evaluation suite | quantus")


if __name__ == "__main__":
    main(sys.argv[1:])
