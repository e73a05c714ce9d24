"""Time gaussmix beside other libraries: same data, same start, same number of iterations, in turn, medians.

Every figure of a peer is a ratio of two times of one run, and the log-likelihoods are compared. Peers other than
scikit-learn are used where they are installed. Run it as ``python -m bench.python.run --short`` from the root of the
repository; ``--json FILE`` keeps the figures.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
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
    Problem(1_000_000, 2, 8, "tied", False),
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
    Problem(1_000_000, 16, 64, "diag", False),
]
PEERS = ("scikit-learn", "oneDAL")
SHORT = [Problem(50_000, 2, 8, kind, False) for kind in ("full", "tied", "diag", "spherical")]
SHORT += [Problem(10_000, 32, 32, "full", apart) for apart in (False, True)]


def seconds(call: Callable[[], Any]) -> float:
    """Return the wall time of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


# A peer runs a number of iterations from a start and returns the mean log-likelihood before the last M-step.
Peer = Callable[[Problem, np.ndarray, int], float]


def estimator(kind: type) -> Peer:
    """Return a peer with scikit-learn's interface."""

    def run(problem: Problem, X: np.ndarray, iterations: int) -> float:
        start = problem.start() | {"tol": 0, "max_iter": iterations, "covariance_type": problem.covariance_type}
        model = kind(problem.k, **start).fit(X)
        # scikit-learn's lower_bound_ is the one before the last M-step; older releases keep no others.
        return float(model.lower_bound_ if kind is ScikitLearn else model.lower_bounds_[-1])

    return run


def onedal() -> Peer | None:
    """Return oneDAL through daal4py, if it is installed: full and diagonal covariances."""
    try:
        import daal4py
    except ImportError:
        return None

    def run(problem: Problem, X: np.ndarray, iterations: int) -> float:
        start, full = problem.start(), problem.covariance_type == "full"
        eye = np.eye(problem.d) if full else np.ones((1, problem.d))
        engine = daal4py.em_gmm(
            nComponents=problem.k,
            covarianceStorage="full" if full else "diagonal",
            maxIterations=iterations,
            accuracyThreshold=0.0,
            regularizationFactor=1e-6,
        )
        result = engine.compute(X, start["weights_init"][None], start["means_init"], [eye] * problem.k)
        return float(result.goalFunction[0, 0]) / len(X)

    return run


def peers(problem: Problem) -> dict[str, Peer]:
    """Return those that can run a problem."""
    found: dict[str, Peer | None] = {"gaussmix": estimator(GaussianMixture), "scikit-learn": estimator(ScikitLearn)}
    if problem.covariance_type in ("full", "diag"):
        found["oneDAL"] = onedal()
    return {name: peer for name, peer in found.items() if peer is not None}


def compare(problem: Problem, repeats: int) -> dict[str, Any]:
    """Time an EM iteration of each library, in turn: a fit of 1 + m iterations less a fit of 1, divided by m."""
    X = problem.rows()
    runs = peers(problem)
    # As many iterations as take a third of a second: less drowns in what a fit costs once.
    iterations = {}
    for name, run in runs.items():
        run(problem, X, 1)
        two = seconds(lambda run=run: run(problem, X, 2)) / 2
        iterations[name] = int(np.clip(0.3 / two, 2, 100))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            m = iterations[name]
            one = seconds(lambda run=run: run(problem, X, 1))
            more = seconds(lambda run=run, m=m: run(problem, X, 1 + m))
            times[name].append((more - one) / m)
    bounds = {name: run(problem, X, 3) for name, run in runs.items()}
    medians = {name: float(np.median(values)) for name, values in times.items()}
    features = 1 + problem.d + problem.d * (problem.d + 1) // 2
    flops = 4 * problem.n * problem.k * features if problem.covariance_type == "full" else 0
    return {
        "problem": problem.name,
        "milliseconds": {name: 1e3 * value for name, value in medians.items()},
        "ratios": {name: float(np.median(np.divide(t, times["gaussmix"]))) for name, t in times.items()},
        "dense GFLOP/s": flops / medians["gaussmix"] / 1e9,
        "differences": {name: bounds["gaussmix"] - bound for name, bound in bounds.items()},
    }


