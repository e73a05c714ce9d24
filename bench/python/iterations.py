"""The time of an EM iteration of each library, and whether its likelihood agrees."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bench.python.likelihood import Parameters, mean_log_likelihood
from bench.python.peers import PEERS, Peer, gaussmix
from bench.python.peers.peer import Fit
from bench.python.problems import Array, Problem, Start
from bench.python.timing import interleaved, ratio, seconds

CHECKED = 3  # iterations after which likelihoods are compared
LONGEST = 6.0  # seconds an iteration may take


@dataclass(frozen=True)
class Timing:
    """A library on a problem.

    Attributes
    ----------
    library : str
        Its name.
    verdict : {"agrees", "differs", "own start", "left out"}
        Whether its likelihood is that of gaussmix; "own start": it could not be compared.
    reason : str
        Why it differs or was left out.
    milliseconds, ratio : float or None
        Median time of an iteration, and of its ratio to that of gaussmix in the same round.
    difference : float or None
        Its mean log-likelihood less that of gaussmix.
    """

    library: str
    verdict: str
    reason: str = ""
    milliseconds: float | None = None
    ratio: float | None = None
    difference: float | None = None


@dataclass(frozen=True)
class Comparison:
    """All libraries on a problem; the dense count of flops is 4 n K D for D features, where covariances are full."""

    problem: str
    covariance_type: str
    dense_gflops: float | None
    timings: list[Timing]


@dataclass(frozen=True)
class _Runner:
    peer: Peer
    fit: Fit
    verdict: str
    reason: str
    likelihood: float | None
    difference: float | None


def compare(problem: Problem, repeats: int, target: float = 0.3) -> Comparison:
    """Time an iteration of each library in turn, after a check of its likelihood."""
    X = problem.rows()
    start = problem.start(X)
    runners: list[_Runner] = []
    timings: list[Timing] = []
    for peer in PEERS:
        outcome = _try(peer, problem, X, start, runners[0].likelihood if runners else None)
        if isinstance(outcome, str):
            timings.append(Timing(peer.name, "left out", outcome))
        else:
            runners.append(outcome)
    ran = {runner.peer.name: runner.peer.ran for runner in runners if runner.peer.ran}
    times = interleaved({runner.peer.name: runner.fit for runner in runners}, repeats, target, ran)
    ours = times["gaussmix"]
    for runner in runners:
        timing = Timing(runner.peer.name, runner.verdict, runner.reason, difference=runner.difference)
        theirs = times[runner.peer.name]
        if np.median(theirs) > 0:
            timing = replace(timing, milliseconds=1e3 * float(np.median(theirs)), ratio=ratio(theirs, ours))
        else:
            timing = replace(timing, reason=f"{runner.reason}; more iterations take no more time".lstrip("; "))
        timings.append(timing)
    features = 1 + problem.d + problem.d * (problem.d + 1) // 2
    flops = 4 * problem.n * problem.k * features / float(np.median(ours))
    names = [peer.name for peer in PEERS]
    return Comparison(
        problem.name,
        problem.covariance_type,
        flops / 1e9 if problem.covariance_type == "full" else None,
        sorted(timings, key=lambda timing: names.index(timing.library)),
    )


def _try(peer: Peer, problem: Problem, X: Array, start: Start, ours: float | None) -> _Runner | str:
    """Return a runner whose likelihood has been compared with ours, or why there is none."""
    refusal = "not installed" if peer.version() is None else peer.refuses(problem)
    if refusal:
        return refusal
    try:
        expected = _expected_seconds(peer, problem, X, start)
        if expected > LONGEST:
            return f"too slow: about {expected:.0f} s an iteration"
        fit = peer.prepare(problem, X, start)
        if ours is None:  # gaussmix itself, which comes first
            return _Runner(peer, fit, "agrees", "", _likelihood(peer, fit, problem, X), 0.0)
        return _judge(peer, fit, problem, X, ours)
    except Exception as error:  # whatever a library raises is its result, not the end of the run
        return f"fails: {type(error).__name__}, {' '.join(str(error).split())[:100]}"


def _expected_seconds(peer: Peer, problem: Problem, X: Array, start: Start) -> float:
    """Return what an iteration will take, from one on a tenth of the rows, or on enough for any covariance.

    Small problems are fast with all.
    """
    some = max(problem.n // 10, 4 * problem.k * problem.d)
    if peer is gaussmix.PEER or some >= problem.n or problem.n * problem.k * problem.d < 1e7:
        return 0.0
    fit = peer.prepare(problem, X[:some], start)
    first = seconds(lambda: fit(1))
    if first < LONGEST:  # it may have loaded or compiled something
        first = min(first, seconds(lambda: fit(1)))
    return first * problem.n / some


def _judge(peer: Peer, fit: Fit, problem: Problem, X: Array, ours: float) -> _Runner:
    """Return the runner with the verdict on its likelihood."""
    if peer.own_start:
        first, second = (peer.parameters(fit(0)) for _ in range(2))
        if not all(np.array_equal(a, b) for a, b in zip(first, second, strict=True)):
            return _Runner(peer, fit, "own start", "its start is another one each time", None, None)
        ours = _likelihood(gaussmix.PEER, gaussmix.prepare_from(problem, X, first), problem, X)
    try:
        found = _likelihood(peer, fit, problem, X)
    except ValueError as error:
        return _Runner(peer, fit, "differs", str(error), None, None)
    agrees = abs(found - ours) <= peer.tolerance
    return _Runner(peer, fit, "agrees" if agrees else "differs", "" if agrees else peer.note, found, found - ours)


def _likelihood(peer: Peer, fit: Fit, problem: Problem, X: Array) -> float:
    model: Parameters = peer.parameters(fit(CHECKED))
    return mean_log_likelihood(X, model, problem.covariance_type)
