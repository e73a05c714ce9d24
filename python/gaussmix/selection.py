"""The choice of the number of components and of the type of covariance, by a sweep over candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, DensityMixin, _fit_context
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from gaussmix._dispatch import threads
from gaussmix._mixture import CovarianceType, GaussianMixture
from gaussmix._progress import Bar
from gaussmix._sweep import Candidate, Fold, Sweep
from gaussmix._validation import Rows, check_rows, check_weights_of_rows, warn_of_small_weights

__all__ = ["GaussianMixtureIC"]

TYPES: tuple[CovarianceType, ...] = get_args(CovarianceType)
PASSED_ON = ("n_init", "tol", "reg_covar", "max_iter", "init_params", "n_threads")
COLUMNS = ("aic", "bic", "icl", "cv", "log_likelihood", "n_parameters", "n_iter", "converged", "fit_time", "error")


class GaussianMixtureIC(DensityMixin, BaseEstimator):
    """Gaussian mixture whose number of components and type of covariance are chosen by a criterion.

    Every candidate is the :class:`GaussianMixture` that a loop with the same seed would fit, to the last bit. The
    candidates run side by side on all processors, and one that fails is recorded instead of ending the sweep.

    Parameters
    ----------
    min_components, max_components : int, default=1 and 9
        Numbers of components to try, both ends included.
    covariance_type : {"full", "tied", "diag", "spherical", "all"} or a list of them, default="all"
        Types of covariance to try; "all" means the four in this order. Some may coincide but for rounding, as
        "full" and "tied" do for one component: they are fitted all the same.
    criterion : {"bic", "aic", "icl", "cv"}, default="bic"
        What is minimised: `GaussianMixture.bic` [1]_, `GaussianMixture.aic` [2]_, `GaussianMixture.icl` [3]_, or minus
        the log-likelihood of rows that are held out [4]_. The fewest parameters win a tie, then the first.
    n_init : int, default=1
        Restarts of each fit.
    cv : int, cross-validation splitter or iterable of (train, test), default=5
        Folds of `criterion="cv"`, the same for all candidates. An int means that many :class:`KFold` without
        shuffling; rows that are sorted need ``KFold(5, shuffle=True)``.
    tol, reg_covar, max_iter, init_params
        As in :class:`GaussianMixture`, for all candidates.
    early_stopping : int or None, default=None
        Leave out the larger sizes of a type once this many sizes in a row have brought it nothing better. They are not
        in `results_`.
    random_state : int, RandomState instance or None, default=None
        An int is the seed of every candidate. Otherwise one int is drawn and used so: a RandomState moves on once.
    n_threads : int or None, default=None
        Threads at most. None: what OpenMP uses (OMP_NUM_THREADS, threadpoolctl), -1: all processors. The results are
        the same to the last bit.
    verbose : int, default=0
        1 draws a progress bar on stderr.

    Attributes
    ----------
    best_estimator_ : GaussianMixture
        The best candidate, fitted to all rows. Its `save` writes it to a file.
    best_params_ : dict
        Its `n_components` and `covariance_type`.
    criterion_ : float
        Its value of the criterion; the lower the better. For "cv" it is minus the mean log-likelihood, in nats a row,
        of all rows that are held out in any fold: -sum(w log p(x)) / sum(w), where p is fitted without the fold of x.
    results_ : dict of ndarray of shape (n_candidates,)
        One entry a candidate, all sizes of the first type first. ``pandas.DataFrame(results_)`` is a table of them:

        - "n_components", "covariance_type": the candidate;
        - "aic", "bic", "icl": criteria of the fit to all rows; the lower the better;
        - "cv": as `criterion_`; only with `criterion="cv"`;
        - "log_likelihood": mean log-likelihood of all rows, in nats a row, as from `GaussianMixture.score`;
        - "n_parameters", "n_iter", "converged": free parameters, and how the fit to all rows ended;
        - "fit_time": seconds, with folds and criteria;
        - "error": why the candidate failed, or ``""``. One that failed has criteria of NaN, and 0 iterations.
    n_iter_ : int
        Iterations of the best candidate.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X had them as strings.

    See Also
    --------
    GaussianMixture : One fit, with a given number of components and type.

    References
    ----------
    .. [1] Schwarz (1978), "Estimating the dimension of a model".
    .. [2] Akaike (1974), "A new look at the statistical model identification".
    .. [3] Biernacki, Celeux, Govaert (2000), "Assessing a mixture model for clustering with the integrated completed
       likelihood".
    .. [4] Smyth (2000), "Model selection for probabilistic clustering using cross-validated likelihood".

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixtureIC
    >>> rng = np.random.default_rng(0)
    >>> X = np.vstack([rng.normal(size=(100, 2)), rng.normal(6, 1, size=(100, 2))])
    >>> GaussianMixtureIC(max_components=4, random_state=0).fit(X).best_params_
    {'n_components': 2, 'covariance_type': 'spherical'}
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "min_components": [Interval(Integral, 1, None, closed="left")],
        "max_components": [Interval(Integral, 1, None, closed="left")],
        "covariance_type": [StrOptions({*TYPES, "all"}), "array-like"],
        "criterion": [StrOptions({"bic", "aic", "icl", "cv"})],
        "cv": ["cv_object"],
        "early_stopping": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        **{name: GaussianMixture._parameter_constraints[name] for name in PASSED_ON},
    }

    def __init__(
        self,
        min_components: int = 1,
        max_components: int = 9,
        *,
        covariance_type: CovarianceType | Literal["all"] | Sequence[CovarianceType] = "all",
        criterion: Literal["bic", "aic", "icl", "cv"] = "bic",
        n_init: int = 1,
        cv: Any = 5,
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        init_params: Literal["kmeans", "k-means++", "random", "random_from_data"] = "kmeans",
        early_stopping: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        n_threads: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.min_components = min_components
        self.max_components = max_components
        self.covariance_type = covariance_type
        self.criterion = criterion
        self.n_init = n_init
        self.cv = cv
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.init_params = init_params
        self.early_stopping = early_stopping
        self.random_state = random_state
        self.n_threads = n_threads
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit all candidates and keep the best.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Not used.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, by keyword; their sum is the number of rows in the criteria. Folds split rows, whatever
            their weights.

        Returns
        -------
        self : GaussianMixtureIC
            The fitted estimator.

        Raises
        ------
        ValueError
            If X, the weights or a parameter is not valid, or all candidates have failed.
        KeyboardInterrupt
            On Ctrl-C, after the best of the candidates that have ended has been set.

        Warns
        -----
        ConvergenceWarning
            If the best candidate did not converge, or a component of it had to be repaired; of the others `results_`
            tells.
        UserWarning
            If the weights sum to less than `max_components`.
        """
        self._fit(X, sample_weight)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_predict(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> NDArray[np.int64]:
        """Fit all candidates, and return the labels that the best gives: the same as ``fit(X).predict(X)``.

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
        rows = self._fit(X, sample_weight)
        return self.best_estimator_._labels(rows)

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return the labels that the best candidate gives; see `GaussianMixture.predict`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Labels 0 ... K - 1.

        Raises
        ------
        NotFittedError, ValueError
            If there is no model yet; if X has another number of features.
        """
        return self._best().predict(X)

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the responsibilities of the best candidate; see `GaussianMixture.predict_proba`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, K)
            Rows sum to 1.

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.
        """
        return self._best().predict_proba(X)

    def score_samples(self, X: Any) -> NDArray[Any]:
        """Return the log-density of each row under the best candidate.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_prob : ndarray of shape (n_samples,)
            log p(x), in nats.

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.
        """
        return self._best().score_samples(X)

    def score(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Return the mean log-likelihood under the best candidate, sum(w log p(x)) / sum(w).

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
        return self._best().score(X, sample_weight=sample_weight)

    def sample(
        self, n_samples: int = 1, *, random_state: int | np.random.RandomState | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Draw rows from the best candidate.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState instance or None, default=None
            Seed of this draw; None means that of this estimator.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Rows, grouped by component.
        y : ndarray of shape (n_samples,)
            Their components.

        Raises
        ------
        NotFittedError, ValueError
            If there is no model yet; if `n_samples` is less than 1.
        """
        # The best candidate has an int for a seed, with which it would repeat itself where this estimator has none.
        random = check_random_state(self.random_state if random_state is None else random_state)
        return self._best().sample(n_samples, random_state=random)

    def aic(self, X: Any, *, sample_weight: ArrayLike | None = None) -> float:
        """Return the Akaike information criterion of the best candidate; see `GaussianMixture.aic`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; their sum is the number of rows.

        Returns
        -------
        aic : float
            The lower the better.

        Raises
        ------
        NotFittedError, ValueError
            As `score`.
        """
        return self._best().aic(X, sample_weight=sample_weight)

    def bic(self, X: Any, *, sample_weight: ArrayLike | None = None) -> float:
        """Return the Bayesian information criterion of the best candidate; see `GaussianMixture.bic`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; their sum is n.

        Returns
        -------
        bic : float
            The lower the better.

        Raises
        ------
        NotFittedError, ValueError
            As `score`.
        """
        return self._best().bic(X, sample_weight=sample_weight)

    def icl(self, X: Any, *, sample_weight: ArrayLike | None = None) -> float:
        """Return the integrated completed likelihood of the best candidate; see `GaussianMixture.icl`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; their sum is n.

        Returns
        -------
        icl : float
            The lower the better.

        Raises
        ------
        NotFittedError, ValueError
            As `score`.
        """
        return self._best().icl(X, sample_weight=sample_weight)

    @property
    def n_iter_(self) -> int:
        """Iterations of the best candidate."""
        return self._best().n_iter_

    def _best(self) -> GaussianMixture:
        check_is_fitted(self, "best_estimator_")
        return self.best_estimator_

    def _fit(self, X: Any, sample_weight: ArrayLike | None) -> Rows:
        """Run the sweep and set the attributes; return the checked rows."""
        candidates = self._candidates()
        for name in ("best_estimator_", "best_params_", "criterion_", "results_"):
            self.__dict__.pop(name, None)  # what fails must not leave the last fit behind
        rows = check_rows(self, X, reset=True, min_samples=2)
        weights = check_weights_of_rows(sample_weight, rows)
        warn_of_small_weights(weights, self.max_components)
        folds = _folds(check_cv(self.cv).split(X), rows, weights) if self.criterion == "cv" else []
        bar = Bar("GaussianMixtureIC", len(candidates), bool(self.verbose))
        sweep = Sweep(self._maker(), rows, weights, folds, self.criterion, threads(self.n_threads), bar)
        try:
            if self.early_stopping is None:
                sweep.run(candidates)
            else:
                sweep.run_until_turned(candidates, self.early_stopping)
        finally:
            bar.close(self._keep(sweep))
        if sweep.best is None:
            reasons = dict.fromkeys(record["error"] for record in sweep.records.values())
            raise ValueError(f"All {len(sweep.records)} candidates failed:\n" + "\n".join(reasons))
        self.best_estimator_._warn(stopped=False)
        return rows

    def _candidates(self) -> list[Candidate]:
        """Return the candidates, the sizes of each type in turn."""
        if self.max_components < self.min_components:
            raise ValueError(
                f"max_components must be at least min_components, but got max_components = {self.max_components}, "
                f"min_components = {self.min_components}."
            )
        kinds = self.covariance_type
        asked: list[Any] = [kinds] if isinstance(kinds, str) else [str(kind) for kind in kinds]
        if asked == ["all"]:
            asked = list(TYPES)
        if not asked or not set(asked) <= set(TYPES):
            raise ValueError(f"covariance_type must be 'all', or one or more of {TYPES}, but got {kinds!r}.")
        sizes = range(self.min_components, self.max_components + 1)
        pairs = [(kind, k) for kind in dict.fromkeys(asked) for k in sizes]
        return [Candidate(rank, kind, k) for rank, (kind, k) in enumerate(pairs)]

    def _maker(self) -> Callable[[Candidate], GaussianMixture]:
        """Return what makes the estimator of a candidate; all have the same seed."""
        seed = self.random_state
        if not isinstance(seed, Integral):
            seed = int(check_random_state(seed).randint(2**31 - 1))
        params = {name: getattr(self, name) for name in PASSED_ON}
        checked = {name: getattr(self, name) for name in ("n_features_in_", "feature_names_in_") if hasattr(self, name)}

        def make(candidate: Candidate) -> GaussianMixture:
            estimator = GaussianMixture(
                candidate.n_components, covariance_type=candidate.covariance_type, random_state=seed, **params
            )
            for name, value in checked.items():
                setattr(estimator, name, value)
            return estimator

        return make

    def _keep(self, sweep: Sweep) -> str:
        """Set what the sweep has found so far; return a line on it."""
        candidates = sorted(sweep.records)
        names = COLUMNS if self.criterion == "cv" else [name for name in COLUMNS if name != "cv"]
        self.results_ = {
            "n_components": np.array([candidate.n_components for candidate in candidates]),
            "covariance_type": np.array([candidate.covariance_type for candidate in candidates]),
            **{name: np.array([sweep.records[candidate][name] for candidate in candidates]) for name in names},
        }
        best = sweep.best
        if best is None:
            return "no candidate could be fitted"
        self.best_estimator_ = best.estimator
        self.best_params_ = {
            "n_components": best.candidate.n_components,
            "covariance_type": best.candidate.covariance_type,
        }
        self.criterion_ = best.key[0]
        return f"best: {best.candidate.covariance_type}, K={best.candidate.n_components}"


def _folds(splits: Iterable[tuple[Any, Any]], rows: Rows, weights: NDArray[np.float64] | None) -> list[Fold]:
    """Return the folds, as indices of rows.

    Raises
    ------
    ValueError
        If a fold fits fewer than 2 rows, or no row with a weight is held out.
    """
    everything = np.arange(rows.shape[0])
    folds = []
    for train, test in splits:
        chosen = everything[test]
        weight = float(len(chosen)) if weights is None else float(weights[chosen].sum())
        folds.append(Fold(everything[train], chosen, weight))
    if any(len(fold.train) < 2 for fold in folds) or not any(fold.weight > 0 for fold in folds):
        raise ValueError("Each fold of cv needs at least 2 rows to fit, and some need rows with a weight held out.")
    return folds
