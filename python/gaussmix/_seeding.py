"""Where EM on blocks of rows starts: from a sample that fits into memory, from k-means||, or from what is given."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gaussmix._dispatch import core, threads
from gaussmix._mixture import GaussianMixture
from gaussmix._passes import Passes, Rows, Sample, Weights, check_squares, generator, merge_samples, nearest

__all__ = ["NO_MODEL", "Seeding", "default_sample_size", "n_passes", "start"]

Seeding = Literal["reservoir", "k-means||"]

# What is raised where a start leads to no model; others may.
NO_MODEL = (core.NotPositiveDefinite, core.DegenerateData)
ROUNDS = 5
# Iterations on the sample: not `max_iter`, which counts those over all rows and may be raised later.
ITERATIONS = 100
START = ("weights", "means", "precisions")


def default_sample_size(n_components: int) -> int:
    """Return how many rows the sample has: enough for the covariances of many components, and little memory."""
    return max(20_000, 200 * n_components)


def n_passes(estimator: GaussianMixture, seeding: Seeding) -> int:
    """Return how many passes a start takes."""
    others = [estimator.weights_init is not None, estimator.precisions_init is not None]
    if estimator.means_init is not None:
        return 0 if all(others) else 1
    if seeding == "reservoir":
        return 0
    if estimator.n_components == 1:
        return 1
    return ROUNDS + 1 if any(others) else ROUNDS + 2


def start(passes: Passes, estimator: GaussianMixture, seeding: Seeding, sample: Sample, seed: int) -> core.Mixture:
    """Return the mixture to start from.

    Parameters
    ----------
    passes : Passes
        The rows.
    estimator : GaussianMixture
        Whose parameters count.
    seeding : {"reservoir", "k-means||"}
        How a start is made where no means are given.
    sample : Sample
        A sample of the rows, with weights.
    seed : int
        Names the random numbers.

    Returns
    -------
    mixture : core.Mixture
        With given means, that of the rows nearest to each, or with all given, these. Else that of the sample, fitted
        in memory (only started, if a part is given), or that of the rows nearest to the centres of k-means||.

    Raises
    ------
    ValueError
        If what is given is not valid, or nothing can be fitted to the sample.
    """
    given = estimator._start(passes.found.n_features)
    partly = any(part is not None for part in given.values())
    if given["means"] is None and seeding == "k-means||" and estimator.n_components == 1:
        # Every row is nearest to the one centre, wherever that is.
        given["means"] = np.average(sample.rows, axis=0, weights=sample.weights)[np.newaxis]
    if given["means"] is not None and any(part is None for part in given.values()):
        return _from_centres(passes, estimator, sample, given)
    if given["means"] is None and seeding == "k-means||":
        candidates = kmeans_parallel(passes, estimator.n_components, sample, seed)
        if partly:
            return _in_memory(estimator, candidates, given, seed, max_iter=0)
        centres = _centres(estimator, candidates, seed)
        return _from_centres(passes, estimator, sample, given | {"means": centres})
    return _in_memory(estimator, sample, given, seed, max_iter=0 if partly else ITERATIONS)


def kmeans_parallel(passes: Passes, n_components: int, sample: Sample, seed: int) -> Sample:
    """Return about 10 K rows that stand for all others: the candidates of k-means||, with the weight of those near.

    Bahmani, Moseley, Vattani, Kumar, Vassilvitskii (2012), "Scalable k-means++". Each of the five rounds draws 2 K rows
    in proportion to w D^2, by priority sampling: exactly so many instead of about so many, and without a pass of its
    own for the sum of the distances.

    Parameters
    ----------
    passes : Passes
        The rows.
    n_components : int
        K.
    sample : Sample
        A sample of the rows, of which the first candidate is drawn.
    seed : int
        Names the random numbers.

    Returns
    -------
    candidates : Sample
        At least K rows, though not all distinct if those of the data are not.
    """
    first = generator(seed, 1, 0).choice(len(sample.weights), p=sample.weights / sample.weights.sum())
    centres = np.asarray(sample.rows[first : first + 1], dtype=np.float64)
    count = 2 * n_components
    for number in range(ROUNDS):
        draw = partial(_far_rows, centres, count, seed, 2 + number, passes.n_threads)
        drawn = passes.run(draw, partial(merge_samples, count))
        if drawn is None or len(drawn.rows) == 0:  # every row is a candidate already
            break
        centres = np.concatenate([centres, np.asarray(drawn.rows, dtype=np.float64)])
    near = passes.run(partial(_weights_near, centres, passes.n_threads), np.add)
    assert near is not None
    centres, near = centres[near > 0], near[near > 0]
    repeated = np.arange(max(n_components, len(centres))) % len(centres)
    return Sample(centres[repeated], (near / np.bincount(repeated))[repeated], np.ones(len(repeated)))


def _far_rows(
    centres: NDArray[np.float64],
    count: int,
    seed: int,
    purpose: int,
    n_threads: int | None,
    index: int,
    X: Rows,
    sample_weight: Weights | None,
) -> Sample:
    """Return the rows of a block that a round may draw."""
    squared = np.empty(len(X))
    labels = nearest(centres, X, n_threads)
    for first in range(0, len(X), 4096):
        part = slice(first, first + 4096)
        with np.errstate(over="ignore"):
            squared[part] = ((X[part] - centres[labels[part]]) ** 2).sum(axis=1)
    check_squares(squared)
    with np.errstate(over="ignore"):
        if sample_weight is not None:
            squared *= sample_weight
        places = np.flatnonzero(squared)
        keys = squared[places] / (1 - generator(seed, purpose, index).random(len(places)))
    far = Sample(places[:, None], squared[places], keys).largest(count)
    return Sample(X[far.rows[:, 0]], far.weights, far.keys)


def _weights_near(
    centres: NDArray[np.float64], n_threads: int | None, index: int, X: Rows, sample_weight: Weights | None
) -> NDArray[np.float64]:
    return np.bincount(nearest(centres, X, n_threads), sample_weight, len(centres)).astype(np.float64)


def _fit(
    estimator: GaussianMixture, covariance_type: str, sample: Sample, given: dict[str, Any], seed: int, max_iter: int
) -> core.Mixture:
    """Return a mixture fitted in memory."""
    kind = core.mixtures[covariance_type]
    result = kind.fit(
        core.Data([sample.rows], np.ascontiguousarray(sample.weights / sample.weights.max())),
        estimator.n_components,
        tol=estimator.tol,
        reg_covar=estimator.reg_covar,
        max_iter=max_iter,
        n_init=1,
        init_params=estimator.init_params,
        **given,
        seed=seed,
        n_threads=threads(estimator.n_threads),
        single=False,
        callback=lambda *_: False,  # being called lets the interpreter deliver Ctrl-C
        previous=None,
        previous_bound=-np.inf,
    )
    if result["raised"] is not None:
        raise result["raised"]
    return kind(result["weights"], result["means"], result["covariances"], result["precisions_cholesky"])


def _in_memory(
    estimator: GaussianMixture, sample: Sample, given: dict[str, Any], seed: int, max_iter: int
) -> core.Mixture:
    return _fit(estimator, estimator.covariance_type, sample, given, seed, max_iter)


def _centres(estimator: GaussianMixture, candidates: Sample, seed: int) -> NDArray[np.float64]:
    """Return the centres of weighted k-means on the candidates: the means of a start with spheres."""
    model = GaussianMixture(estimator.n_components, n_threads=estimator.n_threads, reg_covar=estimator.reg_covar)
    return _fit(model, "spherical", candidates, dict.fromkeys(START), seed, max_iter=0).arrays()[1]


def _from_centres(
    passes: Passes, estimator: GaussianMixture, sample: Sample, given: dict[str, NDArray[Any] | None]
) -> core.Mixture:
    """Return the mixture of the rows nearest to each given mean, with the other given parameters in their places."""
    centres = np.asarray(given["means"], dtype=np.float64)
    parts = given | {"means": centres}
    statistics = passes.partition(centres)
    try:
        weights, means, *matrices = statistics.maximize(estimator.reg_covar, threads(estimator.n_threads))
    except NO_MODEL:
        # A singular covariance: the fit in memory knows what floor it needs.
        return _in_memory(estimator, sample, parts, 0, max_iter=0)
    if estimator.means_init is not None:
        means = centres
    if parts["weights"] is not None:
        weights = np.asarray(parts["weights"], dtype=np.float64)
        weights = weights / weights.sum()
    if parts["precisions"] is not None:
        complete = {"weights": weights, "means": means, "precisions": parts["precisions"]}
        return _in_memory(estimator, sample, complete, 0, max_iter=0)
    return core.mixtures[estimator.covariance_type](weights, means, *matrices)
