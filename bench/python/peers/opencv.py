"""The EM of OpenCV's module ml, which OpenCV 5 has no more.

Spherical covariances are left out: their determinants count one feature of d, the likelihood falls, and it ends.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.python.likelihood import Parameters, parameters
from bench.python.peers.peer import Fit, Peer
from bench.python.problems import Array, Problem, Start


def prepare(problem: Problem, X: Array, start: Start) -> Fit:
    import cv2

    if not hasattr(cv2, "ml"):
        raise ImportError(f"OpenCV {cv2.__version__} has no module ml")
    full = problem.covariance_type == "full"
    kind = cv2.ml.EM_COV_MAT_GENERIC if full else cv2.ml.EM_COV_MAT_DIAGONAL
    covariances = cv2.Mat(start.covariances("full"), wrap_channels=False)  # else the last axis becomes channels

    def fit(iterations: int) -> Any:
        em = cv2.ml.EM_create()
        em.setClustersNumber(problem.k)
        em.setCovarianceMatrixType(kind)
        # It ends with an E-step: the last of its iterations has no M-step.
        em.setTermCriteria((cv2.TERM_CRITERIA_MAX_ITER, iterations + 1, 0.0))
        em.trainE(X, start.means, covariances, start.weights[None])
        return em, full

    return fit


def fitted(model: Any) -> Parameters:
    em, full = model
    covariances = np.stack(em.getCovs())
    if not full:
        covariances = np.diagonal(covariances, axis1=1, axis2=2)
    return parameters(em.getWeights().ravel(), em.getMeans(), covariances)


PEER = Peer(
    "OpenCV",
    "cv2",
    "opencv-python-headless",
    prepare,
    fitted,
    types=("full", "diag"),
    note="adds nothing to variances",
)
