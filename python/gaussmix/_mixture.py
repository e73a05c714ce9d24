"""The estimator: scikit-learn's interface over the compiled core."""

from __future__ import annotations

import os
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, DensityMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import check_is_fitted

from gaussmix._batch import Batch
from gaussmix._dispatch import FITTED, core, covariance_shape, covariances, full_model, model, threads
from gaussmix._progress import CallbackSupportMixin, Reporter, warn, with_callbacks
from gaussmix._stream import Advance, Stream, advance, begin_with_model, join_buffer
from gaussmix._validation import (
    Rows,
    check_matrices,
    check_means,
    check_mixture_weights,
    check_rows,
    check_weights_of_rows,
    output_dtype,
    warn_of_small_weights,
)
from gaussmix.io import save

CovarianceType = Literal["full", "tied", "diag", "spherical"]


class FitEvent(NamedTuple):
    """Something that a fit had to repair.

    Attributes
    ----------
    cause : {"floored", "reseeded", "abandoned", "failed"}
        A singular covariance was given a floor; a component without rows was moved to a row that the model explains
        badly; one that must not be moved was left without weight; a restart ended without a model.
    component : int
        Index of the component; -1 for a whole restart.
    restart, iteration : int
        When it happened first: the restart counts from 0, the iteration from 1; 0 is the start itself.
    kept : bool
        Whether that restart is the one whose model was kept.
    """

    cause: str
    component: int
    restart: int
    iteration: int
    kept: bool


class FitRestart(NamedTuple):
    """One start of a fit, and how EM went from there.

    Attributes
    ----------
    lower_bounds : list of float
        Mean log-likelihood before each M-step, in nats a row; empty if the start failed.
    converged : bool
        Whether EM ended by `tol`.
    kept : bool
        Whether its model was kept.
    """

    lower_bounds: list[float]
    converged: bool
    kept: bool


_REMEDIES = {
    "floored": "have a singular covariance (they collapsed onto few rows or a subspace) and were given the smallest "
    "variance that the data resolve. Increase reg_covar, decrease n_components, or remove repeated rows or features.",
    "reseeded": "lost all rows and were started again on rows that the model explains worst. Decrease n_components, "
    "or try other init_params.",
    "abandoned": "lost all rows and were left with a weight of about 0, where they were. Decrease n_components, or "
    "start them elsewhere.",
}


