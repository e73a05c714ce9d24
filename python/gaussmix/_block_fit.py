"""The fit of a mixture to rows in blocks: restarts, checkpoints, and what the estimator tells of them.

The EM loop is that of the core, which runs a number of iterations at a time. Between two such runs a `Course` says all
that the rest of the fit depends on, so that a fit that goes on from a file ends with the bits of one that was never
broken off.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._checkpoint import Course, Restart, read_course, write_course
from gaussmix._dispatch import core, threads
from gaussmix._mixture import FitEvent, FitRestart, GaussianMixture, _draw_seed
from gaussmix._passes import Parameters, Passes, Source, Survey, survey
from gaussmix._progress import Meter, Reporter
from gaussmix._seeding import Seeding, default_sample_size, start
from gaussmix._validation import warn_of_small_weights

__all__ = ["Plan", "fit_blocks"]

_INT_MAX = 2**31 - 1


@dataclass
class Plan:
    """How rows in blocks are fitted, beyond the parameters of the estimator.

    Attributes
    ----------
    seeding : {"reservoir", "k-means||"}
        How a start is made where no means are given.
    sample_size : int or None
        Rows of the sample; None: :func:`gaussmix._seeding.default_sample_size`.
    checkpoint : path or None
        Where the course of the fit is kept.
    checkpoint_every : int
        Iterations between two writes.
    resume : bool
        Whether to go on from a checkpoint that is there.
    meter : Meter or None
        Is told of iterations.
    """

    seeding: Seeding = "reservoir"
    sample_size: int | None = None
    checkpoint: str | os.PathLike[str] | None = None
    checkpoint_every: int = 10
    resume: bool = True
    meter: Meter | None = None


@dataclass
class _Steps:
    """Passes for some iterations: their final likelihood is not asked for, as it would take a pass of its own."""

    passes: Passes
    moved: bool = False
    latest: core.Mixture | None = field(default=None)

    def accumulate(self, mixture: core.Mixture) -> core.Statistics:
        self.latest, self.moved = mixture, False
        return self.passes.accumulate(mixture)

    def worst_rows(self, mixture: core.Mixture, count: int) -> NDArray[np.float64]:
        rows = self.passes.worst_rows(mixture, count)
        self.moved = len(rows) == count
        return rows

    def score(self, mixture: core.Mixture) -> float:
        return 0.0


def fit_blocks(estimator: GaussianMixture, source: Source, plan: Plan) -> bool:
    """Fit an estimator to rows in blocks, and set its attributes.

    Parameters
    ----------
    estimator : GaussianMixture
        Whose parameters, which have been validated, count.
    source : Source
        The rows.
    plan : Plan
        The rest.

    Returns
    -------
    stopped : bool
        Whether a callback stopped the fit.

    Raises
    ------
    ValueError
        As :meth:`GaussianMixture.fit`; if the source does not give the same rows each time; if the checkpoint is of
        another fit.
    KeyboardInterrupt
        On Ctrl-C, after the model so far has been set.
    """
    saved = None
    if plan.checkpoint is not None and plan.resume and os.path.exists(plan.checkpoint):
        saved = read_course(plan.checkpoint)
    seed = _draw_seed(estimator.random_state) if saved is None else saved.seed
    size = max(plan.sample_size or default_sample_size(estimator.n_components), estimator.n_components, 2)
    found = survey(source, size, seed)
    _check_enough(found, estimator.n_components)
    estimator.n_features_in_ = found.n_features
    if source.feature_names is not None:
        estimator.feature_names_in_ = np.asarray(source.feature_names, dtype=object)
    elif hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_
    digest = _digest(estimator, found, plan.seeding, size)
    if saved is not None and saved.digest != digest:
        raise ValueError(
            f"The checkpoint {os.fspath(plan.checkpoint or '')!r} is of a fit with other rows or parameters. Delete "
            "it, or begin anew with resume=False."
        )
    course = Course(seed, digest) if saved is None else saved
    fit = _BlockFit(estimator, source, found, plan, course, size)
    try:
        fit.run()
    except KeyboardInterrupt:
        fit.keep_latest()
        raise
    fit.set_attributes()
    fit.reporter.finish()
    return fit.stopped


class _BlockFit:
    """One fit to rows in blocks."""

    def __init__(
        self, estimator: GaussianMixture, source: Source, found: Survey, plan: Plan, course: Course, size: int
    ) -> None:
        self._estimator, self._plan, self._course = estimator, plan, course
        self._passes = Passes(source, found, estimator.covariance_type, estimator.n_threads)
        self._sample = found.sample.estimate(size)
        self._kind = core.mixtures[estimator.covariance_type]
        given = [estimator.weights_init, estimator.means_init, estimator.precisions_init]
        self._given = any(part is not None for part in given)
        self._previous, self._previous_bound = estimator._previous(found.n_features)
        once = self._previous is not None or estimator.means_init is not None
        self._n_init = 1 if once else estimator.n_init
        self.stopped = False
        self.reporter = Reporter(estimator, self._n_init, None)
        self._steps = _Steps(self._passes)
        for restart in course.restarts:
            self.reporter.restarts.append((list(restart.bounds), restart.converged))

    def run(self) -> None:
        """Run EM from all starts."""
        course = self._course
        failure: ValueError | None = None
        for number in range(self._n_init):
            if number < len(course.restarts) and course.restarts[number].ended:
                continue
            if self.stopped:
                break
            try:
                self._run_restart(number)
            except ValueError as error:
                if error is self._passes.failure:
                    raise
                failure = error
                del course.restarts[number:]
                course.restarts.append(Restart(failed=True, ended=True))
        if course.best() is None:
            assert failure is not None
            raise failure

    def _run_restart(self, number: int) -> None:
        """Run EM from one start, or go on with it."""
        estimator, course = self._estimator, self._course
        if number == len(course.restarts):
            self._report("start", number, 0, 0.0, 0.0, False)
            course.restarts.append(Restart(self._start(number), previous_bound=self._previous_bound))
            self._write()
        restart = course.restarts[number]
        every = estimator.max_iter if self._plan.checkpoint is None else self._plan.checkpoint_every
        while restart.iterations < estimator.max_iter and not restart.converged and not self.stopped:
            self._advance(number, restart, min(every, estimator.max_iter - restart.iterations))
            self._write()
        self._end(number, restart)
        self._write()

    def _advance(self, number: int, restart: Restart, iterations: int) -> None:
        """Run some iterations."""
        assert restart.parameters is not None
        result = self._fit_passes(self._steps, number, restart, iterations, single=False)
        restart.parameters = self._parameters(result)
        restart.bounds += result["lower_bounds"]
        restart.previous_bound = -np.inf if self._steps.moved else result["lower_bounds"][-1]
        restart.converged = result["converged"]
        restart.state = result["state"]
        self.stopped |= result["stopped"]
        self._steps.latest = None  # it is behind
        if result["raised"] is not None:
            raise result["raised"]

    def _end(self, number: int, restart: Restart) -> None:
        """Round the model if the rows are float32, and find its likelihood."""
        result = self._fit_passes(self._passes, number, restart, 0, single=self._passes.found.single)
        restart.parameters = self._parameters(result)
        restart.lower_bound = result["lower_bound"]
        restart.ended = True
        self.stopped |= self._report("end", number, restart.iterations, restart.lower_bound, 0.0, restart.converged)
        self._course.forget_all_but_the_best()

    def _fit_passes(
        self, passes: Any, number: int, restart: Restart, iterations: int, single: bool
    ) -> core.PassesResult:
        estimator = self._estimator

        def callback(stage: str, _: int, iteration: int, bound: float, change: float, converged: bool) -> bool:
            return self._report(stage, number, iteration, bound, change, converged)

        assert restart.parameters is not None
        return self._kind.fit_passes(
            passes,
            restart.parameters.mixture(),
            tol=estimator.tol,
            reg_covar=estimator.reg_covar,
            max_iter=min(iterations, _INT_MAX),
            given_start=self._given,
            n_threads=threads(estimator.n_threads),
            single=single,
            callback=callback,
            previous_bound=restart.previous_bound,
            state=restart.state,
        )

    def _start(self, number: int) -> Parameters:
        kind = self._estimator.covariance_type
        if self._previous is not None:
            return Parameters.of(kind, self._previous)
        seeds = np.random.SeedSequence(self._course.seed).generate_state(number + 1, np.uint64)
        mixture = start(self._passes, self._estimator, self._plan.seeding, self._sample, int(seeds[number]))
        return Parameters.of(kind, mixture)

    def _parameters(self, result: core.FitResult) -> Parameters:
        arrays = (result["weights"], result["means"], result["covariances"], result["precisions_cholesky"])
        return Parameters(self._estimator.covariance_type, *arrays)

    def _report(self, stage: str, number: int, iteration: int, bound: float, change: float, converged: bool) -> bool:
        meter = self._plan.meter
        if meter is not None and stage in ("start", "iteration"):
            restarts = self._n_init - number - 1
            left = self._estimator.max_iter - iteration + restarts * self._estimator.max_iter
            meter.iterate(number, iteration, left)
        return self.reporter(stage, number, iteration, bound, change, converged)

    def _write(self) -> None:
        if self._plan.checkpoint is not None:
            self.set_attributes(self._course.best() or self._course.restarts[-1])
            write_course(self._plan.checkpoint, self._estimator, self._course)

    def keep_latest(self) -> None:
        """Set the attributes to the best model that there is, after an interruption."""
        if self._course.best() is not None:
            self.set_attributes()
        elif self._course.restarts and self._course.restarts[-1].parameters is not None:
            restart = self._course.restarts[-1]
            if self._steps.latest is not None:
                restart.parameters = Parameters.of(self._estimator.covariance_type, self._steps.latest)
            restart.bounds = list(self.reporter.restarts[-1][0])
            restart.lower_bound = restart.bounds[-1] if restart.bounds else -np.inf
            self.set_attributes(restart)

    def set_attributes(self, restart: Restart | None = None) -> None:
        """Set the attributes of the estimator to those of a restart: of the best, if none is given."""
        estimator, course = self._estimator, self._course
        restart = restart or course.best()
        assert restart is not None
        assert restart.parameters is not None
        dtype = np.dtype(np.float32 if restart.ended and self._passes.found.single else np.float64)
        estimator._set_parameters(*restart.parameters[1:], dtype)
        estimator._stream = None
        estimator._total_weight = self._passes.found.total_weight
        estimator.converged_ = restart.converged
        estimator.lower_bound_ = restart.lower_bound
        estimator.lower_bounds_ = list(restart.bounds)
        estimator.n_iter_ = restart.iterations
        estimator.restarts_ = [FitRestart(list(r.bounds), r.converged, r is restart) for r in course.restarts]
        estimator.events_ = [
            FitEvent(cause, component, number, iteration, r is restart)
            for number, r in enumerate(course.restarts)
            for cause, component, _, iteration, _ in ([("failed", -1, number, 0, False)] if r.failed else r.state[3])
        ]


def _check_enough(found: Survey, n_components: int) -> None:
    """Check as a fit in memory does that there are rows for all components, with weights that count."""
    n = found.n_samples
    if n < 2:
        raise ValueError(
            f"Found array with {n} sample(s) (shape=({n}, {found.n_features})) while a minimum of 2 is required by "
            "GaussianMixture."
        )
    if n < n_components:
        raise ValueError(f"Expected n_samples >= n_components but got n_components = {n_components}, n_samples = {n}")
    if not found.weighted:
        return
    if found.positive == 0:
        raise ValueError("Sample weights must contain at least one non-zero number; `sample_weight` is all zero.")
    if found.positive < n_components:
        raise ValueError(
            f"Expected at least n_components = {n_components} rows with a positive sample_weight, but got "
            f"{found.positive}; decrease n_components."
        )
    if not np.isfinite(found.total_weight):
        raise ValueError("The sum of `sample_weight` overflows; divide the weights by their maximum.")
    warn_of_small_weights(np.array([found.total_weight]), n_components)


def _digest(estimator: GaussianMixture, found: Survey, seeding: str, size: int) -> str:
    """Return what tells a fit from others: of its parameters, and of how many rows there are and a sample of them."""
    digest = hashlib.sha256(f"{seeding} {size} {found.rows} {found.total_weight}".encode())
    for array in found.sample:
        digest.update(array.tobytes())
    for name, value in sorted(estimator.get_params(deep=False).items()):
        if name.endswith("_init") and value is not None and not np.isscalar(value):
            digest.update(np.asarray(value, dtype=np.float64).tobytes())
        elif name not in ("verbose", "verbose_interval", "n_threads"):
            text = "drawn" if isinstance(value, np.random.RandomState) else repr(value)
            digest.update(f"{name}={text}".encode())
    return digest.hexdigest()
