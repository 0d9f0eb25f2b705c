#!/usr/bin/env bash
# EXPECTED: a model's NaN, given back by `predict_batch_udf`, is NaN in Spark's column, as that of an ordinary udf is.
# SEEN: it is null: averages leave it out, and isnan() and filters for NaN find nothing.
# WHY: NaN is how a model says that something is wrong with its answer. After the job it cannot be told from a missing
#   row, and the mean of the predictions looks healthy: 2.5 where an ordinary udf gives NaN.
# VERSIONS: pyspark 4.3.0, pyarrow 26.0.1, pandas 3.1.1, numpy 2.4.6. Needs a JRE (java). Seen 2026-11-30.
# OUTPUT (predictions of 4, -1 and 9, their mean, and how many isnan() finds):
#   predict_batch_udf [2.0, None, 3.0], mean 2.5, NaN 0; udf [2.0, nan, 3.0], mean nan, NaN 1
set -euo pipefail
command -v java >/dev/null || { echo "this finding needs a JRE" >&2; exit 1; }
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check pyspark==4.3.0 pyarrow==26.0.1 pandas==3.1.1 numpy==2.4.6
cd "$room"
SPARK_LOCAL_IP=127.0.0.1 PYSPARK_PYTHON="$room/venv/bin/python" "$room/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import numpy as np
from pyspark.ml.functions import predict_batch_udf
from pyspark.sql import SparkSession, functions as F
from pyspark.sql.types import DoubleType

builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
spark = builder.config("spark.ui.showConsoleProgress", "false").getOrCreate()


def make():
    return lambda x: np.where(x < 0, np.nan, np.sqrt(np.abs(x)))


in_batches = predict_batch_udf(make, return_type=DoubleType(), batch_size=10)
one_by_one = F.udf(lambda x: float("nan") if x < 0 else x**0.5, "double")
frame = spark.createDataFrame([(4.0,), (-1.0,), (9.0,)], ["x"]).coalesce(1)
results = {}
for name, function in (("predict_batch_udf", in_batches), ("udf", one_by_one)):
    done = frame.select(function("x").alias("y"))
    count = done.filter(F.isnan("y")).count()
    results[name] = ([row.y for row in done.collect()], done.agg(F.avg("y")).collect()[0][0], count)
print("; ".join(f"{name} {rows}, mean {mean}, NaN {count}" for name, (rows, mean, count) in results.items()))
assert results["predict_batch_udf"] == ([2.0, None, 3.0], 2.5, 0), "predict_batch_udf keeps NaN now"
assert np.isnan(results["udf"][1]) and results["udf"][2] == 1, "the control has changed"
PY
