#!/usr/bin/env bash
# EXPECTED: a whole number in a column of a data set reaches the function of `map_batches` as it is.
# SEEN: where any other row of its batch is null, the column arrives as float64 in the default format "numpy", and whole
#   numbers above 2^53 as their neighbours: 9007199254740993 as 9007199254740992. The formats "pandas" and "pyarrow" keep
#   them.
# WHY: customer numbers and hashed categories are such numbers. Results are stored under another customer's, or another
#   category is scored, in those batches alone that hold a null; a test on complete rows passes. (Spark's
#   predict_batch_udf of pyspark 4.3.0 does the same, and has no other format.)
# VERSIONS: ray 2.60.0, pyarrow 26.0.1, pandas 3.1.1, numpy 2.4.6. Seen 2026-11-30.
# OUTPUT (format of the batch, type and values that the function gets):
#   numpy, complete: int64 [9007199254740993]
#   numpy, with a null: float64 [9007199254740992, none]
#   pandas, with a null: int64[pyarrow] [9007199254740993, none]
#   pyarrow, with a null: int64 [9007199254740993, none]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check "ray[data]==2.60.0" pyarrow==26.0.1 pandas==3.1.1 numpy==2.4.6
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import logging
import pandas as pd, pyarrow as pa, ray

BIG = 2**53 + 1
ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.CRITICAL, log_to_driver=False)
ray.data.DataContext.get_current().enable_progress_bars = False


def seen(values, batch_format):
    def look(batch):
        column = batch["customer"]
        cells = column.to_pylist() if hasattr(column, "to_pylist") else column.tolist()
        text = ", ".join("none" if pd.isna(cell) else str(int(cell)) for cell in cells)
        return pa.table({"seen": [f"{column.type if hasattr(column, 'type') else column.dtype} [{text}]"]})

    data = ray.data.from_arrow(pa.table({"customer": pa.array(values, pa.int64())}))
    return data.map_batches(look, batch_format=batch_format).take_all()[0]["seen"]


complete = seen([BIG], "numpy")
print("numpy, complete:", complete)
found = {name: seen([BIG, None], name) for name in ("numpy", "pandas", "pyarrow")}
for name, text in found.items():
    print(f"{name}, with a null: {text}")
assert complete == f"int64 [{BIG}]", "the control has changed"
assert found["pyarrow"] == f"int64 [{BIG}, none]", "the control has changed"
assert found["numpy"] == f"float64 [{BIG - 1}, none]", "whole numbers beside a null stay exact now"
PY