def calls() -> list[tuple[str, Callable[[type], Any]]]:
    """Return what else takes time: whole fits, where overhead rules, predictions and draws."""
    digits = PCA(0.99, whiten=True, random_state=0).fit_transform(load_digits().data)
    small = np.random.default_rng(0).normal(size=(200, 2))
    large = np.random.default_rng(1).normal(size=(200_000, 10))
    twenty = {"tol": 0, "max_iter": 20}
    first = GaussianMixture(110, random_state=0, max_iter=1).fit(digits)
    given = {"weights_init": first.weights_, "means_init": first.means_, "precisions_init": first.precisions_}
    eyes = np.stack([np.eye(2)] * 16)
    explicit = {"weights_init": np.full(16, 1 / 16), "means_init": small[:16], "precisions_init": eyes}
    model = GaussianMixture(16, random_state=0, max_iter=3).fit(large)
    models = {GaussianMixture: model, ScikitLearn: model.to_sklearn()}
    return [
        ("digits 1797 x 41, K=110, 20 iterations", lambda kind: kind(110, **given, **twenty).fit(digits)),
        ("digits, K=110, defaults", lambda kind: kind(110, random_state=0).fit(digits)),
        ("digits, K=50, 60, ..., 200, defaults", lambda kind: [
            kind(k, random_state=0).fit(digits) for k in range(50, 201, 10)
        ]),
        ("200 x 2, K=16, 20 iterations", lambda kind: kind(16, **explicit, **twenty).fit(small)),
        ("predict, 200,000 x 10, K=16", lambda kind: models[kind].predict(large)),
        ("predict_proba", lambda kind: models[kind].predict_proba(large)),
        ("score_samples", lambda kind: models[kind].score_samples(large)),
        ("predict, one row 100 times", lambda kind: [models[kind].predict(large[:1]) for _ in range(100)]),
        ("sample, 200,000 x 10", lambda kind: models[kind].sample(200_000)),
    ]  # fmt: skip


def compare_calls(repeats: int) -> list[dict[str, Any]]:
    """Time them for gaussmix and scikit-learn in turn."""
    results = []
    for name, call in calls():
        times: dict[str, list[float]] = {"gaussmix": [], "scikit-learn": []}
        call(GaussianMixture)
        for _ in range(repeats):
            for library, kind in (("gaussmix", GaussianMixture), ("scikit-learn", ScikitLearn)):
                times[library].append(seconds(lambda call=call, kind=kind: call(kind)))
        medians = {library: float(np.median(t)) for library, t in times.items()}
        results.append({"call": name, "milliseconds": {k: 1e3 * v for k, v in medians.items()},
                        "ratio": medians["scikit-learn"] / medians["gaussmix"]})  # fmt: skip
    return results


def memory_above_data() -> float:
    """Return the MB that fitting 1,000,000 x 16 rows, K=64, full, takes above them, in a process of its own."""
    script = (
        "import resource, warnings, numpy as np; from gaussmix import GaussianMixture as G\n"
        "warnings.simplefilter('ignore')\n"
        "X = np.random.default_rng(0).normal(size=(1_000_000, 16)); G(2).fit(X[:100])\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "before = peak(); G(64, max_iter=2, init_params='random_from_data').fit(X); print(peak() - before)"
    )
    return float(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)


def gemm_peak(size: int = 2048) -> float:
    """Return the GFLOP/s of NumPy's matrix product."""
    a = np.random.default_rng(0).normal(size=(size, size))
    return max(2 * size**3 / seconds(lambda: a @ a) / 1e9 for _ in range(5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="small problems only, under two minutes")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")

    peak = gemm_peak()
    print(f"{platform.processor() or platform.machine()}, DGEMM {peak:.0f} GFLOP/s\n")
    print("| n x d, K, type | gaussmix ms | scikit-learn | oneDAL | share of DGEMM | difference of likelihoods |")
    print("|---|---|---|---|---|---|")
    iterations = []
    for problem in SHORT if args.short else PROBLEMS:
        result = compare(problem, args.repeats)
        iterations.append(result)
        ratios = [f"{result['ratios'][name]:.1f}" if name in result["ratios"] else "" for name in PEERS]
        share = f"{result['dense GFLOP/s'] / peak:.0%}" if result["dense GFLOP/s"] else ""
        differences = [f"{value:.0e}" for name, value in result["differences"].items() if name != "gaussmix"]
        print(
            f"| {result['problem']} | {result['milliseconds']['gaussmix']:.2f} | {' | '.join(ratios)} | {share} "
            f"| {', '.join(differences)} |",
            flush=True,
        )
    others = []
    if not args.short:
        print("\n| call | gaussmix ms | scikit-learn |\n|---|---|---|")
        others = compare_calls(args.repeats)
        for result in others:
            print(f"| {result['call']} | {result['milliseconds']['gaussmix']:.2f} | {result['ratio']:.1f} |")
        if sys.platform != "win32":
            print(f"\nMemory above the data, 1,000,000 x 16, K=64, full: {memory_above_data():.0f} MB")
    if args.json:
        args.json.write_text(json.dumps({"dgemm": peak, "iterations": iterations, "calls": others}, indent=1))


if __name__ == "__main__":
    main()
