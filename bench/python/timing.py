"""Wall times, and the time of an iteration."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np


def seconds(call: Callable[[], Any]) -> float:
    """Return the wall time of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def iterations_for(fit: Callable[[int], Any], target: float) -> int:
    """Return how many iterations take about a target of seconds: fewer drown in what a fit costs once."""
    fit(1)
    one = seconds(lambda: fit(1))
    if one > target:
        return 1
    fit(5)  # some compile for each number
    each = (seconds(lambda: fit(5)) - one) / 4
    return int(np.clip(target / max(each, 1e-4), 1, 100))


def seconds_an_iteration(fit: Callable[[int], Any], iterations: int, times: int = 1) -> float:
    """Return the time of a fit of 1 + m iterations less that of one, divided by m; the mean of several such.

    Both follow a fit of the same library, so that what another one left running slows neither or both.
    """
    fit(1)
    total = 0.0
    for _ in range(times):
        one = seconds(lambda: fit(1))
        total += seconds(lambda: fit(1 + iterations)) - one
    return total / (times * iterations)


def interleaved(
    fits: dict[str, Callable[[int], Any]],
    repeats: int,
    target: float,
    ran: dict[str, Callable[[Any], int]] | None = None,
) -> dict[str, list[float]]:
    """Time an iteration of each, in turn.

    Parameters
    ----------
    fits : dict of str to callable
        Each runs a number of iterations.
    repeats : int
        Rounds. One that takes more than 2 s an iteration takes part in the first round alone.
    target : float
        Seconds that the timed iterations take about.
    ran : dict of str to callable
        For those that may end early: the iterations of what a fit returned.

    Returns
    -------
    times : dict of str to list of float
        Seconds an iteration, one a round.
    """
    counts = {name: iterations_for(fit, target) for name, fit in fits.items()}
    loops = dict.fromkeys(fits, 1)
    for name, fit in fits.items():
        model = fit(1 + counts[name])  # not timed: some compile for each number
        done = ran[name](model) if ran and name in ran else 1 + counts[name]
        if done <= counts[name]:  # shorter fits, that do not end early, and more of them
            fewer = max(done - 2, 1)
            loops[name] = min(counts[name] // fewer, 20)
            counts[name] = fewer
    times: dict[str, list[float]] = {name: [] for name in fits}
    for _ in range(repeats):
        for name, fit in fits.items():
            if not times[name] or times[name][0] < 2:
                times[name].append(seconds_an_iteration(fit, counts[name], loops[name]))
    return times


def ratio(theirs: list[float], ours: list[float]) -> float:
    """Return the median of the ratios of times of the same rounds."""
    return float(np.median([a / b for a, b in zip(theirs, ours, strict=False)]))
