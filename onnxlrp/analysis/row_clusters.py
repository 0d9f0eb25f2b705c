"""A few centres in the place of many rows of data, by k-means."""

from __future__ import annotations

import numpy as np

from onnxlrp.errors import InputError


def centres(rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Summarise rows [rows, columns] by at most `count` centres, in the rows' type, and the share of the rows of each.

    Every number of a centre is one that occurs in its column, so that an indicator stays 0 or 1. Raises InputError for
    rows with missing or infinite numbers, and if scikit-learn is not installed.
    """
    if not np.isfinite(rows).all():
        raise InputError(
            "background: k-means takes no missing or infinite numbers; give fewer rows instead, as they are"
        )
    distinct, shares = np.unique(rows, axis=0, return_counts=True)
    if len(distinct) <= count:
        return distinct, shares / len(rows)
    try:
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise InputError(
            "background: kmeans needs scikit-learn: pip install 'onnxlrp[clusters]', or give fewer rows, as they are"
        ) from error
    found = KMeans(count, n_init=10, random_state=0).fit(rows)
    columns = [
        _nearest(np.unique(column), wanted) for column, wanted in zip(rows.T, found.cluster_centers_.T, strict=True)
    ]
    return np.stack(columns, axis=1).astype(rows.dtype), np.bincount(found.labels_, minlength=count) / len(rows)


def _nearest(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Find the nearest of some values, which are sorted, to each wanted one."""
    after = np.clip(np.searchsorted(values, wanted), 1, max(values.size - 1, 1))
    lower, upper = values[after - 1], values[np.minimum(after, values.size - 1)]
    return np.where(wanted - lower <= upper - wanted, lower, upper)
