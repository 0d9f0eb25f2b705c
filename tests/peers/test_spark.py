"""A local Spark with two tasks at a time, one of whose workers is killed: every row once, equal to one process."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import onnx.parser
import pytest

import onnxlrp
from onnxlrp.errors import InputError
from onnxlrp.integrations.spark import explain_udf
from tests.peers.many_rows import check_every_row_once, rows, write_model
from tests.peers.test_frames import IMAGE

pytestmark = [pytest.mark.engines, pytest.mark.filterwarnings("ignore")]
pd = pytest.importorskip("pandas")
parquet = pytest.importorskip("pyarrow.parquet")
sql = pytest.importorskip("pyspark.sql", reason="needs pyspark")
if shutil.which("java") is None:
    pytest.skip("Spark needs a JRE: there is no java", allow_module_level=True)


@pytest.fixture(scope="module")
def spark():
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = sql.SparkSession.builder.master("local[2,4]")  # a task is tried four times; with local[2] once
    for name, value in (("ui.enabled", "false"), ("driver.memory", "1g"), ("sql.shuffle.partitions", "2")):
        builder = builder.config(f"spark.{name}", value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def workers():
    """Processes of Python workers that this process's Spark has forked from its daemon."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            is_worker = b"pyspark.daemon" in (place / "cmdline").read_bytes()
            family = [int(place.name)]
            while is_worker and family[-1] > 1 and family[-1] != os.getpid():
                family.append(parent(family[-1]))
            is_fork = is_worker and b"pyspark.daemon" in Path(f"/proc/{family[1]}/cmdline").read_bytes()
        except (OSError, IndexError):
            continue
        if is_fork and family[-1] == os.getpid():
            found.append(family[0])
    return found


def kill_one(after, killed):
    """Kill a worker as soon as the job has written something."""
    for _ in range(6000):
        if any(after.rglob("*.parquet")) and (pids := workers()):
            os.kill(pids[0], signal.SIGKILL)
            killed.append(pids[0])
            return
        time.sleep(0.01)


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the workers in /proc")
def test_every_row_once_though_a_worker_is_killed(spark, tmp_path):
    model, out, killed = write_model(tmp_path), tmp_path / "explained", []
    frame = spark.createDataFrame(pd.DataFrame(rows())).repartition(24)
    explain = explain_udf(model, batch_size=1000)
    done = frame.select("*", explain("age", "income", "visits").alias("explained")).select("*", "explained.*")
    killer = threading.Thread(target=kill_one, args=(out, killed))
    killer.start()
    done.drop("explained").write.parquet(str(out))
    killer.join()
    assert len(killed) == 1
    check_every_row_once(parquet.read_table(out), model)


def test_a_field_of_numbers(spark):
    """An input that is no column comes and goes as an array; a row that does not fit is marked."""
    field = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)
    model = onnxlrp.convert(onnx.parser.parse_model(IMAGE))
    frame = spark.createDataFrame(pd.DataFrame({"field": list(field)})).selectExpr("cast(field as array<float>) field")
    explain = explain_udf(model, ["field"], shapes={"field": (2, 3)}, batch_size=3)
    got = frame.select(explain("field").alias("e")).select("e.*").toPandas()
    wanted = onnxlrp.Explainer(model)(field.reshape(7, 2, 3)).relevance["field"].reshape(7, 6)
    np.testing.assert_allclose(np.stack(got["field_relevance"]), wanted, rtol=1e-6)
    assert got["error"].isna().all() and list(got.columns) == [
        "target",
        "score",
        "total_relevance",
        "field_relevance",
        "error",
    ]


def test_what_does_not_fit_is_said_before_the_job(tmp_path):
    with pytest.raises(InputError, match="lacks column 'visits'"):
        explain_udf(write_model(tmp_path), ["age", "income"])
