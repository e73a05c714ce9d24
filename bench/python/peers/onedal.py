"""The EM of oneDAL, through daal4py, which scikit-learn-intelex installs: scikit-learn's estimator is not patched."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.python.likelihood import Parameters, parameters
from bench.python.peers.peer import REG_COVAR, Fit, Peer
from bench.python.problems import Array, Problem, Start


def prepare(problem: Problem, X: Array, start: Start) -> Fit:
    import daal4py

    full = problem.covariance_type == "full"
    matrix = np.diag(start.variances) if full else start.variances[None]

    def fit(iterations: int) -> Any:
        engine = daal4py.em_gmm(
            nComponents=problem.k,
            covarianceStorage="full" if full else "diagonal",
            maxIterations=iterations,
            accuracyThreshold=0.0,  # it ends all the same where the likelihood stays the same
            regularizationFactor=REG_COVAR,
        )
        return engine.compute(X, start.weights[None], start.means, [matrix] * problem.k)

    return fit


def ran(model: Any) -> int:
    return int(model.nIterations[0, 0])


def fitted(model: Any) -> Parameters:
    covariances = np.stack(model.covariances)  # of shape (K, d, d) or (K, 1, d)
    return parameters(
        model.weights[0], model.means, covariances.squeeze(1) if covariances.shape[1] == 1 else covariances
    )


PEER = Peer(
    "oneDAL",
    "daal4py",
    "scikit-learn-intelex",
    prepare,
    fitted,
    types=("full", "diag"),
    ran=ran,
    note="adds nothing to variances",
)
