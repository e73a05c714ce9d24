"""Passes over blocks: the tree of merges, the survey of the rows, k-means||, and what the EM loop asks for."""

import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from blocks import Blocks, cut
from cases import TYPES
from gaussmix import GaussianMixture, _passes
from gaussmix._dispatch import core, full_model
from gaussmix._passes import Passes, Sample, nearest, survey, tree_reduce
from gaussmix._seeding import kmeans_parallel

CUTS = [0, 1, 40, 41, 150, 150]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def problem(rng):
    X = np.concatenate([rng.normal(4 * c, 1 + c, (100, 3)) for c in range(3)])
    rng.shuffle(X)
    weights = np.where(rng.random(300) < 0.2, 0, rng.exponential(size=300))
    weights[150:200] = 0
    return X, weights


def passes_over(X, weights, kind="full", cuts=CUTS):
    source = Blocks(cut(X, weights, cuts))
    return Passes(source, survey(source, 50, 0), kind, 1)


@pytest.mark.parametrize("n", range(1, 18))
def test_the_tree_is_that_of_levels(n):
    level = [str(i) for i in range(n)]
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [f"({' '.join(pair)})" if len(pair) == 2 else pair[0] for pair in pairs]
    assert tree_reduce((str(i) for i in range(n)), lambda a, b: f"({a} {b})") == level[0]


def test_the_tree_keeps_few_parts():
    alive, most = 0, 0

    def parts():
        nonlocal alive, most
        for _ in range(1000):
            alive += 1
            most = max(most, alive)
            yield 1

    def merge(a, b):
        nonlocal alive
        alive -= 1
        return a + b

    assert tree_reduce(parts(), merge) == 1000
    assert most <= 1 + np.log2(1024)


def test_no_blocks():
    with pytest.raises(ValueError, match="no blocks"):
        tree_reduce([], min)


def test_the_survey_counts(problem):
    X, weights = problem
    found = survey(Blocks(cut(X, weights, CUTS)), 50, 0)
    assert found.rows == (0, 1, 39, 1, 109, 0, 150)
    assert (found.n_samples, found.n_features) == X.shape
    assert found.positive == np.count_nonzero(weights)
    assert found.total_weight == pytest.approx(weights.sum(), rel=1e-14)
    assert found.weighted
    assert not found.single
    assert survey(Blocks(cut(X.astype(np.float32), None, CUTS)), 50, 0).single


