"""One batch of a stream: its rows of positive weight."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from gaussmix._dispatch import core
from gaussmix._validation import Rows


class Batch(NamedTuple):
    """Rows of positive weight, in one array.

    Attributes
    ----------
    X : ndarray of shape (n_samples, n_features)
        The rows.
    weights : ndarray of shape (n_samples,) or None
        Their weights; None is one for each.
    """

    X: NDArray[Any]
    weights: NDArray[np.float64] | None

    @classmethod
    def of(cls, rows: Rows, weights: NDArray[np.float64] | None) -> Self:
        """Return checked rows without those of weight zero; they are views of the caller's where that is possible."""
        X = rows.arrays[0] if rows.arrays[0].ndim == 2 else np.column_stack(rows.arrays)
        if weights is None or weights.all():
            return cls(X, weights)
        present = np.flatnonzero(weights)
        return cls(X[present], weights[present])

    @classmethod
    def join(cls, batches: tuple[Batch, ...]) -> Self:
        """Return the rows of all batches, one after the other; of one batch without a copy."""
        if len(batches) == 1:
            return cls(*batches[0])
        X = np.concatenate([batch.X for batch in batches])
        if all(batch.weights is None for batch in batches):
            return cls(X, None)
        weights = [np.ones(len(b.X)) if b.weights is None else b.weights for b in batches]
        return cls(X, np.concatenate(weights))

    @property
    def weight(self) -> float:
        """The sum of the weights."""
        return float(len(self.X)) if self.weights is None else float(self.weights.sum())

    @staticmethod
    def joined_nbytes(batches: tuple[Batch, ...]) -> int:
        """Return the memory that `join` takes: that of doubles for all, where some are."""
        dtype = np.result_type(*(batch.X.dtype for batch in batches))
        weighted = any(batch.weights is not None for batch in batches)
        return sum(batch.X.size * dtype.itemsize + 8 * weighted * len(batch.X) for batch in batches)

    def copy(self) -> Self:
        """Return a copy, which is not the caller's memory."""
        return type(self)(self.X.copy(), None if self.weights is None else self.weights.copy())

    def data(self) -> core.Data:
        """Return the view that the core takes."""
        return core.Data([self.X], self.weights)

    def merge_repeated(self) -> Self:
        """Return each distinct row once, with the sum of its weights."""
        X, label = np.unique(self.X, axis=0, return_inverse=True)
        return type(self)(X, np.bincount(label.ravel(), self.weights, len(X)).astype(np.float64))

    def has_distinct(self, count: int) -> bool:
        """Return whether at least `count` rows are distinct; looks at no more of them than it must."""
        some = count
        while some < len(self.X) and len(np.unique(self.X[:some], axis=0)) < count:
            some *= 2
        return len(self.X) >= count and len(np.unique(self.X[:some], axis=0)) >= count
