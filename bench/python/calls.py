"""Whole fits, predictions and draws, beside scikit-learn."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.mixture import GaussianMixture as ScikitLearn

from bench.python.problems import REAL, Problem
from bench.python.timing import ratio, seconds
from gaussmix import GaussianMixture

KINDS = {"gaussmix": GaussianMixture, "scikit-learn": ScikitLearn}


class Call(NamedTuple):
    """Something that both estimators do, and what to compare of the results: of fits, their likelihood."""

    name: str
    run: Callable[[type], Any]
    value: Callable[[Any], float]


@dataclass(frozen=True)
class CallTiming:
    """Median times of a call, the median of their ratio in a round, and gaussmix's value less scikit-learn's."""

    call: str
    milliseconds: dict[str, float]
    ratio: float
    value: str
    difference: float


def _explicit(X: np.ndarray, k: int) -> dict[str, Any]:
    """Return a start at some rows with unit covariances, and 20 iterations."""
    rows = X[np.random.default_rng(0).choice(len(X), k, replace=False)]
    eyes = np.stack([np.eye(X.shape[1])] * k)
    start = {"weights_init": np.full(k, 1 / k), "means_init": rows, "precisions_init": eyes}
    return start | {"tol": 0, "max_iter": 20}


def calls(size: float = 1.0) -> list[Call]:
    """Return the calls, on that share of the rows."""
    digits, cancer = REAL["digits"]()[: int(20_000 * size) + 200], REAL["breast cancer"]()[: int(20_000 * size) + 100]
    pixels = REAL["pixels"]()[: int(size * 300_000)]
    small = np.random.default_rng(0).normal(size=(200, 2))
    large = np.random.default_rng(1).normal(size=(int(size * 200_000), 10))
    ordinary = Problem(int(size * 9_000) + 1_000, 10, 5, "full", "overlapping").rows()
    several = range(50, 201, 10) if size == 1 else range(4, 9, 2)
    many = 110 if size == 1 else 10
    model = GaussianMixture(16, random_state=0, max_iter=3).fit(large)
    models = {GaussianMixture: model, ScikitLearn: model.to_sklearn()}

    def of(X: np.ndarray) -> Callable[[Any], float]:
        return lambda fitted: float(np.mean([one.score(X) for one in np.ravel(fitted)]))

    def fit(name: str, X: np.ndarray, k: int, **arguments: Any) -> Call:
        return Call(f"fit {name}, K={k}", lambda kind: kind(k, **arguments).fit(X), of(X))

    mean: Callable[[Any], float] = lambda result: float(np.mean(result))  # noqa: E731
    rows = f"{len(large):,} x 10, K=16"
    seeded = {
        data: Problem(int(size * 1_000_000), 16, 64 if size == 1 else 8, "diag", data)
        for data in ("overlapping", "apart")
    }
    return [
        fit("digits, 20 iterations from a start", digits, many, **_explicit(digits, many)),
        fit("digits, defaults", digits, many, random_state=0),
        Call(
            f"fit digits, K={several[0]}, {several[1]}, ..., {several[-1]}, defaults",
            lambda kind: [kind(k, random_state=0).fit(digits) for k in several],
            of(digits),
        ),
        fit("breast cancer, defaults", cancer, 4, random_state=0),
        fit(f"{len(pixels):,} pixels, defaults", pixels, 16, random_state=0),
        *(
            fit(f"{len(ordinary):,} x 10, {kind}, defaults", ordinary, 5, covariance_type=kind, random_state=0)
            for kind in ("full", "tied", "diag", "spherical")
        ),
        fit("200 x 2, 20 iterations from a start", small, 16, **_explicit(small, 16)),
        *(
            fit(
                f"{problem.n:,} x 16, diag, {data}, one iteration from k-means",
                problem.rows(),
                problem.k,
                covariance_type="diag",
                max_iter=1,
                random_state=0,
            )
            for data, problem in seeded.items()
        ),
        Call(f"predict, {rows}", lambda kind: models[kind].predict(large), mean),
        Call(f"predict_proba, {rows}", lambda kind: models[kind].predict_proba(large)[:, 0], mean),
        Call(f"score_samples, {rows}", lambda kind: models[kind].score_samples(large), mean),
        Call("predict one row, 100 times", lambda kind: [models[kind].predict(large[:1]) for _ in range(100)], mean),
        Call(f"sample, {rows}", lambda kind: models[kind].sample(len(large))[0], mean),
    ]


def compare_call(call: Call, repeats: int) -> CallTiming:
    """Time a call of gaussmix and of scikit-learn in turn."""
    results = {name: call.run(kind) for name, kind in KINDS.items()}
    values = {name: call.value(result) for name, result in results.items()}
    times: dict[str, list[float]] = {name: [] for name in KINDS}
    for _ in range(repeats):
        for name, kind in KINDS.items():
            time.sleep(0.2)  # threads that the other library left waiting for work are to sleep by then
            times[name].append(seconds(lambda kind=kind: call.run(kind)))  # type: ignore[misc]
    return CallTiming(
        call.name,
        {name: 1e3 * float(np.median(values)) for name, values in times.items()},
        ratio(times["scikit-learn"], times["gaussmix"]),
        "log-likelihood" if call.name.startswith("fit") else "mean",
        values["gaussmix"] - values["scikit-learn"],
    )
