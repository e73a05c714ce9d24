"""`partial_fit`: stepwise EM over batches, begun by a fit of the first of them.

With s the sufficient statistics of a row, each batch is one E-step and one M-step (Cappé and Moulines 2009; Liang and
Klein 2009):

    s <- (1 - gamma) s + gamma s_batch,    theta <- maximize(s),    gamma = 1 - (1 - (t + t0)^-alpha)^(w / u)

where w is the weight of the batch and t = W / u the time: the weight W of all rows so far in units u, of which the
buffer of the first batches is about ten. A batch of weight u so takes the published step (t + t0)^-alpha, and what is
cut into smaller batches takes as many smaller steps. Without forgetting, s is the plain mean over all rows. A
`Stream` is never changed but replaced, when all of a call has succeeded.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError

from gaussmix._dispatch import core, full_model, threads
from gaussmix._validation import Rows

# The buffer: until its rows are so many, of so many batches, or take so many bytes.
BUFFER_ROWS = 5_000
BUFFER_ROWS_PER_DIMENSION = 10  # of each component, for its mean and for each feature
BUFFER_STEPS = 10
BUFFER_BYTES = 64 * 2**20
# It is fitted again whenever it has grown by this factor, so that all these fits cost about three of the last one.
BUFFER_GROWTH = 1.5
# EM over one batch, where a component is started again.
TRIAL_ITERATIONS = 20
# A component that it leaves with less than this share of its rows had to cover others: the batch knows it better.
TRIAL_SHARE = 0.8


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

    @property
    def nbytes(self) -> int:
        """The memory that a copy takes."""
        return self.X.nbytes + (0 if self.weights is None else self.weights.nbytes)

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


@dataclasses.dataclass(frozen=True)
class Stream:
    """What an estimator remembers of its batches.

    Attributes
    ----------
    weight, rows, batches : float
        Of all batches so far; rows and batches are those of positive weight.
    unit : float
        Weight of a step of time; while the buffer is filled it is not known, and 0.
    statistics : tuple or None
        Arguments of the compiled statistics, which sum up what is remembered.
    buffer : tuple of Batch or None
        The first batches; None as soon as they are no longer kept.
    nbytes : int
        Memory that these take.
    fitted_rows : float
        Rows of the buffer when it was last fitted.
    """

    weight: float = 0.0
    rows: float = 0.0
    batches: int = 0
    unit: float = 0.0
    statistics: tuple[Any, ...] | None = None
    buffer: tuple[Batch, ...] | None = ()
    nbytes: int = 0
    fitted_rows: float = 0.0

    def count(self, batch: Batch) -> Stream:
        """Return the stream with the weight and the rows of one more batch.

        Raises
        ------
        ValueError
            If the weight of all batches overflows.
        """
        with np.errstate(over="ignore"):
            weight = self.weight + batch.weight
        if not math.isfinite(weight):
            raise ValueError("The sum of `sample_weight` over all batches overflows; divide the weights by a constant.")
        return dataclasses.replace(self, weight=weight, rows=self.rows + len(batch.X), batches=self.batches + 1)

    def check_has_model(self, n_components: int) -> None:
        """Tell what a first model waits for.

        Raises
        ------
        NotFittedError
            If there are only rows in the buffer so far.
        """
        found = 0 if not self.buffer else len(np.unique(Batch.join(self.buffer).X, axis=0))
        if found < n_components:
            raise NotFittedError(
                f"partial_fit has seen {found} distinct rows of positive weight; {n_components - found} more are "
                f"missing for n_components = {n_components}."
            )
        raise NotFittedError(
            "The rows that partial_fit has seen have no spread to fit a mixture to with reg_covar = 0; give it more "
            "rows, or increase reg_covar."
        )


class _Step:
    """The one pass of a step of EM: the statistics of a batch, added to what is remembered of those before."""

    def __init__(self, batch: Batch, statistics: core.Statistics, keep: float, stream: Stream, estimator: Any) -> None:
        self.statistics = statistics
        self.reseeded: list[int] = []
        self._batch, self._keep, self._estimator = batch, keep, estimator
        self._row_weight = stream.weight / stream.rows
        self._n_threads = threads(estimator.n_threads)

    def accumulate(self, mixture: core.Mixture) -> core.Statistics:
        """Return the statistics that the M-step takes."""
        of_batch = mixture.accumulate(self._batch.data(), self._n_threads)
        self.statistics.scale(self._keep)
        self.statistics.merge(of_batch)
        starved = np.flatnonzero(self.statistics.counts < self._row_weight)
        if len(starved):
            self.statistics = self._revive(starved, mixture, of_batch.counts)
        return self.statistics

    def score(self, _: core.Mixture) -> float:
        """Return the mean log-likelihood of what is remembered, each batch under the model that it met."""
        return float(self.statistics.log_likelihood / self.statistics.total_weight)

    def worst_rows(self, _: core.Mixture, __: int) -> NDArray[np.float64]:
        """Return no rows: there are no components left that starve."""
        return np.empty((0, self._batch.X.shape[1]))

    def _revive(self, starved: NDArray[np.intp], mixture: core.Mixture, before: NDArray[np.float64]) -> core.Statistics:
        """Start components of less than a row's weight again, at the batch's rows of lowest density.

        There they have the mean of all covariances. Where the batch has rows enough, EM over it alone tells what they
        make of that place, and whose rows they take. Where the caller gave the start, or the batch has no row for
        them, they stay where they were, with as good as no count.
        """
        s, X, estimator = self.statistics, self._batch.X, self._estimator
        k, d = s.means.shape
        counts, means, matrices = s.counts.copy(), s.means.copy(), s.covariances.copy()
        own_matrices = len(matrices) == k  # else they share one, which is not theirs alone to change
        start = estimator.weights_init, estimator.means_init, estimator.precisions_init
        if any(part is not None for part in start) or len(starved) == k or len(X) < len(starved):
            _, old_means, old_matrices, _ = mixture.arrays()
            counts[starved] = np.maximum(counts[starved], 4 * np.finfo(np.float64).eps * s.total_weight)
            means[starved] = np.reshape(old_means, (k, d))[starved]
            if own_matrices:
                matrices[starved] = np.reshape(old_matrices, (k, -1))[starved]
            return type(s)(counts, means, matrices, s.log_likelihood, s.total_weight)
        self.reseeded = starved.tolist()
        density = mixture.log_densities(self._batch.data(), False, self._n_threads)
        means[starved] = X[np.argsort(density, kind="stable")[: len(starved)]]
        if own_matrices:
            matrices[starved] = s.counts @ s.covariances / s.counts.sum()
        counts *= 1 - len(starved) / k
        counts[starved] = s.total_weight / k
        seeded = type(s)(counts, means, matrices, s.log_likelihood, s.total_weight)
        tried = self._try(seeded) if len(X) >= BUFFER_ROWS_PER_DIMENSION * k else None
        if tried is not None:
            weights, tried_means, tried_matrices = tried
            given = np.divide(weights * self._batch.weight, before, out=np.ones(k), where=before > 0)
            counts = s.counts * np.minimum(given, 1)
            counts[starved] = np.maximum(weights[starved] * s.total_weight, self._row_weight)
            changed = np.union1d(starved, np.flatnonzero(given < TRIAL_SHARE))
            means[changed] = tried_means[changed]
            shown = changed if own_matrices else [0]
            matrices[shown] = tried_matrices[shown]
        else:  # they take the place of one in K for this batch alone: the model hardly changes for now
            counts = s.counts.copy()
            counts[starved] = min(max(self._batch.weight / k, (d + 1) * self._row_weight), s.total_weight / (2 * k))
        counts *= s.total_weight / counts.sum()
        return type(s)(counts, means, matrices, s.log_likelihood, s.total_weight)

    def _try(self, seeded: core.Statistics) -> tuple[NDArray[np.float64], ...] | None:
        """Return weights, means and covariances, nothing added, after EM over the batch; None where it collapses."""
        estimator = self._estimator
        kind, (k, d) = core.mixtures[estimator.covariance_type], seeded.means.shape
        try:
            fitted = kind.fit(
                self._batch.data(),
                k,
                tol=estimator.tol,
                reg_covar=estimator.reg_covar,
                max_iter=TRIAL_ITERATIONS,
                n_init=1,
                init_params="kmeans",
                weights=None,
                means=None,
                precisions=None,
                seed=0,
                n_threads=self._n_threads,
                single=False,
                callback=lambda *_: False,
                previous=kind(*seeded.maximize(estimator.reg_covar, self._n_threads)),
                previous_bound=-math.inf,
            )
        except ValueError:
            return None
        matrices = without_regularisation(fitted["covariances"], estimator, d).reshape(seeded.covariances.shape)
        return fitted["weights"], fitted["means"].reshape(k, d), matrices


def without_regularisation(covariances: NDArray[np.float64], estimator: Any, d: int) -> NDArray[np.float64]:
    """Return covariances of a model without the `reg_covar` that the M-step adds again."""
    added = np.eye(d) if estimator.covariance_type in ("full", "tied") else np.ones(())
    return np.asarray(covariances.reshape(-1, *added.shape) - estimator.reg_covar * added)


class Advance(NamedTuple):
    """What a step of EM has made: the stream after it, the core's result, and the components started again."""

    stream: Stream
    result: core.FitResult
    reseeded: list[int]


