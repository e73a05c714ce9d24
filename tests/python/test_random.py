"""Random numbers: what random_state means, and that samples follow the mixture."""

import numpy as np
import pytest
from scipy import stats

from cases import INITS, assert_same_bits, dense_covariances
from gaussmix import GaussianMixture


@pytest.mark.parametrize("init", INITS)
def test_an_int_repeats(blobs, init, covariance_type):
    params = {"n_components": 3, "covariance_type": covariance_type, "init_params": init, "n_init": 2, "tol": 0.01}
    a, b = (GaussianMixture(**params, random_state=7).fit(blobs) for _ in range(2))
    assert_same_bits(a, b)
    assert_same_bits(a, GaussianMixture(**params, random_state=np.random.RandomState(7)).fit(blobs))


@pytest.mark.parametrize("init", INITS)
def test_another_int_is_another_start(blobs, init):
    starts = {
        GaussianMixture(5, init_params=init, max_iter=0, random_state=seed).fit(blobs).means_.tobytes()
        for seed in range(5)
    }
    assert len(starts) > 1


@pytest.mark.parametrize("seed", [np.random.RandomState(3), None])
def test_a_random_state_is_consumed_by_fit_and_by_sample(blobs, seed):
    model = GaussianMixture(5, init_params="random", max_iter=0, random_state=seed)
    first, second = model.fit(blobs).means_, model.fit(blobs).means_
    assert not np.array_equal(first, second)
    assert not np.array_equal(model.sample(5)[0], model.sample(5)[0])


def test_an_explicit_start_consumes_nothing(blobs):
    state = np.random.RandomState(3)
    GaussianMixture(
        1, weights_init=[1.0], means_init=[[0.0, 0, 0]], precisions_init=[np.eye(3)], random_state=state
    ).fit(blobs)
    assert state.randint(1000) == np.random.RandomState(3).randint(1000)


def test_none_follows_numpys_global_seed(blobs):
    samples = []
    for _ in range(2):
        np.random.seed(5)  # noqa: NPY002
        model = GaussianMixture(4, init_params="random", max_iter=0).fit(blobs)
        samples.append((model.means_, model.sample(6)[0]))
    np.testing.assert_array_equal(samples[0][0], samples[1][0])
    np.testing.assert_array_equal(samples[0][1], samples[1][1])


def test_random_state_of_sample(blobs):
    model = GaussianMixture(3, random_state=0).fit(blobs)
    np.testing.assert_array_equal(model.sample(9)[0], model.sample(9)[0])
    np.testing.assert_array_equal(model.sample(9, random_state=0)[0], model.sample(9)[0])
    np.testing.assert_array_equal(model.sample(9, random_state=1)[0], model.sample(9, random_state=1)[0])
    assert not np.array_equal(model.sample(9, random_state=1)[0], model.sample(9)[0])
    state = np.random.RandomState(1)
    first, second = model.sample(9, random_state=state)[0], model.sample(9, random_state=state)[0]
    np.testing.assert_array_equal(first, model.sample(9, random_state=1)[0])
    assert not np.array_equal(first, second)


@pytest.fixture(scope="module", params=["full", "tied", "diag", "spherical"])
def drawn(request):
    """Return a mixture with correlations and a large draw from it."""
    rng = np.random.default_rng(4)
    root = rng.normal(size=(3, 3, 3))
    covariances = {
        "full": root @ root.swapaxes(1, 2),
        "tied": root[0] @ root[0].T,
        "diag": rng.uniform(0.1, 4, (3, 3)),
        "spherical": rng.uniform(0.1, 4, 3),
    }[request.param]
    means = rng.normal(scale=20, size=(3, 3))
    model = GaussianMixture.from_parameters([0.2, 0.3, 0.5], means, covariances, covariance_type=request.param)
    return model, *model.sample(60_000, random_state=0)


def test_labels_are_sorted_and_follow_the_weights(drawn):
    model, rows, labels = drawn
    assert rows.shape == (60_000, 3)
    assert rows.dtype == np.float64
    assert labels.dtype == np.int64
    assert (np.diff(labels) >= 0).all()
    assert stats.chisquare(np.bincount(labels, minlength=3), model.weights_ * len(labels)).pvalue > 1e-4


def test_samples_of_a_component_are_normal(drawn):
    model, rows, labels = drawn
    for c, covariance in enumerate(dense_covariances(model)):
        z = np.linalg.solve(np.linalg.cholesky(covariance), (rows[labels == c] - model.means_[c]).T).T
        assert stats.kstest(z.ravel(), "norm").pvalue > 1e-4
        # Mahalanobis distances see dependence between features, first and second moments see the rest.
        assert stats.kstest((z**2).sum(axis=1), "chi2", args=(3,)).pvalue > 1e-4
        np.testing.assert_allclose(z.mean(axis=0), 0, atol=5 / np.sqrt(len(z)))
        np.testing.assert_allclose(np.cov(z.T), np.eye(3), atol=7 / np.sqrt(len(z)))
        # Rows that follow each other are independent.
        serial = (z[1:] * z[:-1]).mean(axis=0)
        np.testing.assert_allclose(serial, 0, atol=5 / np.sqrt(len(z)))


def test_the_mean_log_density_of_a_sample_is_minus_the_entropy():
    model = GaussianMixture.from_parameters([1.0], [[1.0, 2.0]], [[[2.0, 0.3], [0.3, 1.0]]])
    rows, _ = model.sample(50_000, random_state=3)
    entropy = stats.multivariate_normal([1, 2], [[2, 0.3], [0.3, 1]]).entropy()
    assert model.score(rows) == pytest.approx(-entropy, abs=5 / np.sqrt(50_000))


def test_a_longer_draw_of_one_component_begins_with_the_shorter_one():
    model = GaussianMixture.from_parameters([1.0], [[0.0, 0.0]], [np.eye(2)])
    np.testing.assert_array_equal(model.sample(10_000, random_state=0)[0][:100], model.sample(100, random_state=0)[0])


def test_sample_uses_covariances_and_densities_use_factors():
    model = GaussianMixture.from_parameters([1.0], [[0.0]], [[[1.0]]])
    narrow = model.sample(1000, random_state=0)[0]
    model.covariances_ = model.covariances_ * 100
    np.testing.assert_allclose(model.sample(1000, random_state=0)[0], 10 * narrow, rtol=1e-12)
    assert model.score_samples([[0.0]])[0] == pytest.approx(stats.norm.logpdf(0))
