"""Time gaussmix beside other libraries: same data, same start, same number of iterations, in turn, medians.

Every row is a ratio of two times of one run, with the log-likelihoods of both compared. Run it as
``python -m bench.python.run --short`` from the root of the repository; ``--json FILE`` keeps the figures.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as ScikitLearn

from gaussmix import GaussianMixture


class Problem(NamedTuple):
    """Rows from a mixture, and an explicit start."""

    n: int
    d: int
    k: int
    covariance_type: str
    separated: bool

    @property
    def name(self) -> str:
        """Return a short name."""
        return (
            f"{self.n} x {self.d}, K={self.k}, {self.covariance_type}, {'apart' if self.separated else 'overlapping'}"
        )

    def rows(self) -> np.ndarray:
        """Draw the rows: components of unit variance, 0.5 or 4 deviations apart a feature."""
        rng = np.random.default_rng(0)
        means = rng.normal(size=(self.k, self.d)) * (4 if self.separated else 0.5)
        return means[rng.integers(self.k, size=self.n)] + rng.normal(size=(self.n, self.d))

    def start(self) -> dict[str, Any]:
        """Return the start: the true means, unit covariances."""
        rng = np.random.default_rng(0)
        means = rng.normal(size=(self.k, self.d)) * (4 if self.separated else 0.5)
        eye = np.eye(self.d)
        precisions = {
            "full": np.stack([eye] * self.k),
            "tied": eye,
            "diag": np.ones((self.k, self.d)),
            "spherical": np.ones(self.k),
        }[self.covariance_type]
        return {"weights_init": np.full(self.k, 1 / self.k), "means_init": means, "precisions_init": precisions}


PROBLEMS = [
    Problem(1_000_000, 2, 8, "full", False),
    Problem(1_000_000, 2, 8, "diag", False),
    Problem(1_000_000, 2, 8, "spherical", False),
    Problem(200_000, 10, 16, "full", False),
    Problem(200_000, 10, 16, "tied", False),
    Problem(200_000, 10, 16, "diag", False),
    Problem(100_000, 32, 32, "full", False),
    Problem(100_000, 32, 32, "full", True),
    Problem(100_000, 32, 32, "diag", False),
    Problem(50_000, 64, 64, "full", False),
    Problem(50_000, 64, 64, "full", True),
    Problem(20_000, 128, 32, "full", False),
    Problem(20_000, 128, 32, "full", True),
    Problem(10_000, 41, 110, "full", False),
    Problem(10_000, 41, 110, "full", True),
]
SHORT = [Problem(50_000, 2, 8, kind, False) for kind in ("full", "tied", "diag", "spherical")]
SHORT += [Problem(10_000, 32, 32, "full", apart) for apart in (False, True)]


def seconds(call: Callable[[], Any]) -> float:
    """Return the wall time of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(problem: Problem, repeats: int, iterations: int) -> dict[str, Any]:
    """Time an EM iteration of both libraries, in turn: a fit of 1 + iterations less a fit of 1."""
    X, start = problem.rows(), problem.start()

    def fit(kind: type, max_iter: int) -> Any:
        return kind(problem.k, covariance_type=problem.covariance_type, tol=0, max_iter=max_iter, **start).fit(X)

    times: dict[str, list[float]] = {"gaussmix": [], "scikit-learn": []}
    for _ in range(repeats):
        for name, kind in (("gaussmix", GaussianMixture), ("scikit-learn", ScikitLearn)):
            one = seconds(lambda kind=kind: fit(kind, 1))
            more = seconds(lambda kind=kind: fit(kind, 1 + iterations))
            times[name].append((more - one) / iterations)
    ours, theirs = (fit(kind, 3).score(X) for kind in (GaussianMixture, ScikitLearn))
    medians = {name: float(np.median(values)) for name, values in times.items()}
    features = 1 + problem.d + problem.d * (problem.d + 1) // 2
    flops = 4 * problem.n * problem.k * features if problem.covariance_type == "full" else 0
    return {
        "problem": problem.name,
        "milliseconds": {name: 1e3 * value for name, value in medians.items()},
        "ratio": float(np.median(np.divide(times["scikit-learn"], times["gaussmix"]))),
        "dense GFLOP/s": flops / medians["gaussmix"] / 1e9,
        "difference of scores": ours - theirs,
    }


def gemm_peak(size: int = 2048) -> float:
    """Return the GFLOP/s of NumPy's matrix product."""
    a = np.random.default_rng(0).normal(size=(size, size))
    return max(2 * size**3 / seconds(lambda: a @ a) / 1e9 for _ in range(5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="small problems only, under two minutes")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)

    peak = gemm_peak()
    print(f"{platform.processor() or platform.machine()}, DGEMM {peak:.0f} GFLOP/s\n")
    print("| n x d, K, type | gaussmix ms | scikit-learn ms | ratio | share of DGEMM | difference of scores |")
    print("|---|---|---|---|---|---|")
    results = []
    for problem in SHORT if args.short else PROBLEMS:
        result = compare(problem, args.repeats, args.iterations)
        results.append(result)
        ms = result["milliseconds"]
        share = f"{result['dense GFLOP/s'] / peak:.0%}" if result["dense GFLOP/s"] else ""
        print(
            f"| {result['problem']} | {ms['gaussmix']:.1f} | {ms['scikit-learn']:.1f} | {result['ratio']:.1f} "
            f"| {share} | {result['difference of scores']:.0e} |",
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps({"dgemm": peak, "results": results}, indent=1))


if __name__ == "__main__":
    main()
