"""The fitter of gmmx, on JAX: float32 only."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.python.likelihood import Parameters, parameters
from bench.python.peers.peer import REG_COVAR, Fit, Peer
from bench.python.problems import Array, Problem, Start


def prepare(problem: Problem, X: Array, start: Start) -> Fit:
    import jax
    import jax.numpy as jnp
    from gmmx import EMFitter, GaussianMixtureModelJax

    kind = problem.covariance_type
    rows = jnp.asarray(X.astype(np.float32))
    parts = (start.means, start.covariances(kind), start.weights)
    model = GaussianMixtureModelJax.from_squeezed(*(part.astype(np.float32) for part in parts), covariance_type=kind)

    def fit(iterations: int) -> Any:
        # It is compiled again for each number of iterations, on the first call, and returns before it has finished.
        return jax.block_until_ready(EMFitter(max_iter=iterations, tol=0.0, reg_covar=REG_COVAR).fit(rows, model)).gmm

    return fit


def fitted(model: Any) -> Parameters:
    return parameters(model.weights_numpy, model.means_numpy, model.covariances.values_numpy)


PEER = Peer(
    "gmmx", "gmmx", "gmmx", prepare, fitted, types=("full", "diag"), single=True, wide=True, note="float32 only"
)