@pytest.mark.parametrize("weighted", [False, True])
def test_the_sample_does_not_depend_on_the_order_in_which_blocks_come(problem, weighted):
    X, weights = problem
    pairs = cut(X, weights if weighted else None, CUTS)

    class Backwards(Blocks):
        def reduce(self, per_block, merge):
            # On a cluster: everything is pickled, and the last block is done first.
            per_block, merge = pickle.loads(pickle.dumps((per_block, merge)))
            parts = {i: per_block(i, *self.pairs[i]) for i in reversed(range(len(self.pairs)))}
            return tree_reduce((pickle.loads(pickle.dumps(parts[i])) for i in range(len(parts))), merge)

    one, two = survey(Blocks(pairs), 50, 3).sample, survey(Backwards(pairs), 50, 3).sample
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_sample_does_not_depend_on_how_many_rows_are_drawn_from_at_a_time(problem, weighted, monkeypatch):
    X, weights = problem
    pairs = cut(X, weights if weighted else None, CUTS)
    one = survey(Blocks(pairs), 50, 3).sample
    monkeypatch.setattr(_passes, "_DRAWN_ROWS", 7)
    for a, b in zip(one, survey(Blocks(pairs), 50, 3).sample, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


def test_threads_that_survey_at_once_lose_no_rows(problem):
    """Another thread may store other keys at any time: here whenever this one reads them."""
    X, weights = problem

    class Interleaved(_passes._SurveyBlock):
        reads = 0

        @property
        def _largest(self):
            self.reads += 1
            return self.keys if self.reads % 2 else np.empty(0)

        @_largest.setter
        def _largest(self, keys):
            self.keys = keys

    block = Interleaved(51, 3, False)
    parts = [block(i, *pair) for i, pair in enumerate(cut(X, weights, CUTS))]
    found = tree_reduce(parts, lambda a, b: _passes._merge_surveys(51, a, b)).sample
    for a, b in zip(found, survey(Blocks(cut(X, weights, CUTS)), 50, 3).sample, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


def test_the_survey_needs_little_memory_beside_the_rows():
    source = Blocks([(np.random.default_rng(0).normal(size=(1_000_000, 1)), None)])
    tracemalloc.start()
    survey(source, 1000, 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4e6  # 4 bytes a row


def test_checksums_tell_blocks_apart(problem):
    X, weights = problem

    def digest(X, weights, cuts=CUTS):
        return survey(Blocks(cut(X, weights, cuts)), 50, 0, checksums=True).digest()

    other, small = X.copy(), X.astype(np.float32)
    other[-1, -1] = np.nextafter(other[-1, -1], 0)
    of = [digest(*a) for a in [(X, weights), (other, weights), (X, None), (small, weights), (X, weights, [150])]]
    assert len(set(of)) == 5
    assert digest(np.asfortranarray(X), weights) == of[0]
    assert survey(Blocks(cut(X, weights, CUTS)), 50, 0).checksums == ()


def test_an_exception_of_the_core_travels_as_a_value_error():
    # To a process with another instruction set, whose core is another module.
    for kind in (core.NotPositiveDefinite, core.DegenerateData):
        with pytest.raises(kind) as caught:
            raise kind("why")
        found = pickle.loads(pickle.dumps(caught.value))
        assert type(found) is ValueError
        assert found.args == ("why",)


def test_a_sample_of_all_rows_is_the_rows(problem):
    X, weights = problem
    sample = survey(Blocks(cut(X, weights, CUTS)), 300, 0).sample.estimate(300)
    np.testing.assert_array_equal(sample.rows, X[weights > 0])
    np.testing.assert_array_equal(sample.weights, weights[weights > 0])


def test_sums_over_the_sample_estimate_those_over_the_rows(problem):
    # Priority sampling is unbiased for the sum over any subset: here the rows on one side, whose weight is known.
    X, weights = problem
    side = X[:, 0] > 4
    pairs = cut(X, weights, CUTS)
    sums = []
    for seed in range(400):
        sample = survey(Blocks(pairs), 40, seed).sample.estimate(40)
        assert len(sample.rows) == 40
        sums.append(sample.weights[sample.rows[:, 0] > 4].sum())
    assert np.mean(sums) == pytest.approx(weights[side].sum(), abs=4 * np.std(sums) / 20)


def test_threads_share_a_model_that_none_has_asked_before(rng):
    X = rng.normal(size=(50, 40))
    weights, factors = np.full(30, 1 / 30), np.broadcast_to(np.eye(40), (30, 40, 40))
    for _ in range(20):
        mixture = core.mixtures["full"](weights, rng.normal(size=(30, 40)), factors, factors)
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _, m=mixture: m.score(core.Data([X], None), 1), range(4)))
        assert found == [core.mixtures["full"](*mixture.arrays()).score(core.Data([X], None), 1)] * 4


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_passes_are_those_over_all_rows(problem, kind, weighted):
    X, weights = problem
    weights = weights if weighted else None
    model = GaussianMixture(3, covariance_type=kind, random_state=0).fit(X)
    passes, mixture = passes_over(X, weights, kind), full_model(model)
    found, expected = passes.accumulate(mixture), mixture.accumulate(core.Data([X], weights), 1)
    for name in ("counts", "means", "covariances", "log_likelihood", "total_weight"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-11, atol=1e-11, err_msg=name)
    assert passes.score(mixture) == pytest.approx(model.score(X, sample_weight=weights), rel=1e-13)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_worst_rows_are_those_of_lowest_density(problem, weighted):
    X, weights = problem
    weights = weights if weighted else None
    model = GaussianMixture(2, random_state=0).fit(X)
    joint = [
        np.log(p) + multivariate_normal(m, c).logpdf(X)
        for p, m, c in zip(model.weights_, model.means_, model.covariances_, strict=True)
    ]
    density = logsumexp(joint, axis=0)
    if weighted:
        density[weights == 0] = np.inf
    found = passes_over(X, weights).worst_rows(full_model(model), 7)
    np.testing.assert_array_equal(found, X[np.argsort(density)[:7]])


@pytest.mark.parametrize("kind", TYPES)
def test_a_partition_has_the_moments_of_the_nearest_rows_whatever_the_weights_of_blocks(rng, kind):
    X = np.concatenate([rng.normal(20 * c, 1 + c, (40, 2)) for c in range(3)])
    # All rows of the first two centres weigh little or much beside those of the others; nothing is near the last one.
    weights = rng.exponential(size=120) * np.repeat([1e-200, 1.0, 1e200], 40)
    centres = np.array([[0.0, 0.0], [20.0, 20.0], [40.0, 40.0], [1e3, 1e3]])
    found = passes_over(X, weights, kind, cuts=[40, 60, 80]).partition(centres)
    labels = cdist(X, centres).argmin(axis=1)
    counts = np.bincount(labels, weights, 4)
    owners = [0, 1, 2, 2]  # the one without rows shares those of the nearest
    shares = np.array([1, 1, 0.5, 0.5])
    means = np.array([np.average(X[labels == c], axis=0, weights=weights[labels == c]) for c in range(3)])
    full = np.array([np.cov(X[labels == c].T, aweights=weights[labels == c], ddof=0) for c in range(3)])
    expected = {
        "full": full[owners],
        "tied": np.average(full, axis=0, weights=counts[:3])[None],
        "diag": np.einsum("kii->ki", full)[owners],
        "spherical": np.einsum("kii->k", full)[owners, None] / 2,
    }[kind]
    np.testing.assert_allclose(found.counts, counts[owners] * shares, rtol=1e-13)
    np.testing.assert_allclose(found.means, means[owners], rtol=1e-12)
    np.testing.assert_allclose(found.covariances, expected.reshape(found.covariances.shape), rtol=1e-10)
    assert found.total_weight == pytest.approx(weights.sum(), rel=1e-14)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_nearest_is_the_nearest(rng, scale):
    X, centres = rng.normal(size=(200, 5)) * scale, rng.normal(size=(30, 5)) * scale
    np.testing.assert_array_equal(nearest(centres, X, 1), cdist(X, centres).argmin(axis=1))


def test_k_means_parallel_stands_for_the_rows(rng):
    # 20 clusters far apart, the smallest of 10 rows in 20,000: each must have a candidate, and their weights add up.
    sizes = np.linspace(10, 1990, 20).astype(int)
    X = np.concatenate([rng.normal([100 * c, 0], size=(n, 2)) for c, n in enumerate(sizes)])
    rng.shuffle(X)
    passes = passes_over(X, None, cuts=[5000, 12000])
    for seed in range(5):
        candidates = kmeans_parallel(passes, 20, passes.found.sample.estimate(50), seed)
        assert 20 <= len(candidates.rows) <= 1 + 5 * 40
        of_cluster = np.bincount(np.rint(candidates.rows[:, 0] / 100).astype(int), candidates.weights, 20)
        np.testing.assert_allclose(of_cluster, sizes, atol=1e-9)


def test_k_means_parallel_of_few_distinct_rows():
    X = np.repeat([[0.0, 1.0], [5.0, 1.0]], 50, axis=0)
    passes = passes_over(X, None, cuts=[30])
    candidates = kmeans_parallel(passes, 4, Sample(X[:1], np.ones(1), np.ones(1)), 0)
    assert len(candidates.rows) == 4
    assert candidates.weights.sum() == pytest.approx(100)
    assert {tuple(row) for row in candidates.rows} == {(0, 1), (5, 1)}
