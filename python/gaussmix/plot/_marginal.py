r"""Marginals of a mixture over some of its features, and the rows that a picture shows.

The marginal of a Gaussian mixture over the features :math:`S` is the mixture with the same weights, the entries
:math:`\mu_{k,S}` of the means and the blocks :math:`\Sigma_{k,SS}` of the covariances (Bishop (2006), "Pattern
recognition and machine learning", equation 2.98). A slice, with the other features held fixed, would look narrower.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array, resample
from sklearn.utils.validation import _num_samples, check_is_fitted

from gaussmix._dispatch import covariances
from gaussmix._mixture import GaussianMixture

Features = Sequence[int | str] | int | str | None


class Marginal(NamedTuple):
    """A mixture over p features: weights (K,), means (K, p), covariances (K, p, p) and the names of the features."""

    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]
    feature_names: list[str]


class Rows(NamedTuple):
    """Rows to draw: points (m, p), the labels (m,) of their components and the responsibilities (m,) of these."""

    points: NDArray[np.float64]
    labels: NDArray[np.int64]
    certainty: NDArray[np.float64]


def check_mixture(estimator: Any) -> None:
    """Check that an estimator is a fitted Gaussian mixture.

    Raises
    ------
    TypeError
        If it is no Gaussian mixture.
    NotFittedError
        If it is not fitted.
    """
    searched = hasattr(estimator, "best_estimator_")
    if isinstance(estimator, GaussianMixture):
        estimator._check_fitted()
    elif not searched:
        check_is_fitted(estimator)
    lacking = [
        name
        for name in ("weights_", "means_", "covariance_type", "predict_proba", "score_samples")
        if not hasattr(estimator, name)
    ]
    if lacking:
        remedy = "its best_estimator_" if searched else "a fitted gaussmix.GaussianMixture"
        raise TypeError(f"estimator is a {type(estimator).__name__} without {', '.join(lacking)}; pass {remedy}.")


def check_features(estimator: Any, features: Features, counts: range) -> list[int]:
    """Return the indices of features given by index or name; None means all, or the first so many.

    Raises
    ------
    TypeError
        If a feature is neither an index nor a name.
    ValueError
        If there is no such feature, one comes twice, or their number is not in `counts`.
    """
    d = np.shape(estimator.means_)[1]
    names = getattr(estimator, "feature_names_in_", None)
    if features is None:
        indices = list(range(min(d, counts[-1])))
    else:
        given: Any = features if np.iterable(features) and not isinstance(features, str) else [features]
        indices = [_index(feature, d, names) for feature in given]
    allowed = " or ".join(str(n) for n in counts) if len(counts) < 3 else f"{counts[0]} to {counts[-1]}"
    if len(indices) not in counts:
        raise ValueError(f"features must choose {allowed} of the {d} features, but got {features!r}: {len(indices)}.")
    if len(set(indices)) < len(indices):
        raise ValueError(f"features must differ from one another, but got {features!r}.")
    return indices


def _index(feature: Any, d: int, names: NDArray[Any] | None) -> int:
    if isinstance(feature, str):
        if names is None:
            raise ValueError(
                f"features has the name {feature!r}, but the estimator was fitted to rows without names; give indices "
                f"0 ... {d - 1}, or fit it to a data frame."
            )
        if feature not in names:
            raise ValueError(f"features has the name {feature!r}, but the estimator knows {', '.join(names)}.")
        return int(np.flatnonzero(names == feature)[0])
    if not isinstance(feature, Integral) or isinstance(feature, bool):
        raise TypeError(f"features must be indices or names, but got {feature!r} of type {type(feature).__name__}.")
    index = int(feature)
    if not 0 <= index < d:
        raise ValueError(f"features has the index {index}, but indices go from 0 to {d - 1}.")
    return index


def marginal(estimator: Any, indices: Sequence[int]) -> Marginal:
    """Return the marginal of a mixture over some features, in double precision."""
    picked = list(indices)
    weights = np.asarray(estimator.weights_, dtype=np.float64)
    means = np.asarray(estimator.means_, dtype=np.float64)
    k, d = means.shape
    stored = np.asarray(covariances(estimator), dtype=np.float64)
    kind = estimator.covariance_type
    if kind in ("full", "tied"):
        blocks = stored.reshape(-1, d, d)[:, picked][:, :, picked]
    else:
        variances = np.broadcast_to(stored.reshape(k, -1), (k, d))[:, picked]
        blocks = variances[:, :, None] * np.eye(len(picked))
    names = getattr(estimator, "feature_names_in_", None)
    return Marginal(
        weights / weights.sum(),
        means[:, picked],
        np.array(np.broadcast_to(blocks, (k, len(picked), len(picked)))),
        [f"feature {j}" if names is None else str(names[j]) for j in picked],
    )


def over_features(estimator: Any, indices: Sequence[int]) -> Any:
    """Return a mixture that takes arrays with just these columns: the estimator itself where they are all it has."""
    d = np.shape(estimator.means_)[1]
    if list(indices) == list(range(d)):
        nameless = copy.copy(estimator)
        vars(nameless).pop("feature_names_in_", None)  # a grid has no names, and to say so would be a warning
        return nameless
    reduced = marginal(estimator, indices)
    precision = np.finfo(np.result_type(np.float32, np.asarray(estimator.means_).dtype))
    definite = _definite(reduced.covariances, float(precision.eps), float(precision.tiny))
    return GaussianMixture.from_parameters(reduced.weights, reduced.means, definite)


def _definite(matrices: NDArray[np.float64], eps: float, tiny: float) -> NDArray[np.float64]:
    """Return 1 x 1 or 2 x 2 covariances with correlations that fall short of 1 by the rounding of their dtype.

    A float32 model keeps the factors of its precisions, so its covariances may be singular after rounding.
    """
    definite = matrices.copy()
    diagonal = np.einsum("kii->ki", definite)
    np.maximum(diagonal, tiny, out=diagonal)
    if matrices.shape[1] == 2:
        bound = (1 - 4 * eps) * np.sqrt(diagonal[:, 0] * diagonal[:, 1])
        definite[:, 0, 1] = definite[:, 1, 0] = np.clip(definite[:, 0, 1], -bound, bound)
    return definite


def draw_rows(estimator: Any, X: Any, indices: Sequence[int], max_points: int | None) -> Rows:
    """Return the rows to draw: all, or `max_points` drawn without replacement, the same ones each time.

    Raises
    ------
    TypeError, ValueError
        If `max_points` is not a positive integer or None, or X is not what the estimator was fitted to.
    """
    if max_points is not None:
        if not isinstance(max_points, Integral) or isinstance(max_points, bool):
            raise TypeError(f"max_points must be an integer or None, but got {max_points!r}.")
        if max_points < 1:
            raise ValueError(f"max_points must be at least 1, but got {max_points}; None draws all rows.")
        if _num_samples(X) > max_points:
            X = resample(X, replace=False, n_samples=int(max_points), random_state=0)
    responsibilities = np.asarray(estimator.predict_proba(X), dtype=np.float64)
    points = check_array(X, dtype=[np.float64, np.float32])[:, list(indices)].astype(np.float64)
    return Rows(points, responsibilities.argmax(axis=1), responsibilities.max(axis=1))


def extent(
    values: NDArray[np.float64] | None, means: NDArray[np.float64], variances: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the ends (low, high) of an axis: the values with a tenth of their range, or the means with 3 deviations.

    Only a range of 0 takes the deviations although there are values.
    """
    if values is not None and values.max() > values.min():
        margin = 0.1 * (values.max() - values.min())
        return float(values.min() - margin), float(values.max() + margin)
    scales = 3 * np.sqrt(np.maximum(variances, np.finfo(np.float64).tiny))
    low, high = float((means - scales).min()), float((means + scales).max())
    if values is not None:
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    return (low, high) if high > low else (low - 0.5, high + 0.5)
