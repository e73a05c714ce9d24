"""What a fit tells: warnings, verbose output, progress, scikit-learn's callbacks, and the way for Ctrl-C into it."""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

try:  # scikit-learn >= 1.9
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:
    _Method = TypeVar("_Method", bound=Callable[..., Any])

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in where scikit-learn has no callbacks."""

    def with_callbacks(method: _Method) -> _Method:
        """Return the method: there are no callbacks to tear down."""
        return method


__all__ = ["Bar", "CallbackSupportMixin", "Meter", "Reporter", "warn", "with_callbacks"]


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line of the user's code: the first one outside gaussmix and scikit-learn."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("gaussmix", "sklearn"):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


class Reporter:
    """The callback that the core calls between iterations, restarts, starts that are tried, and steps of a lone start.

    It prints as scikit-learn does, and drives scikit-learn's callbacks where some are set. What it raises (calling it
    is also what lets the interpreter deliver Ctrl-C) ends the fit, and is raised again when the best model so far is
    set.

    Parameters
    ----------
    estimator : GaussianMixture
        The estimator that is fitted.
    restarts : int
        Number of restarts.
    X : array-like of shape (n_samples, n_features)
        The rows, for scikit-learn's callbacks.
    cancelled : callable, default=None
        Asked each time; once it returns True the fit stops.

    Attributes
    ----------
    restarts : list of tuple (list of float, bool)
        The lower bounds of each restart, and whether it has converged.
    """

    def __init__(self, estimator: Any, restarts: int, X: Any, cancelled: Callable[[], bool] | None = None) -> None:
        self.verbose = int(estimator.verbose)
        self.interval = estimator.verbose_interval
        self.stopped = False
        self.restarts: list[tuple[list[float], bool]] = []
        self._estimator = estimator
        self._X = X
        self._cancelled = cancelled
        self._root: Any = None
        self._restart: Any = None
        if getattr(estimator, "_skl_callbacks", None) or hasattr(estimator, "_parent_callback_ctx"):
            self._root = estimator._init_callback_context(max_subtasks=restarts)
            self._root.call_on_fit_task_begin(estimator=estimator, X=X)
        self._silent = not self.verbose and self._root is None

    def __call__(
        self, stage: str, restart: int, iteration: int, lower_bound: float, change: float, converged: bool
    ) -> bool:
        """Return True to stop the fit."""
        if self._cancelled is not None and self._cancelled():
            return True
        if stage == "start":
            self.restarts.append(([], False))
        elif stage == "iteration":
            bounds, _ = self.restarts[-1]
            bounds.append(lower_bound)
            self.restarts[-1] = bounds, converged
        if self._silent or stage == "seeding":
            return False
        if self.verbose:
            self._print(stage, restart, iteration, lower_bound, change, converged)
        if self._root is not None:
            self.stopped |= self._notify(stage)
        return self.stopped

    def finish(self) -> None:
        """End the root task of scikit-learn's callbacks."""
        if self._root is not None:
            self._root.call_on_fit_task_end(estimator=self._estimator, X=self._X)

    def _notify(self, stage: str) -> bool:
        if stage == "start":
            self._restart = self._root.subcontext(task_name="restart", max_subtasks=self._estimator.max_iter)
            self._restart.call_on_fit_task_begin(estimator=self._estimator, X=self._X)
        elif stage == "iteration":
            step = self._restart.subcontext(task_name="EM iteration")
            step.call_on_fit_task_begin(estimator=self._estimator, X=self._X)
            return bool(step.call_on_fit_task_end(estimator=self._estimator, X=self._X))
        elif stage == "end":
            return bool(self._restart.call_on_fit_task_end(estimator=self._estimator, X=self._X))
        return False

    def _print(
        self, stage: str, restart: int, iteration: int, lower_bound: float, change: float, converged: bool
    ) -> None:
        now = time.perf_counter()
        if stage == "start":
            print(f"Initialization {restart}")
            self._started = self._lapse = now
        elif stage == "iteration" and iteration % self.interval == 0:
            if self.verbose == 1:
                print(f"  Iteration {iteration}")
            else:
                print(f"  Iteration {iteration}\t time lapse {now - self._lapse:.5f}s\t ll change {change:.5f}")
            self._lapse = now
        elif stage == "end" and self._estimator.max_iter > 0:
            how = "converged" if converged else "did not converge"
            if self.verbose == 1:
                print(f"Initialization {how}.")
            else:
                print(f"Initialization {how}. time lapse {now - self._started:.5f}s\t lower bound {lower_bound:.5f}.")


class Bar:
    """A bar on stderr that is drawn again, at most ten times a second, as tasks end.

    Parameters
    ----------
    title : str
        Stands before the bar.
    total : int
        Tasks at most; fewer may be done.
    shown : bool
        Whether to draw at all.
    """

    def __init__(self, title: str, total: int, shown: bool) -> None:
        self._title, self._total, self._shown = title, total, shown
        self._done = self._width = 0
        self._started, self._drawn = time.perf_counter(), -math.inf

    def step(self, text: str) -> None:
        """Count one more task, with what there is to say about it."""
        self._done += 1
        if self._shown and (time.perf_counter() - self._drawn > 0.1 or self._done == self._total):
            self._draw(text)

    def close(self, text: str) -> None:
        """Draw the last state and end the line."""
        if self._shown:
            self._draw(text)
            print(file=sys.stderr, flush=True)

    def _draw(self, text: str) -> None:
        self._drawn = time.perf_counter()
        filled = 20 * self._done // self._total
        seconds = self._drawn - self._started
        line = f"{self._title} [{'#' * filled:.<20}] {self._done}/{self._total} {seconds:.1f} s  {text}"
        print(f"\r{line:<{self._width}}", end="", file=sys.stderr, flush=True)
        self._width = len(line)


class Meter:
    """A line on stderr that tells how fast rows are gone through, and how long it may yet take.

    Parameters
    ----------
    max_iter : int
        Iterations at most.
    clock : callable, default=time.perf_counter
        Returns seconds.
    """

    def __init__(self, max_iter: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._left, self._clock = max_iter, clock
        self._what = "seeding"
        self._rows = self._done = self._width = 0  # of a pass, of this pass, and of the line
        self._drawn = -math.inf

    def begin_pass(self) -> None:
        """Begin to count rows."""
        self._began, self._done = self._clock(), 0

    def step(self, rows: int) -> None:
        """Count some more rows; the line is drawn again, at most ten times a second."""
        self._done += rows
        if self._clock() - self._drawn > 0.1:
            self._draw()

    def end_pass(self) -> None:
        """Take note of how many rows there are."""
        self._rows = self._done
        self._draw()

    def iterate(self, restart: int, iteration: int, left: int) -> None:
        """Tell which iteration has ended, and how many are left at most."""
        self._what, self._left = f"restart {restart}, iteration {iteration}", left

    def close(self) -> None:
        """End the line."""
        if self._width:
            print(file=sys.stderr, flush=True)

    def _draw(self) -> None:
        self._drawn = self._clock()
        rate = self._done / max(self._drawn - self._began, 1e-9)
        line = f"{self._what}: {self._done:.3g}{f' of {self._rows:.3g}' if self._rows else ''} rows, {rate:.3g} rows/s"
        if self._rows and rate:
            rest = (self._rows - self._done) / rate
            line += f", {rest:.1f} s left of this pass, at most {rest + self._left * self._rows / rate:.0f} s of all"
        print(f"\r{line:<{self._width}}", end="", file=sys.stderr, flush=True)
        self._width = len(line)
