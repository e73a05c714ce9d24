"""The binding gmm_train of mlpack. It takes no start, not even a model's: it begins with k-means of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.python.likelihood import Parameters, parameters
from bench.python.peers.peer import Fit, Peer
from bench.python.problems import Array, Problem, Start


def prepare(problem: Problem, X: Array, start: Start) -> Fit:
    from mlpack import gmm_train

    diagonal = problem.covariance_type == "diag"

    def fit(iterations: int) -> Any:
        trained = gmm_train(
            input_=X,
            gaussians=problem.k,
            seed=1,
            kmeans_max_iterations=1,  # it takes part in both times of which the difference counts
            max_iterations=iterations + 1,  # it counts the start as one
            tolerance=-1.0,  # with 0 it would end where the likelihood stays the same
            diagonal_covariance=diagonal,
        )
        return trained["output_model"], diagonal

    return fit


def fitted(model: Any) -> Parameters:
    trained, diagonal = model
    fields = trained.get_cpp_params()["GMM"]
    covariances = np.stack([component["covariance"] for component in fields["dists"]])
    means = np.concatenate([component["mean"].reshape(1, -1) for component in fields["dists"]])
    if diagonal:
        covariances = np.diagonal(covariances, axis1=1, axis2=2)
    return parameters(np.ravel(fields["weights"]), means, covariances)


PEER = Peer("mlpack", "mlpack", "mlpack", prepare, fitted, types=("full", "diag"), largest=1e7, own_start=True)