def step_rows(estimator: Any, n_features: int) -> float:
    """Return the rows that a step of time has at least: a tenth of what the buffer is to hold."""
    enough = BUFFER_ROWS_PER_DIMENSION * estimator.n_components * (n_features + 1)
    return float(max(BUFFER_ROWS, enough) / BUFFER_STEPS)


def is_full(stream: Stream, estimator: Any, n_features: int) -> bool:
    """Return whether the buffer has enough rows of enough batches, or takes all the memory that it may."""
    enough = BUFFER_STEPS * step_rows(estimator, n_features)
    return stream.nbytes >= BUFFER_BYTES or (stream.rows >= enough and stream.batches >= BUFFER_STEPS)


def join_buffer(stream: Stream, batch: Batch, estimator: Any) -> tuple[Stream, Any]:
    """Take one of the first batches, and fit the buffer if that is due.

    Returns
    -------
    stream : Stream
        With the batch in the buffer; without a buffer from now on if that is full.
    fitted : GaussianMixture or None
        An estimator fitted to the buffer; None if that is not due, or not possible yet.

    Raises
    ------
    ValueError
        As `GaussianMixture.fit`. Rows that lie in a plane are forgiven until the buffer is full.
    """
    d = batch.X.shape[1]
    held = stream.buffer or ()
    stream = dataclasses.replace(stream.count(batch), nbytes=stream.nbytes + batch.nbytes)
    full = is_full(stream, estimator, d)
    held = (*held, batch if full else batch.copy())
    if not full and stream.rows < BUFFER_GROWTH * stream.fitted_rows:
        return dataclasses.replace(stream, buffer=held), None
    rows = Batch.join(held)
    if stream.statistics is None and not rows.has_distinct(estimator.n_components):
        merged = rows.merge_repeated()
        return dataclasses.replace(stream, buffer=(merged,), nbytes=merged.nbytes), None
    fitted = type(estimator)(**(estimator.get_params(deep=False) | {"warm_start": False}))
    n_threads = threads(estimator.n_threads)
    checked = Rows([rows.X], rows.X.shape, rows.X.dtype)
    try:
        fitted._fit_rows(checked, rows.weights, n_threads)
    except ValueError:
        if estimator.reg_covar > 0 or full:
            raise
        return dataclasses.replace(stream, buffer=(rows,)), None
    statistics = _arrays(full_model(fitted).accumulate(rows.data(), n_threads))
    stream = dataclasses.replace(stream, statistics=statistics, buffer=(rows,), fitted_rows=stream.rows)
    if full:
        mean_rows = stream.rows / stream.batches
        unit = stream.weight / stream.batches * max(1.0, step_rows(estimator, d) / mean_rows)
        stream = dataclasses.replace(stream, buffer=None, unit=unit)
    return stream, fitted


