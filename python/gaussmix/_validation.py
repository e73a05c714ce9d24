"""Checks of what users pass: scikit-learn's own validators and wording, without copying the data."""

from __future__ import annotations

import inspect
import numbers
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from sklearn.utils import assert_all_finite, check_array
from sklearn.utils.validation import _check_sample_weight, validate_data

from gaussmix._dispatch import core, covariance_shape
from gaussmix._progress import warn

FLOATS = (np.float64, np.float32)
# scikit-learn >= 1.9 refuses weights that are all zero, unless it is told to leave that to us.
_ALLOW_ZERO = {"allow_all_zero_weights": True}
if not _ALLOW_ZERO.keys() <= inspect.signature(_check_sample_weight).parameters.keys():
    _ALLOW_ZERO = {}


class Rows(NamedTuple):
    """Checked rows: the arrays that hold them (one 2-D, or one a column), shape and dtype."""

    arrays: list[NDArray[Any]]
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    def data(self, sample_weight: NDArray[np.float64] | None = None) -> core.Data:
        """Return the view that the core takes."""
        return core.Data(self.arrays, sample_weight)

    def total(self, sample_weight: NDArray[np.float64] | None) -> float:
        """Return the total weight, which without weights is the number of rows."""
        return float(self.shape[0]) if sample_weight is None else float(sample_weight.sum())

    def take(self, chosen: NDArray[np.int64]) -> Rows:
        """Return a copy of the chosen rows."""
        return Rows([a[chosen] for a in self.arrays], (len(chosen), self.shape[1]), self.dtype)


def _frame_columns(X: Any) -> list[NDArray[Any]] | None:
    """Return the columns of a pandas or polars frame without a copy; None if some are not plain floats."""
    if hasattr(X, "iloc"):
        columns = [X.iloc[:, j] for j in range(X.shape[1])]
        if any(getattr(c, "dtype", None) not in FLOATS for c in columns):
            return None
        return [c.to_numpy() for c in columns]
    if type(X).__module__.partition(".")[0] == "polars" and hasattr(X, "get_columns"):
        columns = X.get_columns()
        if any(str(c.dtype) not in ("Float64", "Float32") or c.null_count() for c in columns):
            return None
        return [c.rechunk().to_numpy() for c in columns]
    return None


def check_rows(estimator: Any, X: Any, *, reset: bool, min_samples: int = 1) -> Rows:
    """Check X as scikit-learn does, and take its floats as they lie: any strides, frames column by column.

    Raises
    ------
    ValueError
        If X is not a 2-D array of finite numbers with the features of the fit.
    """
    columns = _frame_columns(X) if len(getattr(X, "shape", ())) == 2 and min(X.shape) > 0 else None
    if columns is not None and len(columns[0]) >= min_samples:
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        for column in columns:
            assert_all_finite(column, estimator_name=type(estimator).__name__, input_name="X")
        shape = (len(columns[0]), len(columns))
        arrays = [_aligned(c) for c in columns]
    else:
        X = validate_data(estimator, X, reset=reset, dtype=list(FLOATS), ensure_min_samples=min_samples)
        shape = X.shape
        arrays = [_aligned(X)]
    return Rows(arrays, shape, np.result_type(*arrays))


def _aligned(a: NDArray[Any]) -> NDArray[Any]:
    """Return the array, copied only where its strides are not whole numbers (a field of a structured array)."""
    if a.flags.aligned and all(s % a.itemsize == 0 for s in a.strides):
        return a
    return a.copy()


def check_weights_of_rows(sample_weight: Any, rows: Rows, n_components: int = 1) -> NDArray[np.float64] | None:
    """Check weights of rows: one for each, finite, not negative, at least `n_components` of them positive.

    With `n_components` 0, all may be zero.

    Raises
    ------
    ValueError
        If they are not.
    """
    if sample_weight is None:
        return None
    if isinstance(sample_weight, numbers.Number):
        weights = np.full(rows.shape[0], sample_weight, dtype=np.float64)
        assert_all_finite(weights, input_name="sample_weight")
    else:
        weights = _check_sample_weight(sample_weight, np.empty((rows.shape[0], 0)), dtype=np.float64, **_ALLOW_ZERO)
    if (weights < 0).any():
        raise ValueError("Negative values in data passed to `sample_weight`; weights must be zero or positive.")
    positive = int(np.count_nonzero(weights))
    if positive == 0 < n_components:
        raise ValueError("Sample weights must contain at least one non-zero number; `sample_weight` is all zero.")
    if positive < n_components:
        raise ValueError(
            f"Expected at least n_components = {n_components} rows with a positive sample_weight, but got {positive}; "
            "decrease n_components."
        )
    with np.errstate(over="ignore"):
        total = weights.sum()
    if not np.isfinite(total):
        raise ValueError("The sum of `sample_weight` overflows; divide the weights by their maximum.")
    return np.ascontiguousarray(weights)