class GaussianMixture(CallbackSupportMixin, DensityMixin, BaseEstimator):
    r"""Gaussian mixture fitted by expectation maximisation.

    The density is :math:`p(x) = \sum_k \pi_k\, N(x \mid \mu_k, \Sigma_k)`. Parameters, attributes and methods are those
    of :class:`sklearn.mixture.GaussianMixture`, and from the same start so are the numbers. On top of that rows may
    have weights, `n_threads` bounds the threads, and components that collapse are repaired instead of ending the fit.
    EM is that of Dempster, Laird and Rubin [1]_.

    Parameters
    ----------
    n_components : int, default=1
        Number of components K.
    covariance_type : {"full", "tied", "diag", "spherical"}, default="full"
        A covariance matrix for each component, one for all, a variance for each feature of each component, or one
        variance for each component.
    tol : float, default=1e-3
        EM ends when the mean log-likelihood changes by less, in nats a row; in memory, after a start from a part of
        many rows, by less than a tenth of that in the first ten iterations.
    reg_covar : float, default=1e-6
        Added to the variances, in squared units of the data.
    max_iter : int, default=100
        EM iterations at most; 0 keeps the start.
    n_init : int, default=1
        Restarts, of which the one with the best final `lower_bound_` is kept. One in which a singular covariance had
        to be floored (see `events_`) counts as worse than any other: its likelihood is that of a spike.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, default="kmeans"
        How a start is made: by k-means [2]_; with means at rows drawn by k-means++ or at random, and weights and
        covariances of the rows nearest to them; or by random responsibilities. Where a fit is small, each restart
        draws up to four starts and goes on from the one that is best after five iterations [3]_; of many rows it
        does so with some that stand for all [4]_, and begins where these iterations ended.
    weights_init : array-like of shape (n_components,), default=None
        Weights of the start.
    means_init : array-like of shape (n_components, n_features), default=None
        Means of the start; what else is not given is estimated from the rows nearest to them.
    precisions_init : array-like, default=None
        Precisions of the start, in the shape of `precisions_`. Without `means_init`, the clusters found are matched
        to the given weights and precisions.
    random_state : int, RandomState instance or None, default=None
        Seed of the start, and of `sample`. An int repeats, a RandomState is consumed.
    warm_start : bool, default=False
        Go on from the last fit, in one restart.
    verbose : int, default=0
        1 prints restarts and iterations, 2 also times and changes.
    verbose_interval : int, default=10
        Iterations between two prints.
    n_threads : int or None, default=None
        Threads at most. None: what OpenMP uses (OMP_NUM_THREADS, threadpoolctl), -1: all processors. The results are
        the same to the last bit.
    step_offset : float, default=2.0
        t0 of the step sizes of `partial_fit`, :math:`(t + t_0)^{-\alpha}`: the greater, the smaller are early steps.
    step_power : float or None, default=0.7
        Their :math:`\alpha`, in (0, 1]: the smaller, the sooner `partial_fit` forgets; it settles where alpha is over
        0.5. None forgets nothing: every row counts alike, under the mixture that it met.
    step_floor : float, default=0.0
        Smallest step size of `partial_fit`, in [0, 1): it remembers the last 1 / `step_floor` steps or so however long
        the stream is, and never settles entirely. Without effect where `step_power` is None.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Weights of the components, with sum 1.
    means_ : ndarray of shape (n_components, n_features)
        Means.
    covariances_ : ndarray
        Covariances: (n_components, n_features, n_features) if "full", (n_features, n_features) if "tied",
        (n_components, n_features) if "diag", (n_components,) if "spherical".
    precisions_ : ndarray
        Their inverses, in the same shape.
    precisions_cholesky_ : ndarray
        Upper triangular U with U U^T the precision; for "diag" and "spherical" the root of the precision.
    converged_ : bool
        Whether the best restart ended by `tol`; after a step of `partial_fit` False.
    n_iter_ : int
        Iterations of the best restart; a step of `partial_fit` is one.
    lower_bound_ : float
        Mean log-likelihood of the fitted model, equal to `score(X, sample_weight=sample_weight)`. After a step of
        `partial_fit` that of the rows remembered, each under the model that it met.
    lower_bounds_ : list of float
        Mean log-likelihood before each M-step of the best restart, of length `n_iter_`.
    events_ : list of FitEvent
        What had to be repaired, in all restarts.
    restarts_ : list of FitRestart
        How EM went from each start, in their order.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X had them as strings.

    See Also
    --------
    sklearn.mixture.GaussianMixture : The class whose interface this one follows.

    References
    ----------
    .. [1] Dempster, Laird, Rubin (1977), "Maximum likelihood from incomplete data via the EM algorithm".
    .. [2] Arthur, Vassilvitskii (2007), "k-means++: the advantages of careful seeding".
    .. [3] Biernacki, Celeux, Govaert (2003), "Choosing starting values for the EM algorithm for getting the highest
       likelihood in multivariate Gaussian mixture models".
    .. [4] Bachem, Lucic, Krause (2018), "Scalable k-means clustering via lightweight coresets".

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixture
    >>> X = np.array([[1, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> gm = GaussianMixture(n_components=2, random_state=0).fit(X)
    >>> np.sort(gm.means_[:, 0])
    array([ 1., 10.])
    >>> gm.predict([[0, 0]]) == gm.predict([[1, 1]])
    array([ True])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "covariance_type": [StrOptions({"full", "tied", "diag", "spherical"})],
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "reg_covar": [Interval(Real, 0.0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions({"kmeans", "random", "random_from_data", "k-means++"})],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "verbose_interval": [Interval(Integral, 1, None, closed="left")],
        "n_threads": [Interval(Integral, 1, None, closed="left"), Options(Integral, {-1}), None],
        "step_offset": [Interval(Real, 0.0, None, closed="left")],
        "step_power": [Interval(Real, 0.0, 1.0, closed="right"), None],
        "step_floor": [Interval(Real, 0.0, 1.0, closed="left")],
    }

    # What partial_fit remembers of its batches; of the last fit, the weight of the rows, how many had one, and what it
    # added to the variances.
    _stream: Stream | None = None
    _total_weight: float = 0.0
    _total_rows: int = 0
    _added: float = 0.0

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: CovarianceType = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: Literal["kmeans", "k-means++", "random", "random_from_data"] = "kmeans",
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_threads: int | None = None,
        step_offset: float = 2.0,
        step_power: float | None = 0.7,
        step_floor: float = 0.0,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_threads = n_threads
        self.step_offset = step_offset
        self.step_power = step_power
        self.step_floor = step_floor

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Estimate the parameters by EM.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows; float32 is kept, any strides and data frames are read in place. Of a :class:`numpy.memmap` nothing is
            copied; :func:`gaussmix.chunked.fit` takes files of other kinds, and starts with less memory.
        y : Ignored
            Not used.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, by keyword; a weight of 2 is a row twice, of 0 a row left out. X must be finite in all
            rows.

        Returns
        -------
        self : GaussianMixture
            The fitted estimator.

        Raises
        ------
        ValueError
            If X, the weights or a parameter is not valid, or the data have no spread and `reg_covar` is 0.
        KeyboardInterrupt
            On Ctrl-C, after the best model so far has been set.

        Warns
        -----
        ConvergenceWarning
            If the best restart did not converge, or a component of it had to be repaired.
        UserWarning
            If the weights sum to less than `n_components`.
        """
        self._fit(X, sample_weight)
        return self

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit_predict(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> NDArray[np.int64]:
        """Fit, and return the labels of the rows: the same as ``fit(X).predict(X)``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Not used.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Component of the largest responsibility.

        Raises
        ------
        ValueError
            As `fit`.
        """
        return self._labels(self._fit(X, sample_weight))

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Take one batch of a stream: a step of stepwise EM [1]_ [2]_.

        The first batches are kept, and fitted together whenever they have grown by half: until there are ten batches
        and enough rows (5,000, or ten for each component and parameter of a mean), or 64 MiB of them. Where these rows
        outnumber the parameters, the last fit goes on to ``tol / 1000``, for ``10 * max_iter`` iterations at most.
        Until then the order of the components may change from call to call. From there on each batch is one E-step and
        one M-step, and only statistics are kept. After `fit` the stream goes on from its model; `fit` starts anew.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows: any number of them.
        y : Ignored
            Not used.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, by keyword. A batch counts by its weight; one of weight 0 changes nothing.

        Returns
        -------
        self : GaussianMixture
            It predicts as soon as `n_components` distinct rows of positive weight have been seen.

        Raises
        ------
        ValueError
            If X, the weights or a parameter is not valid, or `n_components` or `covariance_type` has changed since the
            last call; the estimator is as it was before, but for a RandomState, which may have moved on.

        Warns
        -----
        ConvergenceWarning
            If a component had to be repaired for the first time.

        References
        ----------
        .. [1] Cappé, Moulines (2009), "On-line expectation-maximization algorithm for latent data models".
        .. [2] Liang, Klein (2009), "Online EM for unsupervised models".
        """
        before = vars(self).copy()
        try:
            self._take_batch(X, sample_weight)
        except BaseException:
            self.__dict__ = before
            raise
        return self

    def _take_batch(self, X: Any, sample_weight: ArrayLike | None) -> None:
        """Check a batch and add it to the stream; on an error some attributes may be set already."""
        fitted = self.__sklearn_is_fitted__()
        rows = check_rows(self, X, reset=self._stream is None and not fitted)
        batch = Batch.of(rows, check_weights_of_rows(sample_weight, rows, n_components=0))
        if fitted:
            self._check_goes_on(rows.shape[1], "partial_fit goes on from the last call", "call fit")
        if not batch.weight > 0:
            return
        stream = self._stream or (begin_with_model(self, batch) if fitted else Stream())
        if stream.buffer is not None:
            self._start(rows.shape[1])
            stream, of_buffer = join_buffer(stream, batch, self)
            if of_buffer is not None:
                self._take(of_buffer, stream)
                return
        if stream.statistics is None:
            self._stream = stream
        else:
            dtype = np.result_type(rows.dtype, np.asarray(self.means_))
            self._step(advance(stream, batch, self, single=dtype == np.float32), dtype)

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return the component of the largest responsibility for each row: the argmax of `predict_proba`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Labels 0 ... n_components - 1.

        Raises
        ------
        NotFittedError
            If there is no model yet.
        ValueError
            If X has another number of features, or fitted attributes that were set by hand do not fit together.
        """
        return self._labels(self._rows(X))

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the responsibilities, P(component k | row n).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_components)
            Rows sum to 1.

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.
        """
        rows = self._rows(X)
        return model(self).responsibilities(rows.data(), self._single(rows), threads(self.n_threads))

    def score_samples(self, X: Any) -> NDArray[Any]:
        """Return the log-density of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_prob : ndarray of shape (n_samples,)
            log p(x), in nats. It is finite: distances beyond 1e150 standard deviations count as 1e150, and in float32
            the lowest number stands for what is below it.

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.
        """
        rows = self._rows(X)
        return model(self).log_densities(rows.data(), self._single(rows), threads(self.n_threads))

    def score(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Return the mean log-likelihood, sum(w log p(x)) / sum(w).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Not used.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, by keyword.

        Returns
        -------
        log_likelihood : float
            In nats a row.

        Raises
        ------
        NotFittedError, ValueError
            As `predict`; also if the weights are not valid.
        """
        return self._score(X, sample_weight)[0]

    def sample(
        self, n_samples: int = 1, *, random_state: int | np.random.RandomState | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Draw rows from the mixture.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState instance or None, default=None
            Seed of this draw; None means that of the estimator.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Rows, grouped by component.
        y : ndarray of shape (n_samples,)
            Their components.

        Raises
        ------
        ValueError
            If `n_samples` is less than 1 or above 2**63 - 1, or a covariance is not positive-definite.
        TypeError
            If `n_samples` is not a whole number.
        """
        if not all(hasattr(self, name) for name in ("weights_", "means_", "covariances_")):  # which are enough
            self._check_fitted()
        if not isinstance(n_samples, Integral) and not (isinstance(n_samples, Real) and float(n_samples).is_integer()):
            raise TypeError(f"n_samples must be an integer, but got {n_samples!r}.")
        if n_samples > _INDEX_MAX:
            raise ValueError(f"n_samples must be at most {_INDEX_MAX}, but got {n_samples}.")
        if n_samples < 1:
            raise ValueError(f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least one sample.")
        weights, means, matrices = np.asarray(self.weights_), np.asarray(self.means_), covariances(self)
        kind = core.mixtures[self.covariance_type]
        seed = _draw_seed(self.random_state if random_state is None else random_state)
        size = int(n_samples), seed, threads(self.n_threads)
        try:
            return kind.sample(weights, means, matrices, *size)
        except ValueError:
            if means.dtype != np.float32 or not hasattr(self, "precisions_cholesky_"):
                raise
            # Rounded to float32, a covariance of nearly lower rank is not definite any more; its factor still is one.
            of_factors = kind.covariances(np.asarray(self.precisions_cholesky_), *means.shape)
            return kind.sample(weights, means, of_factors, *size)

    def aic(self, X: Any, *, sample_weight: ArrayLike | None = None) -> float:
        """Return the Akaike information criterion, -2 log L + 2 p; the lower the better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; their sum is the number of rows.

        Returns
        -------
        aic : float
            Akaike (1974), "A new look at the statistical model identification".

        Raises
        ------
        NotFittedError, ValueError
            As `score`.
        """
        score, total = self._score(X, sample_weight)
        return core.aic(score, self._n_parameters(), total)

    def bic(self, X: Any, *, sample_weight: ArrayLike | None = None) -> float:
        """Return the Bayesian information criterion, -2 log L + p log n; the lower the better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; their sum is n.

        Returns
        -------
        bic : float
            Schwarz (1978), "Estimating the dimension of a model".

        Raises
        ------
        NotFittedError, ValueError
            As `score`.
        """
        score, total = self._score(X, sample_weight)
        return core.bic(score, self._n_parameters(), total)

    def icl(self, X: Any, *, sample_weight: ArrayLike | None = None) -> float:
        """Return the integrated completed likelihood, BIC - 2 sum(w log max_k r_nk); the lower the better.

        It is BIC with a penalty for assignments that are not certain, and so prefers separated clusters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; their sum is n.

        Returns
        -------
        icl : float
            Biernacki, Celeux, Govaert (2000), "Assessing a mixture model for clustering with the integrated completed
            likelihood".

        Raises
        ------
        NotFittedError, ValueError
            As `score`.
        """
        rows = self._rows(X)
        weights = check_weights_of_rows(sample_weight, rows)
        data, n = rows.data(weights), threads(self.n_threads)
        score, certainty = model(self).score(data, n), model(self).certainty(data, n)
        return core.icl(score, certainty, self._n_parameters(), rows.total(weights))

    @classmethod
    def from_parameters(
        cls,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike,
        *,
        covariance_type: CovarianceType = "full",
        **params: Any,
    ) -> Self:
        """Make a fitted estimator from known parameters.

        Parameters
        ----------
        weights : array-like of shape (n_components,)
            Weights, with sum 1.
        means : array-like of shape (n_components, n_features)
            Means.
        covariances : array-like
            Covariances, in the shape of `covariances_`.
        covariance_type : {"full", "tied", "diag", "spherical"}, default="full"
            Their type.
        **params
            Further parameters of the estimator.

        Returns
        -------
        estimator : GaussianMixture
            Ready to predict and sample. It has seen no data: `n_iter_` is 0 and `lower_bound_` is minus infinity.

        Raises
        ------
        ValueError
            If a shape does not fit, or a covariance is not symmetric and positive-definite.
        """
        means = np.asarray(means)
        if means.ndim != 2:
            raise ValueError(f"The parameter 'means' should have 2 dimensions, but got shape {means.shape}.")
        estimator = cls(n_components=means.shape[0], covariance_type=covariance_type, **params)
        estimator._validate_params()
        k, d = means.shape
        parts = [
            check_mixture_weights(weights, k),
            check_means(means, k, d),
            check_matrices(covariances, covariance_type, k, d, kind="covariance"),
        ]
        dtype = np.result_type(*parts)
        try:
            w, m, c, u = core.mixtures[covariance_type].from_covariances(*parts)
        except ValueError as error:
            raise ValueError(f"'{covariance_type} covariance' should be positive-definite") from error
        estimator._set_unseen(w, m, c, u, dtype)
        return estimator

    def to_sklearn(self) -> Any:
        """Return scikit-learn's estimator with the same parameters and fitted attributes.

        It needs no gaussmix where it is unpickled.

        Returns
        -------
        estimator : sklearn.mixture.GaussianMixture
            With copies of the arrays.

        Raises
        ------
        NotFittedError
            If there is no model yet.

        See Also
        --------
        from_sklearn : The way back.
        """
        from sklearn.mixture import GaussianMixture as Peer

        self._check_fitted()
        theirs = Peer().get_params(deep=False)
        params = {name: value for name, value in self.get_params(deep=False).items() if name in theirs}
        return _copy_fitted(self, Peer(**params))

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Self:
        """Return a fitted estimator with the parameters and attributes of a fitted scikit-learn mixture.

        Parameters
        ----------
        estimator : sklearn.mixture.GaussianMixture
            A fitted estimator.

        Returns
        -------
        estimator : GaussianMixture
            With copies of the arrays. `lower_bound_` is what scikit-learn says: the likelihood before the last M-step.

        Raises
        ------
        TypeError
            If it is not a :class:`sklearn.mixture.GaussianMixture`.
        NotFittedError
            If it is not fitted.

        See Also
        --------
        to_sklearn : The way back.
        """
        from sklearn.mixture import GaussianMixture as Peer

        if not isinstance(estimator, Peer):
            raise TypeError(f"estimator should be a sklearn.mixture.GaussianMixture, but got {estimator!r}.")
        check_is_fitted(estimator)
        ours = cls().get_params(deep=False)
        params = {name: value for name, value in estimator.get_params(deep=False).items() if name in ours}
        fitted: Self = _copy_fitted(estimator, cls(**params))
        fitted.lower_bounds_ = getattr(fitted, "lower_bounds_", [])  # before 1.7 it keeps none
        fitted.events_ = []
        fitted.restarts_ = []
        fitted._added = fitted.reg_covar
        return fitted

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a file, which :func:`gaussmix.load` and the C++ library read.

        The file is in the safetensors layout. It holds the fitted arrays to the bit, the parameters, the names of the
        features and the record of the fit. Not kept are a `random_state` that is not an int, callbacks, and what a
        stream needs: what `partial_fit` remembers of its batches, and how many rows were fitted. A pickle keeps all.

        Parameters
        ----------
        path : str or path-like
            The file; one that is there is replaced whole, or on an error kept whole.

        Raises
        ------
        NotFittedError
            If there is no model yet.
        ValueError
            If attributes or parameters that were set by hand do not fit together.
        OSError
            If the file cannot be written.

        See Also
        --------
        gaussmix.load : The way back.
        """
        save(self, path)

    def _fit(self, X: Any, sample_weight: ArrayLike | None) -> Rows:
        """Check the input, run EM, and warn; return the checked rows."""
        rows = check_rows(self, X, reset=True, min_samples=2)
        weights = self._check_enough(rows, sample_weight)
        warn_of_small_weights(weights, self.n_components)
        self._warn(self._fit_rows(rows, weights, threads(self.n_threads), X=X))
        return rows

    def _check_enough(self, rows: Rows, sample_weight: ArrayLike | None) -> NDArray[np.float64] | None:
        """Return the checked weights; there must be at least `n_components` rows, with a weight."""
        if rows.shape[0] < self.n_components:
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {self.n_components}, "
                f"n_samples = {rows.shape[0]}"
            )
        return check_weights_of_rows(sample_weight, rows, self.n_components)

    def _fit_rows(
        self,
        rows: Rows,
        weights: NDArray[np.float64] | None,
        n_threads: int,
        *,
        X: Any = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> bool:
        """Run EM on checked rows and set the attributes; return whether a callback, or `cancelled`, stopped it."""
        start = self._start(rows.shape[1])
        previous, previous_bound = self._previous(rows.shape[1])
        drawn = previous is None and any(part is None for part in start.values())
        reporter = Reporter(self, self.n_init if drawn and start["means"] is None else 1, X, cancelled)
        result = core.mixtures[self.covariance_type].fit(
            rows.data(weights),
            self.n_components,
            tol=self.tol,
            reg_covar=self.reg_covar,
            max_iter=min(self.max_iter, _INT_MAX),
            n_init=min(self.n_init, _INT_MAX),
            init_params=self.init_params,
            **start,
            seed=_draw_seed(self.random_state) if drawn else 0,
            n_threads=n_threads,
            single=rows.dtype == np.float32,
            callback=reporter,
            previous=previous,
            previous_bound=previous_bound,
        )
        self._set_model(
            result["weights"], result["means"], result["covariances"], result["precisions_cholesky"], rows.dtype
        )
        self._stream = None
        self._total_weight = rows.total(weights)
        self._total_rows = rows.shape[0] if weights is None else int(np.count_nonzero(weights))
        self._added = self.reg_covar
        self.converged_ = result["converged"]
        self.lower_bound_ = result["lower_bound"]
        self.lower_bounds_ = result["lower_bounds"]
        self.n_iter_ = len(self.lower_bounds_)
        self.events_ = [FitEvent(*event) for event in result["events"]]
        self.restarts_ = [
            FitRestart(bounds, converged, restart == result["restart"])
            for restart, (bounds, converged) in enumerate(reporter.restarts)
        ]
        if result["raised"] is not None:
            raise result["raised"]
        reporter.finish()
        return result["stopped"]

    def _start(self, d: int) -> dict[str, NDArray[Any] | None]:
        """Return the checked parameters of the start."""
        k = self.n_components
        return {
            "weights": None if self.weights_init is None else check_mixture_weights(self.weights_init, k),
            "means": None if self.means_init is None else check_means(self.means_init, k, d),
            "precisions": None
            if self.precisions_init is None
            else check_matrices(self.precisions_init, self.covariance_type, k, d),
        }

    def _previous(self, d: int) -> tuple[core.Mixture | None, float]:
        """Return the model that a warm start goes on from, and its last bound."""
        if not (self.warm_start and all(hasattr(self, name) for name in FITTED)):
            return None, -np.inf
        self._check_goes_on(d, "warm_start goes on from the last fit", "set warm_start=False")
        bounds = getattr(self, "lower_bounds_", [])
        return full_model(self), bounds[-1] if len(bounds) else -np.inf

    def _set_unseen(
        self,
        weights: NDArray[Any],
        means: NDArray[Any],
        covariances: NDArray[Any],
        precisions_cholesky: NDArray[Any],
        dtype: np.dtype[Any],
    ) -> None:
        """Set the attributes of a model that has seen no data."""
        self.n_features_in_ = means.shape[1]
        self._set_model(weights, means, covariances, precisions_cholesky, dtype)
        self.converged_ = False
        self.n_iter_ = 0
        self.lower_bound_ = -np.inf
        self.lower_bounds_ = []
        self.events_ = []
        self.restarts_ = []

    def _check_goes_on(self, d: int, what: str, remedy: str) -> None:
        """Check that the model has the shapes that the parameters ask for."""
        shape = covariance_shape(self.covariance_type, self.n_components, d)
        if np.shape(self.means_) != (self.n_components, d) or np.shape(self.precisions_cholesky_) != shape:
            raise ValueError(
                f"{what}, but n_components, covariance_type or the number of features of X has changed; {remedy} or "
                "use a new estimator."
            )

    def _take(self, fitted: Self, stream: Stream) -> None:
        """Take over what a fit of the first batches has found."""
        for name, value in vars(fitted).items():
            if name.endswith("_"):
                setattr(self, name, value)
        self._stream = stream
        if stream.buffer is None:
            self._warn_of_repairs(self.events_)

    def _step(self, advance: Advance, dtype: np.dtype[Any]) -> None:
        """Set the attributes after a step of `partial_fit`, and warn of what had to be repaired for the first time."""
        stream, result, reseeded = advance
        if result["raised"] is not None:
            raise result["raised"]
        arrays = result["weights"], result["means"], result["covariances"], result["precisions_cholesky"]
        self._set_model(*arrays, dtype)
        self._stream = stream
        self.converged_ = False
        self.lower_bounds_ = result["lower_bounds"]
        self.lower_bound_ = self.lower_bounds_[-1]
        self.n_iter_ = len(self.lower_bounds_)
        self.restarts_ = [FitRestart(self.lower_bounds_, False, True)]
        known = [event._replace(restart=0) for event in getattr(self, "events_", []) if event.kept]
        causes = [*(("reseeded", c) for c in reseeded), *(event[:2] for event in result["events"])]
        new = [
            FitEvent(cause, component, 0, stream.batches, True)
            for cause, component in causes
            if not any(event[:2] == (cause, component) for event in known)
        ]
        self.events_ = known + new
        if self.verbose and stream.batches % self.verbose_interval == 0:
            print(f"  Batch {stream.batches}\t lower bound {self.lower_bound_:.5f}")
        self._warn_of_repairs(new)

    def _set_model(
        self,
        weights: NDArray[Any],
        means: NDArray[Any],
        covariances: NDArray[Any],
        precisions_cholesky: NDArray[Any],
        dtype: np.dtype[Any],
    ) -> None:
        """Set the fitted arrays in the shapes of their type."""
        k, d = means.shape
        shape = covariance_shape(self.covariance_type, k, d)
        precisions = core.mixtures[self.covariance_type].precisions(precisions_cholesky, k, d)
        self.weights_ = weights.astype(dtype, copy=False)
        self.means_ = means.astype(dtype, copy=False)
        self.covariances_ = covariances.reshape(shape).astype(dtype, copy=False)
        self.precisions_cholesky_ = precisions_cholesky.reshape(shape).astype(dtype, copy=False)
        self.precisions_ = precisions.reshape(shape).astype(dtype, copy=False)

    def _warn(self, stopped: bool) -> None:
        """Warn of what was repaired in the model that was kept, once a cause, and of what did not converge."""
        self._warn_of_repairs(self.events_)
        failed = sum(event.cause == "failed" for event in self.events_)
        if failed:
            warn(
                f"{failed} of {self.n_init} restarts ended without a model; the others were used. Details are in "
                "`events_`.",
                ConvergenceWarning,
            )
        if not self.converged_ and self.max_iter > 0 and not stopped:
            warn(
                "Best performing initialization did not converge. Try different init parameters, or increase max_iter, "
                "tol, or check for degenerate data.",
                ConvergenceWarning,
            )

    @staticmethod
    def _warn_of_repairs(events: list[FitEvent]) -> None:
        """Warn of what was repaired in the model that was kept, once a cause."""
        for cause, remedy in _REMEDIES.items():
            components = sorted({event.component for event in events if event.cause == cause and event.kept})
            if components:
                warn(f"Components {components} {remedy} Details are in `events_`.", ConvergenceWarning)

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether there is a model, which a stream may not have yet."""
        return all(hasattr(self, name) for name in FITTED)

    def _check_fitted(self) -> None:
        """Check that there is a model, and tell what a stream still waits for."""
        if self._stream is not None and not self.__sklearn_is_fitted__():
            self._stream.check_has_model(self.n_components, self.reg_covar)
        missing = [name for name in FITTED if not hasattr(self, name)]
        if 0 < len(missing) < len(FITTED):
            name = type(self).__name__
            raise NotFittedError(
                f"This {name} instance has no {' and no '.join(missing)}. Set what is missing, or make the model with "
                f"{name}.from_parameters, which derives the factors from covariances."
            )
        check_is_fitted(self)

    def _rows(self, X: Any) -> Rows:
        self._check_fitted()
        return check_rows(self, X, reset=False)

    def _single(self, rows: Rows) -> bool:
        return output_dtype(rows, np.asarray(self.means_)) == np.float32

    def _labels(self, rows: Rows) -> NDArray[np.int64]:
        return model(self).labels(rows.data(), self._single(rows), threads(self.n_threads))

    def _score(self, X: Any, sample_weight: ArrayLike | None) -> tuple[float, float]:
        """Return the mean log-likelihood and the total weight."""
        rows = self._rows(X)
        weights = check_weights_of_rows(sample_weight, rows)
        return model(self).score(rows.data(weights), threads(self.n_threads)), rows.total(weights)

    def _n_parameters(self) -> int:
        """Return the number of free parameters."""
        return model(self).n_parameters


_INT_MAX, _INDEX_MAX = 2**31 - 1, 2**63 - 1


def _draw_seed(random_state: int | np.random.RandomState | None) -> int:
    """Return 64 random bits; an int gives the same ones each time, a RandomState moves on."""
    low, high = check_random_state(random_state).randint(0, 2**32, size=2, dtype=np.uint64)
    return int(low) | int(high) << 32


def _copy_fitted(source: Any, target: Any) -> Any:
    """Copy the fitted attributes that both classes have."""
    names = ["weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_", "converged_", "n_iter_"]
    names += ["lower_bound_", "lower_bounds_", "n_features_in_", "feature_names_in_"]
    for name in names:
        if hasattr(source, name):
            value = getattr(source, name)
            setattr(target, name, value.copy() if hasattr(value, "copy") else value)
    return target
