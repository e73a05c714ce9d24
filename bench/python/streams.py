"""One pass of partial_fit in shuffled batches beside the fit of all rows at once: held-out likelihood and times."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bench.python.problems import REAL, Array
from gaussmix import GaussianMixture

BATCH = 1_000


class StreamProblem(NamedTuple):
    """Rows that arrive in batches, and others that are held out.

    Attributes
    ----------
    n, d, k : int
        Rows, features, components.
    covariance_type : {"full", "tied", "diag", "spherical"}
        Their covariances.
    data : float or str
        Spread of the means of drawn components, in units of their mean deviation a feature, or a real data set.
    """

    n: int
    d: int
    k: int
    covariance_type: str = "full"
    data: float | str = 1.0

    @property
    def name(self) -> str:
        """Return a short name."""
        data = self.data if isinstance(self.data, str) else f"spread {self.data:g}"
        return f"{self.n:,} x {self.d}, K={self.k}, {self.covariance_type}, {data}"

    def rows(self) -> tuple[Array, Array]:
        """Return the rows of the stream in a drawn order, and a twentieth as many held out."""
        n = self.n + self.n // 20
        rng = np.random.default_rng(0)
        X = REAL[self.data]() if isinstance(self.data, str) else self._draw(n, self.data, rng)
        X = X[rng.permutation(len(X))[:n]]
        return X[: self.n], X[self.n :]

    def _draw(self, n: int, spread: float, rng: np.random.Generator) -> Array:
        """Return rows of components of uneven weights, with axes of any direction and of deviations 0.5 to 1.5."""
        labels = rng.choice(self.k, size=n, p=rng.dirichlet(np.full(self.k, 3.0)))
        X = rng.normal(size=(n, self.d))
        for c in range(self.k):
            axes = np.linalg.qr(rng.normal(size=(self.d, self.d)))[0] * rng.uniform(0.5, 1.5, self.d)
            X[labels == c] = X[labels == c] @ axes.T + rng.normal(scale=spread, size=self.d)
        return X


@dataclass(frozen=True)
class StreamComparison:
    """Held-out mean log-likelihoods, in nats a row, of a fit and of each step power of partial_fit, and seconds.

    The step power "None" forgets nothing; that of the defaults has the key "default". The converged fit goes on from
    the other one to a tolerance of 1e-5. So does EM from the end of the stream with the defaults, over all rows: the
    optimum that the stream was on its way to, `ahead`.
    """

    problem: str
    fit: float
    fit_seconds: float
    converged: float
    converged_seconds: float
    streams: dict[str, float]
    stream_seconds: dict[str, float]
    ahead: float

    @property
    def difference(self) -> float:
        """Return the likelihood of the stream with defaults less that of the fit."""
        return self.streams["default"] - self.fit


def compare_stream(problem: StreamProblem) -> StreamComparison:
    """Fit the rows at once, and in one pass of batches with the defaults and without forgetting."""
    X, held_out = problem.rows()
    start = {"n_components": problem.k, "covariance_type": problem.covariance_type, "random_state": 0}
    begun = time.perf_counter()
    fitted = GaussianMixture(**start).fit(X)
    fit_seconds = time.perf_counter() - begun
    fit = fitted.score(held_out)
    fitted.set_params(warm_start=True, tol=1e-5, max_iter=500).fit(X)
    converged_seconds = time.perf_counter() - begun
    scores, seconds = {}, {}
    for name, params in {"default": {}, "None": {"step_power": None}}.items():
        model = GaussianMixture(**start, **params)
        begun = time.perf_counter()
        for i in range(0, len(X), BATCH):
            model.partial_fit(X[i : i + BATCH])
        seconds[name] = time.perf_counter() - begun
        scores[name] = model.score(held_out)
        if name == "default":
            ahead = model.set_params(warm_start=True, tol=1e-5, max_iter=500).fit(X).score(held_out)
    converged = fitted.score(held_out)
    return StreamComparison(problem.name, fit, fit_seconds, converged, converged_seconds, scores, seconds, ahead)
