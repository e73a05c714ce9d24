"""The estimator of scikit-learn."""

from __future__ import annotations

from sklearn.mixture import GaussianMixture

from bench.python.peers.gaussmix import arguments, fitted
from bench.python.peers.peer import Fit, Peer
from bench.python.problems import Array, Problem, Start


def prepare(problem: Problem, X: Array, start: Start) -> Fit:
    given = arguments(problem, start)
    return lambda iterations: GaussianMixture(**given, max_iter=iterations).fit(X)


PEER = Peer("scikit-learn", "sklearn", "scikit-learn", prepare, fitted)
