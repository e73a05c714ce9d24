"""The estimator of this library."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.python.likelihood import Parameters, parameters
from bench.python.peers.peer import REG_COVAR, Fit, Peer
from bench.python.problems import Array, Problem, Start
from gaussmix import GaussianMixture


def arguments(problem: Problem, start: Start) -> dict[str, Any]:
    """Return the arguments of an estimator with scikit-learn's interface."""
    return {
        "n_components": problem.k,
        "covariance_type": problem.covariance_type,
        "tol": 0,
        "reg_covar": REG_COVAR,
        "weights_init": start.weights,
        "means_init": start.means,
        "precisions_init": start.precisions(problem.covariance_type),
    }


def fitted(model: Any) -> Parameters:
    """Return the parameters of an estimator with scikit-learn's attributes."""
    return parameters(model.weights_, model.means_, model.covariances_)


def prepare(problem: Problem, X: Array, start: Start) -> Fit:
    given = arguments(problem, start)
    return lambda iterations: GaussianMixture(**given, max_iter=iterations).fit(X)


def prepare_from(problem: Problem, X: Array, start: Parameters) -> Fit:
    """Return the fit from a start with any covariances, "full" or "diag"."""
    given = arguments(problem, Start(start.weights / start.weights.sum(), start.means, np.ones(problem.d)))
    full = problem.covariance_type == "full"
    given["precisions_init"] = np.linalg.inv(start.covariances) if full else 1 / start.covariances
    return lambda iterations: GaussianMixture(**given, max_iter=iterations).fit(X)


PEER = Peer("gaussmix", "gaussmix", "gaussmix", prepare, fitted)
