"""`partial_fit`: stepwise EM over batches, begun by a fit of the first of them.

With s the sufficient statistics of a row, each batch is one E-step and one M-step (Cappé and Moulines 2009; Liang and
Klein 2009):

    s <- (1 - gamma) s + gamma s_batch,    theta <- maximize(s),    gamma = 1 - (1 - max((t + t0)^-alpha, f))^(w / u)

where w is the weight of the batch and t = W / u the time: the weight W of all rows so far in units u, of which the
buffer of the first batches is about ten. A batch of weight u so takes the published step (t + t0)^-alpha, or the
floor f if that is larger, and what is cut into smaller batches takes as many smaller steps. Without forgetting, s is
the plain mean over all rows. A `Stream` is never changed but replaced, when all of a call has succeeded.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import NotFittedError

from gaussmix._batch import Batch
from gaussmix._dispatch import core, full_model, n_parameters, threads
from gaussmix._passes import Moments
from gaussmix._step import Step, without_regularisation
from gaussmix._validation import Rows

# The buffer: until its rows are so many, of so many batches, or take so many bytes.
BUFFER_ROWS = 5_000
BUFFER_ROWS_PER_DIMENSION = 10  # of each component, for its mean and for each feature
BUFFER_STEPS = 10
BUFFER_BYTES = 64 * 2**20
# It is fitted again whenever it has grown by this factor, so that all these fits cost about three of the last one.
BUFFER_GROWTH = 1.5
# The last of these fits goes on until an iteration gains this share of `tol`, for so many times `max_iter` iterations:
# where EM is slow, a pass of small steps would not make up for what is left undone here, where rows are few. If they
# are fewer than the parameters, to go on would rather fit their noise.
BUFFER_TOL = 1e-3
BUFFER_ITERATIONS = 10


@dataclasses.dataclass(frozen=True)
class Stream:
    """What an estimator remembers of its batches.

    Attributes
    ----------
    weight, rows, batches : float
        Of all batches so far; rows and batches are those of positive weight.
    unit : float
        Weight of a step of time; while the buffer is filled it is not known, and 0.
    statistics : Moments or None
        What is remembered.
    buffer : tuple of Batch or None
        The first batches; None as soon as they are no longer kept.
    fitted_rows : float
        Rows of the buffer when a fit of it was last tried.
    """

    weight: float = 0.0
    rows: float = 0.0
    batches: int = 0
    unit: float = 0.0
    statistics: Moments | None = None
    buffer: tuple[Batch, ...] | None = ()
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

    def check_has_model(self, n_components: int, reg_covar: float) -> None:
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
        if reg_covar == 0:
            raise NotFittedError(
                "The rows that partial_fit has seen have no spread to fit a mixture to with reg_covar = 0; give it "
                "more rows, or increase reg_covar."
            )
        raise NotFittedError(
            f"The rows that partial_fit has seen are enough for n_components = {n_components}, which was changed since "
            "the last call; call it again."
        )


class Advance(NamedTuple):
    """What a step of EM has made: the stream after it, the core's result, and the components started again."""

    stream: Stream
    result: core.FitResult
    reseeded: list[int]


def step_rows(estimator: Any, n_features: int) -> float:
    """Return the rows that a step of time has at least: a tenth of what the buffer is to hold."""
    enough = BUFFER_ROWS_PER_DIMENSION * estimator.n_components * (n_features + 1)
    return float(max(BUFFER_ROWS, enough) / BUFFER_STEPS)


