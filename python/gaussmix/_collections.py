"""Dask collections as rows in blocks: what fits on a cluster and in one process share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from numbers import Real
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.core import flatten
from dask.utils import is_dataframe_like, is_series_like

__all__ = ["as_array", "feature_names", "futures", "futures_of_blocks", "to_rows", "weight_blocks"]


def futures(collections: Any) -> list[Any]:
    """Return the futures in the graphs of collections: what lies on a cluster, or is made there."""
    distributed = sys.modules.get("distributed")  # without it there are none
    return [] if distributed is None else list(distributed.futures_of(collections))


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
            da.from_delayed(dask.delayed(to_rows, pure=False)(part, dtype), shape=(np.nan, d), dtype=dtype)
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


def to_rows(part: Any, dtype: np.dtype[Any]) -> Any:
    """Return a partition as an array, if it is a frame; what is missing is NaN."""
    return np.ascontiguousarray(part.to_numpy(dtype=dtype, na_value=np.nan)) if is_dataframe_like(part) else part


def futures_of_blocks(X: Any, rows: Any) -> list[Any]:
    """Return the future of each block that was persisted as it is, and None for the others, which are to be made.

    Parameters
    ----------
    X : dask.array.Array or dask.dataframe.DataFrame of shape (n_samples, n_features)
        Rows as they were given.
    rows : dask.array.Array of shape (n_samples, n_features)
        The same of :func:`as_array`.

    Returns
    -------
    futures : list of distributed.Future or None
        One for each block.
    """
    known = {future.key: future for future in futures(X)}
    if not known:
        return [None] * rows.numblocks[0]
    parts = X if is_dataframe_like(X) else rows
    graph = dict(parts.__dask_graph__())
    found = []
    for key in flatten(parts.__dask_keys__()):
        while key not in known:
            other = getattr(graph.get(key), "target", graph.get(key))
            if not isinstance(other, str | tuple) or other not in graph:
                break
            key = other  # another name for it
        found.append(known.get(key))
    return found


def weight_blocks(sample_weight: Any, rows: Any) -> Sequence[Any]:
    """Return the weights of each block of rows: None, a number for all, or delayed arrays.

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
    TypeError
        If they are another collection.
    ValueError
        If the weights are not 1-D, or cannot be cut as the rows are.
    """
    n_blocks = rows.numblocks[0]
    if sample_weight is None or isinstance(sample_weight, Real):
        return [sample_weight] * n_blocks
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
    if not isinstance(sample_weight, da.Array):
        raise TypeError(
            "sample_weight should be a dask array or series, an array or a number, but got "
            f"{type(sample_weight).__name__}."
        )
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
