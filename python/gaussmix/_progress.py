"""What a fit tells: warnings, verbose output, scikit-learn's callbacks, and the way for Ctrl-C into it."""

from __future__ import annotations

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


__all__ = ["CallbackSupportMixin", "Reporter", "warn", "with_callbacks"]


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line of the user's code: the first one outside gaussmix and scikit-learn."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("gaussmix", "sklearn"):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


class Reporter:
    """The callback that the core calls between iterations, restarts and steps of the seeding.

    It prints as scikit-learn does, and drives scikit-learn's callbacks where some are set. What it raises (calling it
    is also what lets the interpreter deliver Ctrl-C) ends the fit, and is raised again when the best model so far is
    set.

    Parameters
    ----------
    estimator : GaussianMixture
        The estimator that is fitted.
    restarts : int
        Number of restarts.
    """

    def __init__(self, estimator: Any, restarts: int, X: Any) -> None:
        self.verbose = int(estimator.verbose)
        self.interval = estimator.verbose_interval
        self.stopped = False
        self._estimator = estimator
        self._X = X
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