def warn_of_small_weights(sample_weight: NDArray[np.float64] | None, n_components: int) -> None:
    """Warn where weights sum to less than one row a component: they were probably normalised to sum to 1."""
    if sample_weight is not None and sample_weight.sum() < n_components:
        warn(
            f"sample_weight sums to {sample_weight.sum():.3g}, less than n_components = {n_components}. The fit does "
            "not depend on the scale of the weights, but aic, bic and icl take their sum for the number of rows; "
            "multiply them by n_samples / sum(sample_weight) if they were normalised.",
            UserWarning,
        )


def _check_floats(values: ArrayLike, name: str) -> NDArray[Any]:
    """Check numbers as scikit-learn does, whose look at what else they might be takes longer than a small fit."""
    if type(values) is np.ndarray and values.dtype in FLOATS and np.isfinite(values).all():
        return values
    checked: NDArray[Any] = check_array(
        values, dtype=list(FLOATS), ensure_2d=False, allow_nd=True, ensure_min_samples=0, input_name=name
    )
    return checked


def _check_shape(array: NDArray[Any], shape: tuple[int, ...], name: str) -> None:
    if array.shape != shape:
        raise ValueError(f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}")


def check_mixture_weights(weights: ArrayLike, n_components: int) -> NDArray[Any]:
    """Check proportions of components: shape (n_components,), in [0, 1], with sum 1.

    Raises
    ------
    ValueError
        If they are not.
    """
    checked = _check_floats(weights, "weights")
    _check_shape(checked, (n_components,), "weights")
    if (checked < 0).any() or (checked > 1).any():
        # The minimum stands where the maximum is announced: scikit-learn's wording, which its tests hold fast.
        raise ValueError(
            "The parameter 'weights' should be in the range [0, 1], but got max value "
            f"{checked.min():.5f}, min value {checked.max():.5f}"
        )
    if abs(1 - checked.sum()) > (1e-6 if checked.dtype == np.float32 else 1e-8):
        raise ValueError(f"The parameter 'weights' should be normalized, but got sum(weights) = {checked.sum():.5f}")
    return checked


def check_means(means: ArrayLike, n_components: int, n_features: int) -> NDArray[Any]:
    """Check means: shape (n_components, n_features), finite.

    Raises
    ------
    ValueError
        If they are not.
    """
    checked = _check_floats(means, "means")
    _check_shape(checked, (n_components, n_features), "means")
    return checked


def check_matrices(
    matrices: ArrayLike, covariance_type: str, n_components: int, n_features: int, kind: str = "precision"
) -> NDArray[Any]:
    """Check covariances or precisions: the shape of their type, positive, symmetric; precisions also definite.

    Whether covariances are positive-definite the core finds out, which factors them: an eigenvalue near 0 beside a
    large one is rounding.

    Raises
    ------
    ValueError
        If they are not.
    """
    name = f"{covariance_type} {kind}"
    checked = _check_floats(matrices, name)
    shape = covariance_shape(covariance_type, n_components, n_features)
    _check_shape(checked, shape, name)
    if len(shape) < 2 or covariance_type == "diag":
        if (checked <= 0).any():
            raise ValueError(f"'{name}' should be positive")
    else:
        stack = checked.reshape(-1, n_features, n_features)
        for part in np.array_split(stack, 1 + stack.size // 2**20):  # many small ones at once, large ones one by one
            if len(part) == 0:
                continue
            size = np.abs(part)
            tolerance = 1e-8 * size.max(axis=(1, 2), keepdims=True) + 1e-5 * size
            symmetric = (np.abs(part - part.swapaxes(1, 2)) <= tolerance).all()
            if not (symmetric and (kind == "covariance" or (np.linalg.eigvalsh(part) > 0).all())):
                raise ValueError(f"'{name}' should be symmetric, positive-definite")
    return checked


def output_dtype(rows: Rows, parameters: NDArray[Any]) -> DTypeLike:
    """Return the dtype that scikit-learn gives results: that of rows and parameters together."""
    return np.result_type(rows.dtype, parameters.dtype)
