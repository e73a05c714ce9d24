"""Dask collections as rows in blocks: what fits on a cluster and in one process share."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.utils import is_dataframe_like, is_series_like
from numpy.typing import NDArray

__all__ = ["as_array", "feature_names", "weight_blocks"]


def feature_names(X: Any) -> list[str] | None:
    """Return the names of the columns of a frame, if they are strings."""
    named = is_dataframe_like(X) and all(isinstance(name, str) for name in X.columns)
    return list(X.columns) if named else None


def as_array(X: Any) -> Any:
    """Return a collection as a 2-D dask array with whole rows in each block, of floats if it is a frame.

    Raises
    ------
    TypeError
        If it is another collection.
    ValueError
        If it is not 2-D, or has columns that are not numeric.
    """
    if is_dataframe_like(X):
        numeric = {name: _is_numeric(dtype) for name, dtype in X.dtypes.items()}
        if not all(numeric.values()):
            raise ValueError(
                f"X should have numeric columns, but these are not: {[n for n in numeric if not numeric[n]]}"
            )
        single = all(dtype == np.float32 for dtype in X.dtypes)
        dtype = np.dtype(np.float32 if single else np.float64)
        d = len(numeric)
        blocks = [
            da.from_delayed(dask.delayed(_values, pure=False)(part, dtype), shape=(np.nan, d), dtype=dtype)
            for part in X.to_delayed()
        ]
        return da.concatenate(blocks, allow_unknown_chunksizes=True)
    if not isinstance(X, da.Array):
        raise TypeError(f"X should be a dask array or dataframe, but got {type(X).__name__}.")
    if X.ndim != 2:
        raise ValueError(f"Expected 2D array, got {X.ndim}D array instead: X has shape {X.shape}.")
    return X.rechunk({1: -1}) if X.numblocks[1] > 1 else X


def _is_numeric(dtype: Any) -> bool:
    """Tell whether a dtype of NumPy or an extension is of real numbers."""
    return getattr(dtype, "kind", "O") in "biuf"


def _values(frame: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a partition as an array; what is missing is NaN."""
    return np.ascontiguousarray(frame.to_numpy(dtype=dtype, na_value=np.nan))


def weight_blocks(sample_weight: Any, rows: Any) -> Sequence[Any]:
    """Return the weights of each block of rows: None, or delayed arrays.

    Parameters
    ----------
    sample_weight : dask collection, array-like of shape (n_samples,), number or None
        Weights.
    rows : dask.array.Array of shape (n_samples, n_features)
        Of :func:`as_array`.

    Returns
    -------
    blocks : sequence
        One for each block of rows.

    Raises
    ------
    ValueError
        If the weights are not 1-D, or cannot be cut as the rows are.
    """
    n_blocks = rows.numblocks[0]
    if sample_weight is None:
        return [None] * n_blocks
    if isinstance(sample_weight, Real):
        return [dask.delayed(_full, pure=False)(block, sample_weight) for block in rows.to_delayed().ravel()]
    known = not np.isnan(rows.shape[0])
    if not dask.is_dask_collection(sample_weight):
        if not known:
            raise ValueError(
                "X does not know the lengths of its blocks, so that an array cannot be cut to them: pass sample_weight "
                "as a dask collection with the same blocks, or call X.compute_chunk_sizes() first."
            )
        sample_weight = da.from_array(np.asarray(sample_weight), chunks=-1)
    elif is_series_like(sample_weight):
        sample_weight = sample_weight.to_dask_array()
    if sample_weight.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got {sample_weight.ndim}D array.")
    if known and not np.isnan(sample_weight.shape[0]):
        if sample_weight.shape[0] != rows.shape[0]:
            raise ValueError(f"sample_weight.shape == {sample_weight.shape}, expected {(rows.shape[0],)}!")
        sample_weight = sample_weight.rechunk((rows.chunks[0],))
    if sample_weight.numblocks[0] != n_blocks:
        raise ValueError(f"X has {n_blocks} blocks, but sample_weight has {sample_weight.numblocks[0]}.")
    blocks: Sequence[Any] = sample_weight.to_delayed().ravel()
    return blocks


def _full(X: Any, weight: float) -> NDArray[np.float64]:
    return np.full(len(X), weight, dtype=np.float64)
