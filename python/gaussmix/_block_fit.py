"""The fit of a mixture to rows in blocks: restarts, checkpoints, and what the estimator tells of them.

The EM loop is that of the core, which runs a number of iterations at a time. Between two such runs a `Course` says all
that the rest of the fit depends on, so that a fit that goes on from a file ends with the bits of one that was never
broken off.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace

import numpy as np

from gaussmix._checkpoint import check_writable, read_course, refusing, write_course
from gaussmix._course import CORE, Course, Restart, settings_of
from gaussmix._dispatch import core, threads
from gaussmix._mixture import FitEvent, FitRestart, GaussianMixture, _draw_seed
from gaussmix._passes import Parameters, Passes, Source, Survey, survey
from gaussmix._progress import Meter, Reporter, warn
from gaussmix._seeding import NO_MODEL, Seeding, default_sample_size, n_passes, start
from gaussmix._validation import warn_of_small_weights

__all__ = ["Plan", "fit_blocks"]


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
        another fit, or damaged.
    OSError
        If the checkpoint cannot be read, or at the beginning not be written.
    KeyboardInterrupt
        On Ctrl-C. As with all that is raised while EM runs, the model so far has been set, and written down.

    Warns
    -----
    UserWarning
        If the checkpoint cannot be written any more; the fit goes on. If it is of another version or instruction set.
    """
    estimator._start(_features_of_start(estimator))  # what can be known to be wrong before a pass
    size = max(plan.sample_size or default_sample_size(estimator.n_components), estimator.n_components, 2)
    course = _begin(estimator, plan, size)
    found = survey(source, size, course.seed, checksums=plan.checkpoint is not None)
    with refusing(plan.checkpoint):
        course.check_rows(found)
    _check_enough(found, estimator.n_components)
    estimator.n_features_in_ = found.n_features
    names = found.names if source.feature_names is None else source.feature_names
    if names is not None:
        estimator.feature_names_in_ = np.asarray(names, dtype=object)
    elif hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_
    fit = _BlockFit(estimator, source, found, plan, course, size)
    try:
        fit.run()
    except BaseException:
        fit.show()
        with contextlib.suppress(Exception):  # what was raised is to be known, not that a disk is full too
            fit.write()
        raise
    fit.reporter.finish()
    return fit.stopped


def _features_of_start(estimator: GaussianMixture) -> int:
    """Return the number of features that given parameters say; any, if they do not."""
    given = estimator.precisions_init if estimator.means_init is None else estimator.means_init
    return max(np.asarray(given).shape[-1:], default=1)