def is_full(stream: Stream, estimator: Any, held: tuple[Batch, ...]) -> bool:
    """Return whether the batches of a buffer have enough rows of enough calls, or take all the memory that they may."""
    enough = BUFFER_STEPS * step_rows(estimator, held[0].X.shape[1])
    return Batch.joined_nbytes(held) >= BUFFER_BYTES or (stream.rows >= enough and stream.batches >= BUFFER_STEPS)


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
    stream, earlier = stream.count(batch), stream.buffer or ()
    full = is_full(stream, estimator, (*earlier, batch))
    held = (*earlier, batch if full else batch.copy())
    if not full and stream.rows < BUFFER_GROWTH * stream.fitted_rows:
        return dataclasses.replace(stream, buffer=held), None
    rows = Batch.join(held)
    if stream.statistics is None and not rows.has_distinct(estimator.n_components):
        merged = rows.merge_repeated()
        return dataclasses.replace(stream, buffer=(merged,)), None
    fitted = type(estimator)(**(estimator.get_params(deep=False) | {"warm_start": False}))
    if full and len(rows.X) >= n_parameters(estimator.covariance_type, estimator.n_components, d):
        fitted.tol, fitted.max_iter = BUFFER_TOL * fitted.tol, BUFFER_ITERATIONS * fitted.max_iter
    n_threads = threads(estimator.n_threads)
    checked = Rows([rows.X], rows.X.shape, rows.X.dtype)
    try:
        fitted._fit_rows(checked, rows.weights, n_threads)
    except ValueError:
        if estimator.reg_covar > 0 or full:
            raise
        # A fit that fails waits until it is due again, but for the very first rows, of which each may make it one.
        if stream.statistics is not None or stream.rows >= 4 * estimator.n_components:
            stream = dataclasses.replace(stream, fitted_rows=stream.rows)
        return dataclasses.replace(stream, buffer=(rows,)), None
    statistics = Moments.of(full_model(fitted).accumulate(rows.data(), n_threads))
    stream = dataclasses.replace(stream, statistics=statistics, buffer=(rows,), fitted_rows=stream.rows)
    if full:
        mean_rows = stream.rows / stream.batches
        unit = stream.weight / stream.batches * max(1.0, step_rows(estimator, d) / mean_rows)
        stream = dataclasses.replace(stream, buffer=None, unit=unit)
    return stream, fitted


def begin_with_model(estimator: Any, batch: Batch) -> Stream:
    """Return the stream that begins with an estimator's model.

    `fit` counts with the weight of its rows, a model that has seen none as one step of time. What a row weighs the fit
    knows; where there was none, the batch is the only one that does.
    """
    k, d = np.asarray(estimator.means_).shape
    total, rows = estimator._total_weight, estimator._total_rows
    row_weight = total / rows if rows else batch.weight / len(batch.X)
    unit = row_weight * max(len(batch.X), step_rows(estimator, d))
    weight = total or unit
    weights, means, covariances, _ = (np.array(a) for a in full_model(estimator).arrays())
    covariances = without_regularisation(covariances, estimator.covariance_type, estimator._added)
    bound = getattr(estimator, "lower_bound_", -np.inf)
    if not np.isfinite(bound):
        bound = full_model(estimator).score(batch.data(), threads(estimator.n_threads))
    statistics = Moments(weights * weight, means.reshape(k, d), covariances, bound * weight, weight)
    return Stream(weight, weight / row_weight, max(1, round(weight / unit)), unit, statistics, None)


def remembered_weight(stream: Stream, weight: float, offset: float, power: float, floor: float) -> float:
    """Return the weight that earlier batches keep beside one of some weight, which the stream has counted already.

    It is (1 - gamma) / gamma times that weight. Within the first steps of time, which only a model that was given has
    without a buffer, it is at most what there has been.
    """
    at_unit = max((stream.weight / stream.unit + offset) ** -power, floor)
    if at_unit >= 1:
        return 0.0
    # With 1 - gamma = exp(-x), from x itself: gamma would underflow with the weight. Beyond 700 nothing is left.
    rate = -math.log1p(-at_unit)
    x = min(weight / stream.unit * rate, 700.0)
    kept = stream.unit / rate * (x / math.expm1(x) if x > 0 else 1.0)
    return min(kept, stream.weight - weight) if stream.weight < BUFFER_STEPS * stream.unit else kept


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
    forgets = estimator.step_power is not None and stream.buffer is None
    if forgets:
        steps = estimator.step_offset, estimator.step_power, estimator.step_floor
        kept = remembered_weight(stream, batch.weight, *steps)
        keep = max(kept / statistics.total_weight, np.finfo(np.float64).tiny)
    step = Step(batch, statistics, keep, stream.weight / stream.rows, forgets, estimator)
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
        score_result=False,
    )
    return Advance(dataclasses.replace(stream, statistics=Moments.of(step.statistics)), result, step.reseeded)
