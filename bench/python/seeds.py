"""Fits with the defaults from several seeds, beside scikit-learn: each library draws its own starts."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from bench.python.calls import KINDS
from bench.python.likelihood import mean_log_likelihood, parameters
from bench.python.problems import Problem
from bench.python.timing import ratio, seconds


@dataclass(frozen=True)
class SeedComparison:
    """Median time, median ratio of the times of a seed, and mean log-likelihoods of each library's fits, by seed."""

    problem: str
    milliseconds: float
    ratio: float
    likelihoods: dict[str, list[float]]

    def ahead(self, of_all: str) -> float:
        """Return the "mean", "min" or "max" over the seeds, gaussmix's less scikit-learn's, in nats."""
        ours, theirs = (float(getattr(np, of_all)(self.likelihoods[name])) for name in KINDS)
        return ours - theirs

    @property
    def error(self) -> float:
        """Return the standard error of the difference of the means."""
        return float(np.sqrt(sum(np.var(values, ddof=1) / len(values) for values in self.likelihoods.values())))


def compare_seeds(problem: Problem, seeds: int) -> SeedComparison:
    """Fit with each seed by gaussmix and by scikit-learn, in turn; the likelihoods are computed by SciPy alone."""
    X = problem.rows()
    times: dict[str, list[float]] = {name: [] for name in KINDS}
    likelihoods: dict[str, list[float]] = {name: [] for name in KINDS}
    for seed in range(seeds):
        for name, kind in KINDS.items():
            model = kind(problem.k, covariance_type=problem.covariance_type, random_state=seed)
            time.sleep(0.2)  # as between the calls
            times[name].append(seconds(lambda model=model: model.fit(X)))  # type: ignore[misc]
            fitted = parameters(model.weights_, model.means_, model.covariances_)
            likelihoods[name].append(mean_log_likelihood(X, fitted, problem.covariance_type))
    return SeedComparison(
        problem.name,
        1e3 * float(np.median(times["gaussmix"])),
        ratio(times["scikit-learn"], times["gaussmix"]),
        likelihoods,
    )