def _begin(estimator: GaussianMixture, plan: Plan, size: int) -> Course:
    """Return where the fit stands: at its begin, or where a checkpoint says."""
    settings = settings_of(estimator, seeding=plan.seeding, sample_size=size)
    if plan.checkpoint is not None:
        check_writable(plan.checkpoint)
        if plan.resume and os.path.exists(plan.checkpoint):
            course = read_course(plan.checkpoint)
            with refusing(plan.checkpoint):
                course.go_on_with(settings)
            before = course.go_on_here()
            if before is not None:
                warn(
                    f"The fit was begun by {before} and goes on with {CORE}: its last bits will be others than those "
                    "of a fit without a break. GAUSSMIX_ISA chooses the instruction set.",
                    UserWarning,
                )
            return course
    return Course(_draw_seed(estimator.random_state), settings)


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

    def run(self) -> None:
        """Run EM from all starts, and set the attributes to the best model."""
        restarts = self._course.restarts
        failure: ValueError | None = None
        for number in range(self._n_init):
            if self.stopped or (number < len(restarts) and restarts[number].ended):
                continue
            try:
                self._run_restart(number)
            except NO_MODEL as error:
                failure = error
                restarts[number:] = [Restart(failed=True, ended=True)]
                self.write()
        if failure is not None and self._course.best() is None:
            try:
                raise failure
            finally:
                del failure  # it knows this frame, which would keep the rows
        self.show()

    def _run_restart(self, number: int) -> None:
        """Run EM from one start, or go on with it."""
        restarts, max_iter = self._course.restarts, self._estimator.max_iter
        begun = restarts[number].iterations if number < len(restarts) else 0
        self._report("start", number, begun, 0.0, 0.0, False)
        if number == len(restarts):
            restarts.append(Restart(self._start(number), previous_bound=self._previous_bound))
            self.write()
        while restarts[number].iterations < max_iter and not restarts[number].converged and not self.stopped:
            self._iterate(number)
            if restarts[number].iterations % self._plan.checkpoint_every == 0:
                self.write()
        self._end(number)

    def _iterate(self, number: int) -> None:
        """Run an iteration."""
        before = self._course.restarts[number]
        result = self._fit_passes(number, max_iter=1)
        moved = result["state"][1] > before.state[1]
        bounds = before.bounds + result["lower_bounds"]
        # All at once: Ctrl-C may come at any time, and what stands here is written down then.
        self._course.restarts[number] = replace(
            before,
            parameters=self._parameters(result),
            bounds=bounds,
            previous_bound=-np.inf if moved else bounds[-1],
            converged=result["converged"],
            state=result["state"],
        )
        self.stopped |= result["stopped"]
        if result["raised"] is not None:
            raise result["raised"]

    def _end(self, number: int) -> None:
        """Find the likelihood of the model, which is rounded if the rows are float32."""
        bound = self._fit_passes(number, max_iter=0)["lower_bound"]
        restart = replace(self._course.restarts[number], lower_bound=bound, ended=True)
        self._course.restarts[number] = restart
        self.stopped |= self._report("end", number, restart.iterations, bound, 0.0, restart.converged)
        self._course.forget_all_but_the_best()
        self.write()

    def _fit_passes(self, number: int, max_iter: int) -> core.PassesResult:
        """Run the loop of the core; without iterations, its end."""
        estimator, restart = self._estimator, self._course.restarts[number]

        def callback(stage: str, _: int, iteration: int, bound: float, change: float, converged: bool) -> bool:
            return self._report(stage, number, iteration, bound, change, converged)

        assert restart.parameters is not None
        return self._kind.fit_passes(
            self._passes,
            restart.parameters.mixture(),
            tol=estimator.tol,
            reg_covar=estimator.reg_covar,
            max_iter=max_iter,
            given_start=self._given,
            n_threads=threads(estimator.n_threads),
            single=max_iter == 0 and self._passes.found.single,
            callback=callback,
            previous_bound=restart.previous_bound,
            state=restart.state,
            score_result=max_iter == 0,
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
            # Beside the pass that follows: one an iteration, and one for the likelihood; and what a start takes.
            seeding = 0 if self._previous is not None else n_passes(self._estimator, self._plan.seeding)
            drawn = seeding if number == len(self._course.restarts) else 0
            restarts = self._n_init - number - 1
            max_iter = self._estimator.max_iter
            meter.iterate(number, iteration, drawn + max_iter - iteration + restarts * (seeding + max_iter + 1))
        return self.reporter(stage, number, iteration, bound, change, converged)

    def write(self) -> None:
        """Write a checkpoint, where one is wanted and there is a model."""
        if self._plan.checkpoint is not None and self.show():
            try:
                write_course(self._plan.checkpoint, self._estimator, self._course)
            except (OSError, ValueError) as error:
                warn(f"The checkpoint cannot be written, and the fit goes on without: {error}", UserWarning)

    def show(self) -> bool:
        """Set the attributes to the best model that there is; return whether there is one."""
        restart = self._course.shown()
        if restart is not None:
            self._set_attributes(restart)
        return restart is not None

    def _set_attributes(self, restart: Restart) -> None:
        estimator = self._estimator
        assert restart.parameters is not None
        dtype = np.dtype(np.float32 if restart.ended and self._passes.found.single else np.float64)
        weights, means, covariances, factors = (array.astype(dtype) for array in restart.parameters[1:])
        estimator._set_model(weights, means, covariances, factors, dtype)
        estimator._stream = None
        estimator._total_weight = self._passes.found.total_weight
        estimator._total_rows = self._passes.found.positive
        estimator._added = estimator.reg_covar
        estimator.converged_ = restart.converged
        estimator.lower_bound_ = restart.lower_bound if restart.ended else max(restart.bounds[-1:], default=-np.inf)
        estimator.lower_bounds_ = list(restart.bounds)
        estimator.n_iter_ = restart.iterations
        estimator.restarts_ = [FitRestart(list(r.bounds), r.converged, r is restart) for r in self._course.restarts]
        estimator.events_ = [
            FitEvent(cause, component, number, iteration, r is restart)
            for number, r in enumerate(self._course.restarts)
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
