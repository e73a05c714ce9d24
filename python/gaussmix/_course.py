"""How far a fit to rows in blocks has come, and whether another call may go on with it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gaussmix._dispatch import core, isa
from gaussmix._mixture import GaussianMixture
from gaussmix._passes import Parameters, Survey
from gaussmix.io import STARTS, _plain

__all__ = ["Course", "Restart", "settings_of"]

# iterations, moved components, floored covariances, events: as the core's `fit_passes` takes and gives them
State = tuple[int, int, list[int], list[tuple[str, int, int, int, bool]]]

CORE = f"gaussmix {core.config['version']} with {isa}"

# Parameters of the estimator that the numbers of a fit do not depend on.
_FREE = {"n_threads", "step_floor", "step_offset", "step_power", "verbose", "verbose_interval", "warm_start"}


@dataclass(frozen=True)
class Restart:
    """One start of a fit, and how EM has gone from there.

    Attributes
    ----------
    parameters : Parameters or None
        The model, in float64 whatever the rows are; None if the restart failed, or ended with a worse one than another.
    bounds : list of float
        Mean log-likelihood before each M-step.
    previous_bound : float
        The one that the next is compared with; minus infinity after a component was moved.
    converged, ended, failed : bool
        Whether the last change was below `tol`; whether it is done; whether it ended without a model.
    lower_bound : float
        Mean log-likelihood of the model, once it has ended.
    state : tuple
        What the core goes on from.
    """

    parameters: Parameters | None = None
    bounds: list[float] = field(default_factory=list)
    previous_bound: float = -np.inf
    converged: bool = False
    ended: bool = False
    failed: bool = False
    lower_bound: float = -np.inf
    state: State = (0, 0, [], [])

    @property
    def iterations(self) -> int:
        """Iterations so far."""
        return len(self.bounds)

    def rank(self) -> tuple[bool, float]:
        """Return what restarts are compared by: without floored covariances first, then by likelihood."""
        return not any(event[0] == "floored" for event in self.state[3]), self.lower_bound


@dataclass
class Course:
    """All that the rest of a fit depends on, beside the rows and the parameters of the estimator.

    Attributes
    ----------
    seed : int
        Of all random numbers.
    settings : dict
        The parameters that the numbers depend on, as :func:`settings_of` returns them.
    rows : str
        Tells the rows and their blocks from others; empty as long as they have not been seen.
    computed_by : str
        Version and instruction set of the core, on which the last bits depend.
    restarts : list of Restart
        Those that have begun.
    """

    seed: int
    settings: dict[str, Any]
    rows: str = ""
    computed_by: str = field(default_factory=lambda: CORE)
    restarts: list[Restart] = field(default_factory=list)

    def best(self) -> Restart | None:
        """Return the best of those that have ended, the first among equals; None if there is none."""
        ended = [restart for restart in self.restarts if restart.ended and not restart.failed]
        return max(ended, key=Restart.rank, default=None)

    def shown(self) -> Restart | None:
        """Return the best, or as long as none has ended the one under way; None before there is a model."""
        best = self.best()
        if best is None and self.restarts and self.restarts[-1].parameters is not None:
            return self.restarts[-1]
        return best

    def forget_all_but_the_best(self) -> None:
        """Drop the models that no one will ask for."""
        best = self.best()
        for number, restart in enumerate(self.restarts):
            if restart.ended and restart is not best and restart.parameters is not None:
                self.restarts[number] = replace(restart, parameters=None)

    def go_on_with(self, settings: dict[str, Any]) -> None:
        """Take on the parameters of a call that goes on with this fit; a single restart may get more iterations.

        Raises
        ------
        ValueError
            If another parameter is not what it was; the message names it.
        """
        before = self.settings
        differing = [name for name in settings if name not in before or before[name] != settings[name]]
        if differing == ["max_iter"]:
            self._reopen(settings["max_iter"])
        elif differing:
            changes = ", ".join(f"{name} was {before.get(name)!r} and is {settings[name]!r}" for name in differing)
            raise ValueError(f"it is of a fit with other parameters: {changes}.")
        self.settings = settings

    def go_on_here(self) -> str | None:
        """Note who computes from now on; return who did so far, if that was another and there is something to do."""
        before, self.computed_by = self.computed_by, CORE
        restarts = 1 if self.settings["means_init"] is not None else self.settings["n_init"]
        done = len(self.restarts) == restarts and all(restart.ended for restart in self.restarts)
        return None if done or before == CORE else before

    def _reopen(self, max_iter: int) -> None:
        """Let the one restart go on that has ended for want of iterations."""
        before = f"max_iter was {self.settings['max_iter']} and is {max_iter}"
        if self.settings["n_init"] > 1 and self.settings["means_init"] is None:
            raise ValueError(
                f"{before}; with n_init > 1 only the best restart is kept, so that the others cannot go on."
            )
        done = max((restart.iterations for restart in self.restarts), default=0)
        if done > max_iter:
            raise ValueError(f"{before}, but {done} iterations have been done.")
        for number, restart in enumerate(self.restarts):
            if not (restart.converged or restart.failed) and restart.iterations < max_iter:
                self.restarts[number] = replace(restart, ended=False)

    def check_rows(self, found: Survey) -> None:
        """Check that the rows are those of before, or take note of them.

        Raises
        ------
        ValueError
            If they are not.
        """
        rows = found.digest()
        models = [restart.parameters for restart in self.restarts if restart.parameters is not None]
        if self.rows not in ("", rows) or any(model.means.shape[1] != found.n_features for model in models):
            raise ValueError("it is of a fit to other rows, or to other blocks of them.")
        self.rows = rows


def settings_of(estimator: GaussianMixture, **others: Any) -> dict[str, Any]:
    """Return the parameters that the numbers of a fit depend on, as JSON has them; of arrays what tells them apart.

    Parameters
    ----------
    estimator : GaussianMixture
        Whose parameters have been validated.
    **others
        What is not a parameter of the estimator.

    Returns
    -------
    settings : dict
        A `random_state` that is not an int is None: the seed that it gave is kept.
    """
    settings = dict(others)
    for name, value in sorted(estimator.get_params(deep=False).items()):
        if name in STARTS and value is not None:
            digest = hashlib.sha256(np.asarray(value, dtype=np.float64).tobytes())
            settings[name] = f"array {digest.hexdigest()[:16]}"
        elif name not in _FREE:
            settings[name] = _plain(value)
    return settings
