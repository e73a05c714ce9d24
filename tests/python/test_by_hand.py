"""Models made other than by a fit: attributes set by hand, from parameters, from and to scikit-learn's class."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.stats
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.mixture import BayesianGaussianMixture

from cases import ARRAYS, assert_finite
from gaussmix import FitEvent, GaussianMixture


def fitted(X, **params):
    return GaussianMixture(**({"n_components": 3, "random_state": 0} | params)).fit(X)


def test_a_model_of_three_arrays_predicts(blobs, covariance_type):
    source = fitted(blobs, covariance_type=covariance_type)
    model = GaussianMixture(3, covariance_type=covariance_type, random_state=0)
    model.weights_, model.means_ = source.weights_, source.means_
    model.precisions_cholesky_ = source.precisions_cholesky_
    for method in ("predict", "predict_proba", "score_samples", "score", "aic", "bic", "icl"):
        np.testing.assert_array_equal(getattr(model, method)(blobs), getattr(source, method)(blobs))
    # Without covariances_ the factors are inverted.
    np.testing.assert_allclose(model.sample(50)[0], source.sample(50)[0], rtol=1e-9, atol=1e-9)


def test_weights_means_and_covariances_are_enough_to_sample(blobs, covariance_type):
    source = fitted(blobs, covariance_type=covariance_type)
    model = GaussianMixture(3, covariance_type=covariance_type, random_state=0)
    model.weights_, model.means_, model.covariances_ = source.weights_, source.means_, source.covariances_
    for found, expected in zip(model.sample(50), source.sample(50), strict=True):
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(NotFittedError, match=r"no precisions_cholesky_\. .*from_parameters"):
        model.predict(blobs)
    model.covariances_ = -np.asarray(source.covariances_, dtype=np.float32)
    model.means_ = source.means_.astype(np.float32)
    with pytest.raises(ValueError, match="positive-definite"):
        model.sample()
    del model.weights_
    with pytest.raises(NotFittedError, match="no weights_ and no precisions_cholesky_"):
        model.sample()


@pytest.mark.parametrize("unit", [1, 1e-6], ids=["", "ill-conditioned"])
def test_lower_triangular_factors_are_factors(unit):
    rng = np.random.default_rng(0)
    scale = np.array([1, 1, 1, unit])
    means = rng.normal(size=(2, 4))
    covariances = np.stack([A @ A.T for A in rng.normal(size=(2, 4, 4))])
    Z = np.concatenate([rng.multivariate_normal(m, c, 100) for m, c in zip(means, covariances, strict=True)])
    model = GaussianMixture(2, random_state=0)
    model.weights_, model.means_ = np.array([0.3, 0.7]), means * scale
    model.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(covariances) / np.outer(scale, scale))
    densities = [scipy.stats.multivariate_normal(m, c) for m, c in zip(means, covariances, strict=True)]
    expected = np.log(sum(w * p.pdf(Z) for w, p in zip(model.weights_, densities, strict=True))) - np.log(unit)
    np.testing.assert_allclose(model.score_samples(Z * scale), expected, rtol=1e-8)
    spread = np.cov(model.sample(200_000)[0].T)
    total = np.einsum("k,kij->ij", model.weights_, covariances) + np.cov(means.T, aweights=model.weights_, ddof=0)
    np.testing.assert_allclose(spread / np.outer(scale, scale), total, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", ["weights_", "means_", "precisions_cholesky_"])
def test_a_change_in_place_is_seen(blobs, name, covariance_type):
    model = fitted(blobs, covariance_type=covariance_type)
    before = model.score_samples(blobs)
    array = getattr(model, name)
    old = array.copy()
    array[...] = [0.2, 0.3, 0.5] if name == "weights_" else array * 1.25
    changed = model.score_samples(blobs)
    assert not np.allclose(changed, before)
    np.testing.assert_array_equal(changed, clone_arrays(model).score_samples(blobs))
    array[...] = old
    np.testing.assert_array_equal(model.score_samples(blobs), before)


def clone_arrays(model):
    other = clone(model)
    for name in ARRAYS:
        setattr(other, name, getattr(model, name).copy())
    return other


FACTORS = "precisions_cholesky|precision Cholesky"
BAD_ARRAYS = {
    "four weights": ("weights_", np.full(4, 0.25), "weights"),
    "negative weights": ("weights_", np.array([-0.5, 0.5, 1.0]), "weights"),
    "means of other features": ("means_", np.zeros((3, 5)), f"means|features|{FACTORS}"),
    "means of NaN": ("means_", np.full((3, 3), np.nan), "means must be finite"),
    "infinite means": ("means_", np.full((3, 3), np.inf), "means must be finite"),
    "means of one dimension": ("means_", np.zeros(3), "means"),
    "two factors": ("precisions_cholesky_", np.zeros((2, 3, 3)), FACTORS),
    "factors of zeros": ("precisions_cholesky_", np.zeros((3, 3, 3)), FACTORS),
    "factors of NaN": ("precisions_cholesky_", np.full((3, 3, 3), np.nan), FACTORS),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_arrays_that_do_not_fit_are_refused(blobs, name):
    attribute, value, fragment = BAD_ARRAYS[name]
    model = fitted(blobs)
    setattr(model, attribute, value)
    with pytest.raises(ValueError, match=fragment):
        model.score_samples(blobs)


def test_from_parameters_is_ready(blobs, covariance_type):
    source = fitted(blobs, covariance_type=covariance_type)
    model = GaussianMixture.from_parameters(
        source.weights_, source.means_, source.covariances_, covariance_type=covariance_type, random_state=0
    )
    np.testing.assert_allclose(model.score_samples(blobs), source.score_samples(blobs), rtol=1e-9)
    np.testing.assert_allclose(model.precisions_, source.precisions_, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(model.sample(5)[0], source.sample(5)[0])
    assert (model.n_components, model.n_iter_, model.converged_, model.lower_bound_) == (3, 0, False, -np.inf)
    assert model.n_features_in_ == 3
    assert_finite(model.fit(blobs))


def test_parameters_of_any_fit_make_a_model():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    model = GaussianMixture(1).fit(np.column_stack([X, 1e9 * X[:, 0] + X[:, 1]]))  # condition 1e18
    again = GaussianMixture.from_parameters(model.weights_, model.means_, model.covariances_)
    np.testing.assert_array_equal(again.precisions_cholesky_, model.precisions_cholesky_)


def test_from_parameters_refuses_small_matrices_that_are_not_symmetric():
    with pytest.raises(ValueError, match="'full covariance' should be symmetric"):
        GaussianMixture.from_parameters([1], [[0.0, 0.0]], [[[1e-10, 5e-11], [-5e-11, 1e-10]]])
    with pytest.raises(ValueError, match="'full covariance' should be positive-definite"):
        GaussianMixture.from_parameters([1], [[0.0, 0.0]], [[[1.0, 2.0], [2.0, 1.0]]])


def test_scikit_learns_estimator_has_nothing_of_ours(blobs):
    ours = fitted(blobs)
    ours.events_ = [FitEvent("floored", 0, 0, 1, True)]
    theirs = ours.to_sklearn()
    assert b"gaussmix" not in pickle.dumps(theirs)
    assert GaussianMixture.from_sklearn(theirs).events_ == []
    with pytest.raises(TypeError, match=r"sklearn\.mixture\.GaussianMixture, but got BayesianGaussianMixture"):
        GaussianMixture.from_sklearn(BayesianGaussianMixture(n_components=2, max_iter=1000).fit(blobs))


def test_a_subclass_with_more_parameters_becomes_scikit_learns(blobs):
    class Named(GaussianMixture):
        def __init__(self, n_components=1, *, name="", random_state=None):
            super().__init__(n_components, random_state=random_state)
            self.name = name

    theirs = Named(2, name="two", random_state=0).fit(blobs).to_sklearn()
    assert (theirs.n_components, theirs.random_state) == (2, 0)


def test_warm_start_of_a_model_made_by_hand(blobs):
    model = GaussianMixture(2, warm_start=True)
    model.means_ = blobs[:2].tolist()
    assert_finite(model.fit(blobs))  # the rest is not there: it starts anew
    model = GaussianMixture(2, warm_start=True, max_iter=0)
    model.means_, model.weights_ = blobs[:2].tolist(), [0.5, 0.5]
    model.precisions_cholesky_ = np.array([np.eye(3)] * 2)
    model.fit(blobs)
    np.testing.assert_array_equal(model.means_, blobs[:2])


def test_float32_models_of_nearly_lower_rank_are_drawn_from():
    for seed in range(10):
        X = np.random.default_rng(seed).normal(size=(25, 4)).astype(np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = GaussianMixture(5, reg_covar=0, random_state=0, init_params="random_from_data").fit(X)
        drawn, _ = model.sample(200)
        assert np.isfinite(drawn).all()
        assert np.abs(drawn).max() < 20


def test_from_parameters_keeps_float32():
    kind = np.float32
    model = GaussianMixture.from_parameters(kind([1]), kind([[0.0]]), kind([[[4.0]]]))
    assert model.means_.dtype == model.covariances_.dtype == np.float32
    assert model.score_samples(np.zeros((1, 1), kind)).dtype == np.float32


def test_from_parameters_and_warm_start_go_on(blobs):
    source = fitted(blobs, max_iter=100)
    model = GaussianMixture.from_parameters(source.weights_, source.means_, source.covariances_, warm_start=True)
    model.fit(blobs)
    assert model.converged_
    assert model.lower_bound_ >= source.lower_bound_ - 1e-6
