"""Measurements of the evaluation: `python -m tools.evaluation` times it beside Quantus and writes results.md;
`python -m tools.evaluation tune` tunes the bundled image classifier and writes tuned.md and tuned.toml;
`python -m tools.evaluation tune-suite` tunes the small trained models and writes tuned_suite.md;
`python -m tools.evaluation suite` judges `auto` on the trained models and writes suite.md;
`python -m tools.evaluation methods` ranks other methods beside LRP and writes methods.md."""

from __future__ import annotations

import sys


def main(words: list[str]) -> None:
    """Run the measurement of this name, without a name the one beside Quantus."""
    if words == ["tune"]:
        from tools.evaluation import tuned_classifier

        tuned_classifier.main()
    elif words == ["tune-suite"]:
        from tools.evaluation import tuned_suite

        tuned_suite.main()
    elif words == ["methods"]:
        from tools.evaluation import methods_compared

        methods_compared.main()
    elif words[:1] == ["suite"]:
        from tools.evaluation import suite

        suite.main(words[1:])
    elif not words:
        from tools.evaluation import beside_quantus

        beside_quantus.main()
    else:
        sys.exit(
            "write `python -m tools.evaluation`, and `tune`, `tune-suite`, `suite` or `methods` after it for the others"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
