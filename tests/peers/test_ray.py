"""A local Ray with two workers, one of which is killed: every row once, equal to one process."""

from __future__ import annotations

import numpy as np
import pytest

from onnxlrp.integrations.ray import Explain
from tests.peers.many_rows import check_every_row_once, rows, write_model

pytestmark = [pytest.mark.engines, pytest.mark.filterwarnings("ignore")]
pa = pytest.importorskip("pyarrow")
ray = pytest.importorskip("ray", reason="needs ray[data]")
pytest.importorskip("ray.data", reason="needs ray[data]")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def cluster():
    # More CPUs than actors: reading and writing need some, too, and wait for ever where actors hold them all.
    ray.init(num_cpus=4, include_dashboard=False, logging_level="ERROR", object_store_memory=200 << 20)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


def test_every_row_once_though_a_worker_is_killed(cluster, tmp_path):
    model, mark = write_model(tmp_path), tmp_path / "killed"

    class Mortal(Explain):
        """Ends its own process without a word, once, in the middle of the rows."""

        def __call__(self, batch):
            if not mark.exists() and (batch["customer"] > 40_000).any():
                import os
                import signal

                mark.write_text(str(self._rows.explainer._session.get_session_options().intra_op_num_threads))
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(batch)

    explained = (
        ray.data.from_arrow(pa.table(rows()))
        .repartition(20)
        .map_batches(
            Mortal,
            fn_constructor_kwargs={"model": model, "ids": "customer"},
            batch_size=2500,
            compute=ray.data.ActorPoolStrategy(size=2),
        )
    )
    explained.write_parquet(str(tmp_path / "explained"))
    assert mark.read_text() == "1"
    check_every_row_once(parquet.read_table(tmp_path / "explained"), model)


def test_columns_that_do_not_fit_end_the_job(cluster, tmp_path):
    model = write_model(tmp_path)
    data = ray.data.from_arrow(pa.table(rows()).slice(0, 100)).drop_columns(["age"])
    how = {"fn_constructor_kwargs": {"model": model, "ids": "customer"}, "compute": ray.data.ActorPoolStrategy(size=1)}
    with pytest.raises(Exception, match="lacks column 'age'"):
        data.map_batches(Explain, **how).materialize()


def test_the_class_outside_of_ray(tmp_path):
    """Batches of any of Ray's formats give the same table."""
    explain = Explain(write_model(tmp_path), ids=["customer"], keep_inputs=False)
    some = {name: column[:10] for name, column in rows().items()}
    table = pa.table(some)
    found = explain(some)
    assert found.column_names[:2] == ["customer", "target"] and "age" not in found.column_names
    assert explain(table).equals(found) and explain(table.to_pandas()).equals(found)
    assert found["error"].null_count == 10 and np.isfinite(found["age_relevance"].to_numpy()).all()


def test_whole_numbers_beside_nulls_stay_exact(tmp_path):
    """numpy and pandas would make them floats, and 2^53 + 1 another customer."""
    some = {name: column[:2] for name, column in rows().items()}
    table = pa.table({**some, "customer": pa.array([2**53 + 1, None])})
    assert Explain(write_model(tmp_path), ids="customer")(table)["customer"].to_pylist() == [2**53 + 1, None]
