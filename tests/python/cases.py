"""Data sets, explicit starts and comparisons that several tests share."""

import functools

import numpy as np
from sklearn import datasets

TYPES = ("full", "tied", "diag", "spherical")
INITS = ("kmeans", "k-means++", "random", "random_from_data")
ARRAYS = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")


@functools.cache
def real_data():
    """Return (rows, number of classes) of scikit-learn's data sets, by name; wine is kept in its own units."""
    breast_cancer = datasets.load_breast_cancer().data
    digits = datasets.load_digits().data
    digits = digits - digits.mean(axis=0)
    axes = np.linalg.svd(digits, full_matrices=False)[2]
    return {
        "iris": (datasets.load_iris().data, 3),
        "wine": (datasets.load_wine().data, 3),
        "breast_cancer": ((breast_cancer - breast_cancer.mean(axis=0)) / breast_cancer.std(axis=0), 2),
        "digits": (digits @ axes[:10].T, 6),
    }


def covariance_shape(covariance_type, k, d):
    """Return the shape of covariances and precisions of a type."""
    return {"full": (k, d, d), "tied": (d, d), "diag": (k, d), "spherical": (k,)}[covariance_type]


def make_precisions(variances, covariance_type, k):
    """Return precisions of a type from variances of the features, the same in all k components."""
    p = 1 / np.asarray(variances, dtype=float)
    matrices = {"full": np.tile(np.diag(p), (k, 1, 1)), "tied": np.diag(p), "diag": np.tile(p, (k, 1))}
    return matrices[covariance_type] if covariance_type in matrices else np.full(k, 1 / np.mean(variances))


def explicit_start(X, k, covariance_type, seed=0):
    """Return a complete start: uneven weights, means at rows, precisions from the variances of the features."""
    X = np.asarray(X, dtype=float)
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(k, 10.0))
    means = X[rng.choice(len(X), size=k, replace=False)]
    return {
        "n_components": k,
        "covariance_type": covariance_type,
        "weights_init": weights / weights.sum(),
        "means_init": means,
        "precisions_init": make_precisions(X.var(axis=0) + 1e-3, covariance_type, k),
    }


def dense_covariances(model):
    """Return covariances_ as (K, d, d) whatever their type."""
    k, d = model.means_.shape
    c = np.asarray(model.covariances_)
    return {
        "full": lambda: c,
        "tied": lambda: np.broadcast_to(c, (k, d, d)),
        "diag": lambda: c[:, :, None] * np.eye(d),
        "spherical": lambda: c[:, None, None] * np.eye(d),
    }[model.covariance_type]()


def assert_finite(model):
    """Assert that every fitted number is finite, weights sum to one and covariances are positive-definite."""
    for name in ARRAYS:
        assert np.isfinite(getattr(model, name)).all(), name
    assert np.isfinite(model.lower_bound_)
    assert np.isfinite(model.lower_bounds_).all()
    assert (model.weights_ >= 0).all()
    np.testing.assert_allclose(model.weights_.sum(), 1, rtol=1e-6)
    scales = np.sqrt(np.einsum("kii->ki", dense_covariances(model)))
    assert (scales > 0).all()


def assert_same_bits(a, b):
    """Assert that two fitted models hold the same bits."""
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name, strict=True)
    assert a.lower_bounds_ == b.lower_bounds_
    assert (a.lower_bound_, a.n_iter_, a.converged_) == (b.lower_bound_, b.n_iter_, b.converged_)


def assert_same_model(a, b, rtol=1e-9):
    """Assert that two fitted models agree: arrays to rtol of their largest entry, the bounds to 1e-9."""
    for name in ARRAYS:
        x, y = (np.asarray(getattr(m, name), dtype=float) for m in (a, b))
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol * np.abs(y).max(), err_msg=name)
    assert a.n_iter_ == b.n_iter_
    np.testing.assert_allclose(a.lower_bounds_, b.lower_bounds_, rtol=1e-9, atol=1e-9)
