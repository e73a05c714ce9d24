"""The estimator of tgmm, on PyTorch."""

from __future__ import annotations

from typing import Any

from bench.python.likelihood import Parameters, parameters
from bench.python.peers.peer import REG_COVAR, Fit, Peer
from bench.python.problems import Array, Problem, Start


def prepare(problem: Problem, X: Array, start: Start) -> Fit:
    import torch
    from tgmm import GaussianMixture

    rows = torch.from_numpy(X)
    given = {
        "n_components": problem.k,
        "n_features": problem.d,
        "covariance_type": problem.covariance_type,
        "tol": float("nan"),  # no change is less; 0 is refused, and it would end where the likelihood stays
        "reg_covar": REG_COVAR,
        "init_weights": torch.from_numpy(start.weights),
        "init_means": torch.from_numpy(start.means),
        "init_covariances": torch.from_numpy(start.covariances(problem.covariance_type)),
        "device": "cpu",
    }
    return lambda iterations: GaussianMixture(**given, max_iter=iterations).fit(rows)


def fitted(model: Any) -> Parameters:
    return parameters(model.weights_.numpy(), model.means_.numpy(), model.covariances_.numpy())


PEER = Peer("tgmm", "tgmm", "tgmm", prepare, fitted, wide=True)
