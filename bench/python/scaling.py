"""How the time of an iteration changes: with threads, with n, d and K, and with float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.python.machine import cores
from bench.python.peers.gaussmix import arguments
from bench.python.peers.peer import Fit
from bench.python.problems import Problem
from bench.python.timing import interleaved, ratio
from gaussmix import GaussianMixture

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")


def fit_of(problem: Problem, n_threads: int | None = None, dtype: type = np.float64) -> Fit:
    """Return gaussmix's fit of a problem."""
    X = problem.rows()
    given = arguments(problem, problem.start(X)) | {"n_threads": n_threads}
    X = X.astype(dtype)
    return lambda iterations: GaussianMixture(**given, max_iter=iterations).fit(X)


@dataclass(frozen=True)
class Threads:
    """Median milliseconds for each number of threads, and the medians of the speed-ups over one in a round."""

    problem: str
    n_k_d: int
    milliseconds: dict[int, float]
    speedups: dict[int, float]


def scale_threads(problem: Problem, repeats: int, target: float) -> Threads:
    """Time one thread, 2, 4, ... and all, in turn."""
    counts = sorted({1, cores(), *(2**i for i in range(1, 12) if 2**i < cores())})
    times = interleaved({str(count): fit_of(problem, count) for count in counts}, repeats, target)
    return Threads(
        problem.name,
        problem.n * problem.k * problem.d,
        {count: 1e3 * float(np.median(times[str(count)])) for count in counts},
        {count: ratio(times["1"], times[str(count)]) for count in counts},
    )


@dataclass(frozen=True)
class Growth:
    """Milliseconds an iteration where one of n, d and K varies, and log-log slopes: over all, and of the last step."""

    covariance_type: str
    variable: str
    fixed: str
    values: list[int]
    milliseconds: list[float]
    slope: float
    last_slope: float


def grow(
    covariance_type: str, variable: str, base: Problem, values: tuple[int, ...], repeats: int, target: float
) -> Growth:
    """Time problems that differ in one variable, in turn, on one thread."""
    sizes = [base._asdict() | {"covariance_type": covariance_type, variable: value} for value in values]
    problems = [Problem(**size) for size in sizes]
    fits = {str(value): fit_of(problem, 1) for value, problem in zip(values, problems, strict=True)}
    times = interleaved(fits, repeats, target)
    medians = [max(float(np.median(times[str(value)])), 1e-9) for value in values]
    x, y = np.log(values), np.log(medians)
    return Growth(
        covariance_type,
        variable if variable != "k" else "K",
        ", ".join(f"{name}={value}" for name, value in zip("ndK", base[:3], strict=True) if name.lower() != variable),
        list(values),
        [1e3 * median for median in medians],
        float(np.polyfit(x, y, 1)[0]),
        float((y[-1] - y[-2]) / (x[-1] - x[-2])),
    )


@dataclass(frozen=True)
class Precision:
    """Milliseconds an iteration in double precision, and the time in float32 by it; the difference of likelihoods."""

    problem: str
    milliseconds: float
    ratio: float
    difference: float


def compare_precision(problem: Problem, repeats: int, target: float) -> Precision:
    """Time rows of float32 and of float64, in turn."""
    fits = {dtype.__name__: fit_of(problem, dtype=dtype) for dtype in (np.float64, np.float32)}
    times = interleaved(fits, repeats, target)
    single, double = (fits[name](3).lower_bounds_[-1] for name in ("float32", "float64"))
    return Precision(
        problem.name,
        1e3 * float(np.median(times["float64"])),
        ratio(times["float32"], times["float64"]),
        float(single - double),
    )
