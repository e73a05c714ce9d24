"""The mean log-likelihood of parameters in double precision, by SciPy alone: the judge of what a library returned."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import cholesky, solve_triangular
from scipy.special import logsumexp

from bench.python.problems import Array


class Parameters(NamedTuple):
    """Parameters that a fit ended with, in the shapes of scikit-learn."""

    weights: Array
    means: Array
    covariances: Array


def parameters(weights: ArrayLike, means: ArrayLike, covariances: ArrayLike) -> Parameters:
    """Return parameters in double precision."""
    return Parameters(*(np.array(part, dtype=np.float64) for part in (weights, means, covariances)))


def mean_log_likelihood(X: Array, model: Parameters, covariance_type: str, block: int = 20_000) -> float:
    """Return the mean of log p(x).

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Rows.
    model : Parameters
        Parameters.
    covariance_type : str
        Type of the covariances.
    block : int
        Rows at a time.

    Returns
    -------
    likelihood : float
        In nats a row.

    Raises
    ------
    ValueError
        If a parameter is not finite or a covariance is not positive-definite.
    """
    k, d = model.means.shape
    if not all(np.isfinite(part).all() for part in model):
        raise ValueError("parameters are not finite")
    if covariance_type in ("diag", "spherical"):
        deviations = np.sqrt(np.broadcast_to(model.covariances.reshape(k, -1), (k, d)))
        if not deviations.min() > 0:
            raise ValueError("a variance is not positive")
    else:
        matrices = np.broadcast_to(model.covariances, (k, d, d))
        try:
            factors = [cholesky(matrix, lower=True) for matrix in matrices]
        except np.linalg.LinAlgError:
            raise ValueError("a covariance is not positive-definite") from None
        deviations = np.stack([np.diag(factor) for factor in factors])
    with np.errstate(divide="ignore"):  # a component may have lost its weight
        constants = np.log(model.weights) - np.log(deviations).sum(axis=1) - d / 2 * np.log(2 * np.pi)
    total = 0.0
    for first in range(0, len(X), block):
        rows = X[first : first + block]
        scores = np.empty((len(rows), k))
        for j, mean in enumerate(model.means):
            centred = rows - mean
            if covariance_type in ("diag", "spherical"):
                centred /= deviations[j]
            else:
                centred = solve_triangular(factors[j], centred.T, lower=True, check_finite=False).T
            scores[:, j] = constants[j] - np.einsum("ij,ij->i", centred, centred) / 2
        total += float(logsumexp(scores, axis=1).sum())
    return total / len(X)
