"""The kernel for components that lie apart: it drops pairs of rows and components, and nothing else may change."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture as Peer

from gaussmix import GaussianMixture

# Sizes from which the kernel is used: 64 features of the log-density, and a pair for each row is a small share.
SIZES = {"full": (12, 24), "diag": (40, 40), "spherical": (40, 70)}


def apart(covariance_type, n=4000, distance=4.0, seed=0):
    """Rows about separated means, and the start that made them."""
    k, d = SIZES[covariance_type]
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(k, d)) * distance
    X = means[rng.integers(k, size=n)] + rng.normal(size=(n, d)) * rng.uniform(0.5, 2, size=d)
    precisions = {"full": np.stack([np.eye(d)] * k), "diag": np.ones((k, d)), "spherical": np.ones(k)}
    start = {
        "n_components": k,
        "covariance_type": covariance_type,
        "weights_init": np.full(k, 1 / k),
        "means_init": means + rng.normal(size=(k, d)),
        "precisions_init": precisions[covariance_type],
        "tol": 0,
        "max_iter": 6,
    }
    return X, start


@pytest.fixture(params=SIZES)
def case(request):
    return apart(request.param)


@pytest.mark.filterwarnings("ignore:.*did not converge")
@pytest.mark.parametrize("distance", [0.3, 1.0, 4.0, 30.0])
@pytest.mark.parametrize("covariance_type", SIZES)
def test_same_numbers_as_scikit_learn(covariance_type, distance):
    X, start = apart(covariance_type, distance=distance)
    ours, theirs = GaussianMixture(**start).fit(X), Peer(**start).fit(X)
    # The bound before the last M-step, which scikit-learn calls lower_bound_; before 1.7 it keeps no others.
    assert ours.lower_bounds_[-1] == pytest.approx(theirs.lower_bound_, rel=0, abs=1e-10)
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours.covariances_, theirs.covariances_, rtol=0, atol=1e-8)


@pytest.mark.parametrize("covariance_type", SIZES)
def test_rows_sorted_by_component(covariance_type):
    # Of the first rows of each block the first features tell the component, of the others the last one alone.
    k = d = 64
    rng = np.random.default_rng(0)
    means = np.zeros((k, d))
    means[:8, :32] = 30 * rng.normal(size=(8, 32))
    means[8:, -1] = 100 * np.arange(k - 8)
    for n, block in [(50_000, 2088), (4_000, 4_000)]:
        label = np.where(np.arange(n) % block < 48, rng.integers(8, size=n), rng.integers(8, k, size=n))
        X = means[label] + rng.normal(size=(n, d))
        covariances = {"full": np.stack([np.eye(d)] * k), "diag": np.ones((k, d)), "spherical": np.ones(k)}
        model = GaussianMixture.from_parameters(
            np.full(k, 1 / k), means, covariances[covariance_type], covariance_type=covariance_type
        )
        assert model.score(X) == pytest.approx(model.score_samples(X).mean(), rel=1e-12)


@pytest.mark.filterwarnings("ignore:.*did not converge")
def test_same_bits_at_any_number_of_threads(case):
    X, start = case
    fits = [GaussianMixture(**start, n_threads=n).fit(X) for n in (1, 2, 3, 8)]
    for fit in fits[1:]:
        np.testing.assert_array_equal(fit.covariances_, fits[0].covariances_)
        assert fit.lower_bounds_ == fits[0].lower_bounds_


@pytest.mark.filterwarnings("ignore:.*did not converge")
@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e20])
def test_weights_are_repetitions(case, scale):
    X, start = case
    weights = np.random.default_rng(1).integers(0, 3, size=len(X))
    weighted = GaussianMixture(**start).fit(X, sample_weight=weights * scale)
    repeated = GaussianMixture(**start).fit(np.repeat(X, weights, axis=0))
    np.testing.assert_allclose(weighted.lower_bounds_, repeated.lower_bounds_, rtol=0, atol=1e-10)
    np.testing.assert_allclose(weighted.covariances_, repeated.covariances_, rtol=0, atol=1e-9)


@pytest.mark.filterwarnings("ignore:.*did not converge")
@pytest.mark.parametrize("far", [1e5, 1e16, 1e100])
def test_a_row_far_out_is_counted(case, far):
    X, start = case
    X = X.copy()
    X[7] += far
    fit = GaussianMixture(**start | {"max_iter": 1}).fit(X)
    # The row belongs to some component whole: weights are counts over n.
    assert fit.weights_.sum() == pytest.approx(1, abs=1e-12)
    assert np.abs(fit.means_).max() > far / len(X) / 2


@pytest.mark.filterwarnings("ignore:.*did not converge", "ignore:.*lost all rows")
def test_a_component_without_weight_stays_without(case):
    X, start = case
    k = start["n_components"]
    weights = np.full(k, 1 / (k - 1))
    weights[3] = 0
    fit = GaussianMixture(**start | {"weights_init": weights}).fit(X)
    assert fit.weights_[3] == 0
    assert np.isfinite(fit.means_).all()
    assert np.isfinite(fit.score(X))


@pytest.mark.filterwarnings("ignore:.*did not converge")
@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_scale(case, scale):
    X, start = case
    scaled = start | {
        "means_init": start["means_init"] * scale,
        "precisions_init": start["precisions_init"] / scale / scale,
        "reg_covar": 0,
    }
    one, other = GaussianMixture(**start | {"reg_covar": 0}).fit(X), GaussianMixture(**scaled).fit(X * scale)
    shift = X.shape[1] * np.log(scale)
    np.testing.assert_allclose(np.add(other.lower_bounds_, shift), one.lower_bounds_, rtol=1e-12)
    np.testing.assert_allclose(other.means_ / scale, one.means_, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:.*did not converge")
@pytest.mark.parametrize("distance", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("covariance_type", SIZES)
def test_integrated_completed_likelihood(covariance_type, distance):
    X, start = apart(covariance_type, distance=distance)
    model = GaussianMixture(**start).fit(X)
    w = np.random.default_rng(1).uniform(0, 2, size=len(X))
    certainty = w @ np.log(model.predict_proba(X).max(axis=1))  # which the dense kernel gives, pair by pair
    expected = model.bic(X, sample_weight=w) - 2 * certainty
    assert model.icl(X, sample_weight=w) == pytest.approx(expected, rel=1e-12)
