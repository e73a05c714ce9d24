"""Sufficient statistics of rows under a mixture: what an E-step yields, adds up, and makes the next mixture.

They are the counts, means and covariances of the components, by which rows that lie in several places, arrive in
turn or must not be moved are fitted as if they were together (Dempster, Laird, Rubin 1977; merged as in Chan, Golub,
LeVeque 1979). One iteration of EM over the blocks of some rows::

    model = gaussmix.maximize(sum(Statistics.accumulate(model, X) for X in blocks))
"""

from __future__ import annotations

import dataclasses
import math
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval, validate_params

from gaussmix._dispatch import core, covariance_shape, full_model, threads
from gaussmix._mixture import CovarianceType, GaussianMixture
from gaussmix._passes import Moments
from gaussmix._validation import check_rows, check_weights_of_rows

__all__ = ["Statistics", "maximize"]

# Relative differences that whoever makes statistics from responsibilities of their own may have.
_TOLERANCE = 1e-6


@dataclasses.dataclass(frozen=True, eq=False)
class Statistics:
    r"""Weighted sufficient statistics of rows under a mixture.

    A value: its arrays are read-only copies, and `+` and `scale` return new ones. It pickles as its arrays, so that
    workers can send it.

    Parameters
    ----------
    covariance_type : {"full", "tied", "diag", "spherical"}
        Type of the covariances.
    counts : ndarray of shape (n_components,)
        Weight of the rows of each component, :math:`N_k = \sum_n w_n r_{nk}`; they sum to `total_weight`.
    means : ndarray of shape (n_components, n_features)
        Their means.
    covariances : ndarray
        Their covariances about these means, in the shape of `GaussianMixture.covariances_`; nothing is added to the
        variances. If "tied", the mean of them, weighted by the counts.
    log_likelihood : float
        :math:`\sum_n w_n \log p(x_n)` under the model that they were taken under.
    total_weight : float
        Sum of the weights of the rows.
    feature_names : tuple of str or None, default=None
        Names of the features, where the model has them.

    Raises
    ------
    ValueError
        If the shapes do not fit together, a number is not finite, a count, variance or the total weight is negative, a
        covariance is not symmetric, or the counts do not sum to the total weight.

    See Also
    --------
    maximize : The mixture of these statistics.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixture, Statistics, maximize
    >>> X = np.random.default_rng(0).normal(size=(1000, 2))
    >>> model = GaussianMixture(n_components=2, random_state=0).fit(X)
    >>> parts = [Statistics.accumulate(model, block) for block in np.split(X, 4)]
    >>> whole = Statistics.accumulate(model, X)
    >>> np.allclose(sum(parts).means, whole.means)
    True
    >>> maximize(whole).score(X) >= model.score(X)
    True
    """

    covariance_type: CovarianceType
    counts: NDArray[np.float64]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]
    log_likelihood: float
    total_weight: float
    feature_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.covariance_type not in core.statistics:
            raise ValueError(f"covariance_type must be one of {sorted(core.statistics)}, got {self.covariance_type!r}.")
        for name in ("counts", "means", "covariances"):
            array = np.array(getattr(self, name), dtype=np.float64, order="C")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if self.means.ndim != 2:
            raise ValueError(f"means must have 2 dimensions, but got shape {self.means.shape}.")
        k, d = self.means.shape
        shapes = {"counts": (k,), "covariances": covariance_shape(self.covariance_type, k, d)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} should have the shape of {shape}, but got {getattr(self, name).shape}.")
        self._compiled()  # checks that values are finite, and no weight is negative
        if (_variances(self.covariance_type, self.covariances) < 0).any():
            raise ValueError("variances must not be negative.")
        if self.covariance_type in ("full", "tied"):
            asymmetry = np.abs(self.covariances - np.swapaxes(self.covariances, -1, -2)).max()
            if asymmetry > _TOLERANCE * np.abs(self.covariances).max():
                raise ValueError("covariances must be symmetric.")
        with np.errstate(over="ignore"):
            sum_of_counts = float(self.counts.sum())
        if not math.isclose(sum_of_counts, self.total_weight, rel_tol=_TOLERANCE, abs_tol=np.finfo(np.float64).tiny):
            raise ValueError(f"counts must sum to total_weight = {self.total_weight!r}, but sum to {sum_of_counts!r}.")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    @classmethod
    def accumulate(cls, model: GaussianMixture, X: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Return the statistics of rows under a model: an E-step.

        Parameters
        ----------
        model : GaussianMixture
            A fitted estimator.
        X : array-like of shape (n_samples, n_features)
            Rows. The sums are taken in double precision also where they are float32, so that it does not matter how
            rows are divided.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; they may all be zero.

        Returns
        -------
        statistics : Statistics
            Their counts sum to the total weight.

        Raises
        ------
        TypeError
            If the model is not a :class:`GaussianMixture`.
        NotFittedError
            If it is not fitted.
        ValueError
            If X has another number of features, X or the weights are not valid, or the statistics overflow.
        """
        if not isinstance(model, GaussianMixture):
            raise TypeError(f"model should be a gaussmix.GaussianMixture, but got {model!r}.")
        model._check_fitted()
        rows = check_rows(model, X, reset=False)
        weights = check_weights_of_rows(sample_weight, rows, n_components=0)
        kind, names = model.covariance_type, getattr(model, "feature_names_in_", None)
        names = None if names is None else tuple(names)
        if not rows.total(weights) > 0:
            shapes = (np.shape(model.weights_), np.shape(model.means_), np.shape(model.precisions_cholesky_))
            counts, means, matrices = (np.zeros(shape) for shape in shapes)
            return cls(kind, counts, means, matrices, 0.0, 0.0, names)
        return cls._of(full_model(model).accumulate(rows.data(weights), threads(model.n_threads)), kind, names)

    def __add__(self, other: object) -> Self:
        """Return the statistics of the rows of both, under the same model.

        Parameters
        ----------
        other : Statistics
            Of the same type, sizes and names of features. `sum` begins with 0, which adds nothing.

        Returns
        -------
        statistics : Statistics
            Their sum.

        Raises
        ------
        ValueError
            If types, sizes or names differ, or the sum overflows.
        """
        if isinstance(other, int) and other == 0:
            return self
        if not isinstance(other, Statistics):
            return NotImplemented
        if self.covariance_type != other.covariance_type or self.means.shape != other.means.shape:
            raise ValueError(
                f"Statistics of {self._what()} and of {other._what()} cannot be added: they are not of the same model."
            )
        names = self.feature_names or other.feature_names
        if names != (other.feature_names or names):
            raise ValueError("Statistics of features with other names cannot be added: they are not of the same model.")
        total = self._compiled()
        total.merge(other._compiled())
        return self._of(total, self.covariance_type, names)

    __radd__ = __add__

    def scale(self, factor: float) -> Self:
        """Return the statistics of the same rows with all weights times a factor.

        Parameters
        ----------
        factor : float
            A positive number; a number below 1 is how a stream forgets.

        Returns
        -------
        statistics : Statistics
            With the same means and covariances.

        Raises
        ------
        ValueError
            If the factor is not a positive number, or the weights overflow.
        """
        if not (isinstance(factor, Real) and np.isfinite(factor) and factor > 0):
            raise ValueError(f"factor must be a positive finite number, got {factor!r}.")
        scaled = self._compiled()
        scaled.scale(float(factor))
        return self._of(scaled, self.covariance_type, self.feature_names)

    def _compiled(self) -> core.Statistics:
        moments = Moments(self.counts, self.means, self.covariances, self.log_likelihood, self.total_weight)
        return core.statistics[self.covariance_type](*moments)

    @classmethod
    def _of(cls, s: core.Statistics, covariance_type: CovarianceType, names: tuple[str, ...] | None) -> Self:
        """Return compiled statistics as arrays, in the shapes of their type."""
        moments = Moments.of(s)
        for name, value in moments._asdict().items():
            if not np.isfinite(value).all():
                cause = "features" if name in ("means", "covariances") else "weights"
                raise ValueError(f"{name} of the statistics overflow; divide the {cause} by a constant.")
        found = moments.covariances.reshape(covariance_shape(covariance_type, *moments.means.shape)).copy()
        variances = _variances(covariance_type, found)
        np.maximum(variances, 0, out=variances)  # of equal rows they are rounding
        return cls(covariance_type, *moments._replace(covariances=found), names)

    def _what(self) -> str:
        k, d = self.means.shape
        return f"{k} {self.covariance_type!r} components in {d} dimensions"


def _variances(covariance_type: CovarianceType, covariances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the variances in covariances: a view."""
    return np.einsum("...ii->...i", covariances) if covariance_type in ("full", "tied") else covariances


@validate_params(
    {"statistics": [Statistics], "reg_covar": [Interval(Real, 0.0, None, closed="left")]},
    prefer_skip_nested_validation=True,
)
def maximize(statistics: Statistics, reg_covar: float = 1e-6, **params: Any) -> GaussianMixture:
    """Return the mixture of greatest likelihood given statistics: an M-step (Bishop 2006, eq. 9.24 to 9.26).

    Parameters
    ----------
    statistics : Statistics
        Every component needs a count.
    reg_covar : float, default=1e-6
        Added to the variances.
    **params
        Further parameters of the estimator.

    Returns
    -------
    model : GaussianMixture
        Ready to predict and sample, with the names of the features. `lower_bounds_` holds the mean log-likelihood of
        the rows under the model that the statistics were taken under; that of this one is not known, so that
        `lower_bound_` is minus infinity.

    Raises
    ------
    ValueError
        If the total weight is 0, a component has no count, or a covariance is singular.

    See Also
    --------
    Statistics.accumulate : The E-step.
    GaussianMixture.partial_fit : EM over batches, in which components that collapse are repaired.
    """
    if not statistics.total_weight > 0:
        raise ValueError("statistics must have a positive total count and a positive total weight.")
    least = np.finfo(np.float64).eps * statistics.counts.sum()
    empty = np.flatnonzero(statistics.counts <= least).tolist()
    if empty:
        raise ValueError(
            f"Components {empty} have no count: no row is theirs. Use fewer components, or fit or partial_fit, which "
            "start such components again."
        )
    kind = statistics.covariance_type
    model = GaussianMixture(len(statistics.counts), covariance_type=kind, reg_covar=reg_covar, **params)
    model._validate_params()
    weights, means, covariances, factors = statistics._compiled().maximize(reg_covar, threads(model.n_threads))
    model._set_unseen(weights, means, covariances, factors, np.dtype(np.float64))
    if statistics.feature_names is not None:
        model.feature_names_in_ = np.array(statistics.feature_names, dtype=object)
    model.lower_bounds_ = [statistics.log_likelihood / statistics.total_weight]
    model.n_iter_ = 1
    model._total_weight = statistics.total_weight
    model._added = reg_covar
    return model
