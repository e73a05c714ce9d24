"""One step of stepwise EM: what is remembered, and the statistics of a batch; components that starve begin anew."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._batch import Batch
from gaussmix._dispatch import core, threads

# Where a component is started again: iterations of EM over the batch, and the rows a component that this asks for.
TRIAL_ITERATIONS = 20
TRIAL_ROWS = 10
# A component that it leaves with less than this share of its rows had to cover others: the batch knows it better.
TRIAL_SHARE = 0.8


class Step:
    """The pass of a step of EM: the statistics of a batch, added to what is remembered of those before.

    Parameters
    ----------
    batch : Batch
        The rows.
    statistics : core.Statistics
        What is remembered.
    keep : float
        Its weight is multiplied by this: 1 forgets nothing.
    row_weight : float
        Mean weight of a row; a component that remembers less has starved.
    reseed : bool
        Whether such components are started again.
    estimator : GaussianMixture
        Whose parameters count.

    Attributes
    ----------
    statistics : core.Statistics
        With those of the batch.
    reseeded : list of int
        Components that were started again.
    """

    def __init__(
        self, batch: Batch, statistics: core.Statistics, keep: float, row_weight: float, reseed: bool, estimator: Any
    ) -> None:
        self.statistics = statistics
        self.reseeded: list[int] = []
        self._before, self._batch, self._keep, self._estimator = statistics, batch, keep, estimator
        self._row_weight, self._reseed = row_weight, reseed
        self._n_threads = threads(estimator.n_threads)

    def accumulate(self, mixture: core.Mixture, about: NDArray[np.float64] | None = None) -> core.Statistics:
        """Return the statistics of the stream with this batch, which counts once however often this is called.

        Parameters
        ----------
        mixture : core.Mixture
            The model of the E-step.
        about : ndarray of shape (n_components, n_features), default=None
            Points near the new means, about which moments cannot cancel; without, the core chooses.

        Returns
        -------
        statistics : core.Statistics
            What the M-step takes.
        """
        of_batch = mixture.accumulate(self._batch.data(), self._n_threads, about)
        s = self._before
        self.statistics = type(s)(s.counts, s.means, s.covariances, s.log_likelihood, s.total_weight)
        self.statistics.scale(self._keep)
        self.statistics.merge(of_batch)
        few = np.flatnonzero(self.statistics.counts < self._row_weight)
        if len(few) and self._may_move(few):
            self.statistics = self._revive(few, mixture, of_batch.counts)
        elif len(few):
            self.statistics = self._hold(mixture)
        return self.statistics

    def _may_move(self, starved: NDArray[np.intp]) -> bool:
        """Return whether these components can be started again; those that the caller placed stay."""
        start = self._estimator.weights_init, self._estimator.means_init, self._estimator.precisions_init
        enough = len(starved) < len(self.statistics.counts) and len(starved) <= len(self._batch.X)
        return self._reseed and enough and all(part is None for part in start)

    def _hold(self, mixture: core.Mixture) -> core.Statistics:
        """Leave components without any count where they were, with the least one that an M-step takes."""
        s = self.statistics
        counts, means, matrices = s.counts.copy(), s.means.copy(), s.covariances.copy()
        least = 4 * np.finfo(np.float64).eps * s.total_weight
        gone = np.flatnonzero(counts < least)
        _, old_means, old_matrices, _ = mixture.arrays()
        counts[gone] = least
        means[gone] = np.reshape(old_means, means.shape)[gone]
        if len(matrices) == len(counts):
            old = without_regularisation(old_matrices, self._estimator.covariance_type, self._estimator.reg_covar)
            matrices[gone] = old.reshape(matrices.shape)[gone]
        return type(s)(counts, means, matrices, s.log_likelihood, s.total_weight)

    def _revive(self, starved: NDArray[np.intp], mixture: core.Mixture, before: NDArray[np.float64]) -> core.Statistics:
        """Start components again at the batch's rows of lowest density.

        There they have the mean of all covariances. Where the batch has rows enough, EM over it alone tells what they
        make of that place, and whose rows they take; `before` are the counts of the batch without them.
        """
        s, X = self.statistics, self._batch.X
        k, d = s.means.shape
        counts, means, matrices = s.counts.copy(), s.means.copy(), s.covariances.copy()
        own_matrices = len(matrices) == k  # else they share one, which is not theirs alone to change
        self.reseeded = sorted({*self.reseeded, *starved.tolist()})
        density = mixture.log_densities(self._batch.data(), False, self._n_threads)
        means[starved] = X[np.argsort(density, kind="stable")[: len(starved)]]
        if own_matrices:
            matrices[starved] = s.counts @ s.covariances / s.counts.sum()
        counts *= 1 - len(starved) / k
        counts[starved] = s.total_weight / k
        seeded = type(s)(counts, means, matrices, s.log_likelihood, s.total_weight)
        tried = self._try(seeded) if len(X) >= TRIAL_ROWS * k else None
        if tried is not None:
            weights, tried_means, tried_matrices = tried
            given = np.divide(weights * self._batch.weight, before, out=np.ones(k), where=before > 0)
            counts = s.counts * np.minimum(given, 1)
            counts[starved] = np.maximum(weights[starved] * s.total_weight, self._row_weight)
            changed = np.union1d(starved, np.flatnonzero(given < TRIAL_SHARE))
            means[changed] = tried_means[changed]
            shown = changed if own_matrices else [0]
            matrices[shown] = tried_matrices[shown]
        else:  # they take the place of one in K for this batch alone: the model hardly changes for now
            counts = s.counts.copy()
            counts[starved] = min(max(self._batch.weight / k, (d + 1) * self._row_weight), s.total_weight / (2 * k))
        counts *= s.total_weight / counts.sum()
        return type(s)(counts, means, matrices, s.log_likelihood, s.total_weight)

    def _try(self, seeded: core.Statistics) -> tuple[NDArray[np.float64], ...] | None:
        """Return weights, means and covariances, nothing added, after EM over the batch; None where it collapses."""
        estimator = self._estimator
        kind, (k, d) = core.mixtures[estimator.covariance_type], seeded.means.shape
        try:
            fitted = kind.fit(
                self._batch.data(),
                k,
                tol=estimator.tol,
                reg_covar=estimator.reg_covar,
                max_iter=TRIAL_ITERATIONS,
                n_init=1,
                init_params="kmeans",
                weights=None,
                means=None,
                precisions=None,
                seed=0,
                n_threads=self._n_threads,
                single=False,
                callback=lambda *_: False,
                previous=kind(*seeded.maximize(estimator.reg_covar, self._n_threads)),
                previous_bound=-math.inf,
            )
        except ValueError:
            return None
        if fitted["raised"] is not None:
            raise fitted["raised"]
        matrices = without_regularisation(fitted["covariances"], estimator.covariance_type, estimator.reg_covar)
        return fitted["weights"], fitted["means"].reshape(k, d), matrices.reshape(seeded.covariances.shape)


def without_regularisation(covariances: NDArray[Any], covariance_type: str, reg_covar: float) -> NDArray[np.float64]:
    """Return covariances of a compiled model, a row each, without the `reg_covar` that was added to the variances."""
    added = np.ones(covariances.shape[1])
    if covariance_type in ("full", "tied"):
        added = np.eye(math.isqrt(len(added))).ravel()
    return np.asarray(covariances - reg_covar * added)
