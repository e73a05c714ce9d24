"""The general mixture of pomegranate, on PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.python.likelihood import Parameters, parameters
from bench.python.peers.peer import Fit, Peer
from bench.python.problems import Array, Problem, Start


def prepare(problem: Problem, X: Array, start: Start) -> Fit:
    import torch
    from pomegranate.distributions import Normal
    from pomegranate.gmm import GeneralMixtureModel

    kind = problem.covariance_type
    rows = torch.from_numpy(X)
    means = torch.from_numpy(start.means)
    covariances = torch.from_numpy(start.covariances(kind))

    def fit(iterations: int) -> Any:
        components = [
            Normal(mean.clone(), covariance.clone(), covariance_type=kind)
            for mean, covariance in zip(means, covariances, strict=True)
        ]
        priors = torch.from_numpy(start.weights.copy())
        return GeneralMixtureModel(components, priors=priors, max_iter=iterations, tol=-np.inf).fit(rows)

    return fit


def fitted(model: Any) -> Parameters:
    return parameters(
        model.priors.detach().numpy(),
        np.stack([component.means.detach().numpy() for component in model.distributions]),
        np.stack([component.covs.detach().numpy() for component in model.distributions]),
    )


PEER = Peer(
    "pomegranate",
    "pomegranate",
    "pomegranate",
    prepare,
    fitted,
    types=("full", "diag"),
    note="adds nothing to variances",
)