def begin_with_model(estimator: Any, batch: Batch) -> Stream:
    """Return the stream that begins with an estimator's model.

    `fit` counts with the weight of its rows, a model that has seen none as one step of time.
    """
    k, d = np.asarray(estimator.means_).shape
    row_weight = batch.weight / len(batch.X)
    unit = row_weight * max(len(batch.X), step_rows(estimator, d))
    weight = estimator._total_weight or unit
    weights, means, covariances, _ = (np.array(a) for a in full_model(estimator).arrays())
    covariances = without_regularisation(covariances, estimator, d)
    bound = getattr(estimator, "lower_bound_", -np.inf)
    bound = bound if np.isfinite(bound) else 0.0
    statistics = weights * weight, means.reshape(k, d), covariances, bound * weight, weight
    return Stream(weight, weight / row_weight, max(1, round(weight / unit)), unit, statistics, None)


def step_size(stream: Stream, weight: float, offset: float, power: float) -> float:
    """Return gamma of a batch of some weight, which the stream has counted already."""
    at_unit = (stream.weight / stream.unit + offset) ** -power
    return 1.0 if at_unit >= 1 else -math.expm1(weight / stream.unit * math.log1p(-at_unit))


def advance(stream: Stream, batch: Batch, estimator: Any, *, single: bool) -> Advance:
    """Make a step of EM: forget some of what there is, add the batch, and maximise; `single` rounds to float32.

    Raises
    ------
    ValueError
        If a covariance is singular and `reg_covar` is 0, or the numbers overflow.
    """
    kind = estimator.covariance_type
    assert stream.statistics is not None
    statistics = core.statistics[kind](*stream.statistics)
    if stream.buffer is None:
        stream = stream.count(batch)
    keep = 1.0
    if estimator.step_power is not None and stream.buffer is None:
        gamma = step_size(stream, batch.weight, estimator.step_offset, estimator.step_power)
        keep = max((1 - gamma) / gamma * batch.weight / statistics.total_weight, np.finfo(np.float64).tiny)
    step = _Step(batch, statistics, keep, stream, estimator)
    result = core.mixtures[kind].fit_passes(
        step,
        full_model(estimator),
        tol=0.0,
        reg_covar=estimator.reg_covar,
        max_iter=1,
        given_start=True,
        n_threads=threads(estimator.n_threads),
        single=single,
        callback=lambda *_: False,
        previous_bound=-math.inf,
        state=None,
    )
    return Advance(dataclasses.replace(stream, statistics=_arrays(step.statistics)), result, step.reseeded)


def _arrays(s: Any) -> tuple[Any, ...]:
    """Return what makes the compiled statistics again, and pickles."""
    return np.array(s.counts), np.array(s.means), np.array(s.covariances), s.log_likelihood, s.total_weight
