"""What is refused, with an exception that names the argument, and odd but good input that is not."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import scipy.sparse
import sklearn.mixture
from sklearn.exceptions import NotFittedError

from gaussmix import GaussianMixture

GOOD = np.random.default_rng(0).normal(size=(20, 3))
NAN, INF = GOOD.copy(), GOOD.copy()
NAN[3, 1], INF[3, 1] = np.nan, np.inf

ROWS = {
    "NaN": (NAN, ValueError, "Input X contains NaN"),
    "inf": (INF, ValueError, "Input X contains infinity"),
    "-inf": (-INF, ValueError, "Input X contains infinity"),
    "float32 NaN": (NAN.astype(np.float32), ValueError, "Input X contains NaN"),
    "column-major NaN": (np.asfortranarray(NAN), ValueError, "Input X contains NaN"),
    "too large for float": (np.array([[10**400, 1, 1]] * 20, dtype=object), (ValueError, OverflowError), "large"),
    "0 dimensions": (1.0, ValueError, "Expected 2D array"),
    "1 dimension": (GOOD[:, 0], ValueError, "Expected 2D array, got 1D array"),
    "3 dimensions": (GOOD[None], ValueError, "dim 3"),
    "no rows": (GOOD[:0], ValueError, r"0 sample\(s\)"),
    "no columns": (GOOD[:, :0], ValueError, r"0 feature\(s\)"),
    "sparse": (scipy.sparse.csr_matrix(GOOD), TypeError, "Sparse data was passed"),
    "complex": (GOOD + 1j, ValueError, "Complex data not supported"),
    "strings": (np.array([["a", "b", "c"]] * 20), ValueError, "could not convert string to float"),
    "objects": (np.array([[None, 1, {}]] * 20, dtype=object), TypeError, "argument must be"),
    "ragged": ([[1.0, 2.0, 3.0], [1.0]], ValueError, "inhomogeneous"),
    "None": (None, ValueError, "Expected 2D array"),
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("method", ["fit", "fit_predict", "predict", "predict_proba", "score_samples", "score", "bic"])
def test_bad_rows(name, method):
    X, exception, fragment = ROWS[name]
    model = GaussianMixture(2, random_state=0).fit(GOOD)
    with pytest.raises(exception, match=fragment):
        getattr(model, method)(X)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples", "score", "aic", "bic", "icl"])
@pytest.mark.parametrize("d", [1, 2, 4])
def test_another_number_of_features(method, d):
    model = GaussianMixture(2, random_state=0).fit(GOOD)
    with pytest.raises(ValueError, match=f"X has {d} features, but GaussianMixture is expecting 3 features"):
        getattr(model, method)(np.zeros((5, d)))


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples", "score", "aic", "bic", "icl"])
def test_not_fitted(method):
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        getattr(GaussianMixture(), method)(GOOD)


@pytest.mark.parametrize(
    "call",
    [
        lambda: GaussianMixture().sample(),
        lambda: GaussianMixture().to_sklearn(),
        lambda: GaussianMixture.from_sklearn(sklearn.mixture.GaussianMixture()),
    ],
)
def test_not_fitted_without_rows(call):
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        call()


@pytest.mark.parametrize(("n", "k", "fragment"), [(1, 1, "minimum of 2"), (4, 5, "n_samples >= n_components")])
def test_fewer_rows_than_components(n, k, fragment):
    with pytest.raises(ValueError, match=fragment):
        GaussianMixture(k).fit(GOOD[:n])


def replaced(value):
    weights = np.ones(20)
    weights[3] = value
    return weights


WEIGHTS = {
    "negative": (replaced(-1e-9), ValueError, "Negative values in data passed to `sample_weight`"),
    "NaN": (replaced(np.nan), ValueError, "sample_weight contains NaN"),
    "inf": (replaced(np.inf), ValueError, "sample_weight contains infinity"),
    "all zero": (np.zeros(20), ValueError, "[Ss]ample weights must contain at least one non-zero"),
    "too short": (np.ones(19), ValueError, r"sample_weight.shape == \(19,\), expected \(20,\)"),
    "too long": (np.ones(21), ValueError, r"sample_weight.shape == \(21,\), expected \(20,\)"),
    "2 dimensions": (np.ones((20, 1)), ValueError, "[Ss]ample.weights must be 1D"),
    "strings": (["a"] * 20, ValueError, "could not convert string to float"),
    "complex": (np.ones(20) + 1j, ValueError, "Complex data not supported"),
    "negative number": (-1.0, ValueError, "sample_weight"),
    "zero": (0, ValueError, "sample_weight"),
    "NaN number": (float("nan"), ValueError, "sample_weight contains NaN"),
}


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("method", ["fit", "fit_predict", "score", "aic", "bic", "icl"])
def test_bad_weights_of_rows(name, method):
    weights, exception, fragment = WEIGHTS[name]
    model = GaussianMixture(2, random_state=0).fit(GOOD)
    with pytest.raises(exception, match=fragment):
        getattr(model, method)(GOOD, sample_weight=weights)


def test_fewer_weighted_rows_than_components():
    weights = np.zeros(20)
    weights[:3] = 1
    with pytest.raises(ValueError, match=r"n_components = 4 rows with a positive sample_weight, but got 3"):
        GaussianMixture(4).fit(GOOD, sample_weight=weights)


def test_weights_that_sum_to_one_are_warned_of():
    with pytest.warns(UserWarning, match="sample_weight sums to 1, less than n_components = 2"):
        GaussianMixture(2, random_state=0).fit(GOOD, sample_weight=np.full(20, 1 / 20))


INTEGER = {"0": 0, "negative": -1, "float": 2.0, "text": "2", "None": None, "array": np.ones(2)}
BAD_PARAMETERS = [
    *[("n_components", value) for value in INTEGER.values()],
    *[("n_init", value) for value in INTEGER.values()],
    *[("verbose_interval", value) for value in INTEGER.values()],
    *[("max_iter", value) for value in (-1, 1.5, "2", None)],
    *[("tol", value) for value in (-1e-9, "1", None, np.nan)],
    *[("reg_covar", value) for value in (-1e-9, "1", None, np.nan)],
    *[("covariance_type", value) for value in ("diagonal", "", None, 1)],
    *[("init_params", value) for value in ("k-means", "", None, 1)],
    *[("random_state", value) for value in (-1, 1.5, "seed")],
    *[("warm_start", value) for value in ("yes", None, 2)],
    *[("verbose", value) for value in (-1, "yes", None)],
    *[("n_threads", value) for value in (0, -2, 1.5, "2")],
    *[(name, value) for name in ("weights_init", "means_init", "precisions_init") for value in (1, "abc")],
]


@pytest.mark.parametrize(("name", "value"), BAD_PARAMETERS, ids=str)
def test_bad_parameters(name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter of GaussianMixture must be"):
        GaussianMixture(**{name: value}).fit(GOOD)


@pytest.mark.parametrize("name", ["max_iter", "n_init", "n_threads", "verbose_interval"])
@pytest.mark.parametrize("value", [2**31, 2**64])
def test_integers_of_any_size_are_taken_or_named(name, value):
    # People write max_iter=10**12 for "until it converges".
    start = {"weights_init": [1.0], "means_init": [[0.0, 0.0, 0.0]], "precisions_init": [np.eye(3)]}
    try:
        GaussianMixture(1, **start, **{name: value}).fit(GOOD)
    except ValueError as error:
        assert f"'{name}' parameter" in str(error)


EYE = np.eye(3)
STARTS = {
    "weights too many": ("full", {"weights_init": [0.2, 0.3, 0.5]}, "'weights' should have the shape of"),
    "weights not normalised": ("full", {"weights_init": [0.5, 0.6]}, "'weights' should be normalized"),
    "weights negative": ("full", {"weights_init": [-0.5, 1.5]}, r"'weights' should be in the range \[0, 1\]"),
    "weights NaN": ("full", {"weights_init": [0.5, np.nan]}, "weights contains NaN"),
    "means transposed": ("full", {"means_init": np.zeros((3, 2))}, "'means' should have the shape of"),
    "means of 1 dimension": ("full", {"means_init": np.zeros(6)}, "'means' should have the shape of"),
    "means NaN": ("full", {"means_init": np.full((2, 3), np.nan)}, "means contains NaN"),
    "full too few": ("full", {"precisions_init": EYE}, "'full precision' should have the shape of"),
    "full not symmetric": ("full", {"precisions_init": [EYE, EYE + np.triu(EYE + 1, 1)]}, "symmetric"),
    "full indefinite": ("full", {"precisions_init": [EYE, -EYE]}, "'full precision' should be symmetric, positive"),
    "full singular": ("full", {"precisions_init": [EYE, np.diag([1.0, 1, 0])]}, "positive-definite"),
    "full NaN": ("full", {"precisions_init": np.full((2, 3, 3), np.nan)}, "full precision contains NaN"),
    "tied indefinite": ("tied", {"precisions_init": np.diag([1.0, 1, -1])}, "'tied precision' should be symmetric"),
    "tied too many": ("tied", {"precisions_init": [EYE, EYE]}, "'tied precision' should have the shape of"),
    "diag negative": ("diag", {"precisions_init": [[1.0, 1, 1], [1, 1, -1]]}, "'diag precision' should be positive"),
    "diag zero": ("diag", {"precisions_init": [[1.0, 1, 1], [1, 1, 0]]}, "'diag precision' should be positive"),
    "spherical zero": ("spherical", {"precisions_init": [1.0, 0]}, "'spherical precision' should be positive"),
    "spherical matrix": ("spherical", {"precisions_init": [[1.0], [1]]}, "'spherical precision' should have the shape"),
}


@pytest.mark.parametrize("name", STARTS)
def test_bad_start(name):
    kind, start, fragment = STARTS[name]
    with pytest.raises(ValueError, match=fragment):
        GaussianMixture(2, covariance_type=kind, **start).fit(GOOD)


PARAMETERS = {
    "weights not normalised": ([0.5, 0.6], [[0.0], [1.0]], [[[1.0]], [[1.0]]], "full", "normalized"),
    "weights too few": ([1.0], [[0.0], [1.0]], [[[1.0]], [[1.0]]], "full", "'weights' should have the shape of"),
    "means of 1 dimension": ([0.5, 0.5], [0.0, 1.0], [[[1.0]], [[1.0]]], "full", "'means' should have 2 dimensions"),
    "not positive": ([0.5, 0.5], [[0.0], [1.0]], [[1.0], [0.0]], "diag", "'diag covariance' should be positive"),
    "not symmetric": ([1.0], [[0.0, 0.0]], [[[2.0, 1.0], [0.0, 2.0]]], "full", "symmetric, positive-definite"),
    "wrong shape": ([0.5, 0.5], [[0.0], [1.0]], [[1.0], [1.0]], "full", "'full covariance' should have the shape of"),
    "unknown type": ([1.0], [[0.0]], [[[1.0]]], "banana", "'covariance_type' parameter of GaussianMixture must be"),
    "NaN": ([1.0], [[0.0]], [[[np.nan]]], "full", "full covariance contains NaN"),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_bad_from_parameters(name):
    weights, means, covariances, kind, fragment = PARAMETERS[name]
    with pytest.raises(ValueError, match=fragment):
        GaussianMixture.from_parameters(weights, means, covariances, covariance_type=kind)


@pytest.mark.parametrize(
    ("n", "exception", "fragment"),
    [
        (0, ValueError, "Invalid value for 'n_samples': 0"),
        (-3, ValueError, "Invalid value for 'n_samples': -3"),
        (2.5, TypeError, "n_samples must be an integer"),
        (np.inf, TypeError, "n_samples must be an integer"),
        (10**400, ValueError, "n_samples must be at most"),
        (1e300, ValueError, "n_samples must be at most"),
        ("2", TypeError, "n_samples must be an integer"),
        (None, TypeError, "n_samples must be an integer"),
    ],
)
def test_bad_number_of_samples(n, exception, fragment):
    with pytest.raises(exception, match=fragment):
        GaussianMixture(2, random_state=0).fit(GOOD).sample(n)


def test_a_whole_float_is_a_number_of_samples():
    model = GaussianMixture(2, random_state=0).fit(GOOD)
    np.testing.assert_array_equal(model.sample(1e2)[0], model.sample(100)[0])


@pytest.mark.parametrize("method", ["predict", "score_samples", "sample"])
@pytest.mark.parametrize(
    ("kind", "fragment"),
    [
        ("banana", "covariance_type must be one of"),
        ("tied", r"must have the shape \(3, 3\) for covariance_type='tied'"),
    ],
)
def test_a_covariance_type_that_changed_since_the_fit(method, kind, fragment):
    model = GaussianMixture(3, random_state=0).fit(GOOD).set_params(covariance_type=kind)
    with pytest.raises(ValueError, match=fragment):
        model.sample(5) if method == "sample" else getattr(model, method)(GOOD)


TOO_MANY = """
from gaussmix import GaussianMixture
GaussianMixture.from_parameters([0.5, 0.5], [[0.0], [1.0]], [[[1.0]], [[1.0]]]).sample(2**50)
"""


def test_more_samples_than_memory_are_refused_at_once():
    run = subprocess.run([sys.executable, "-c", TOO_MANY], capture_output=True, text=True, timeout=30, check=False)
    assert "MemoryError" in run.stderr or "ValueError" in run.stderr


def test_bad_random_state_of_sample():
    with pytest.raises(ValueError, match="cannot be used to seed"):
        GaussianMixture(2, random_state=0).fit(GOOD).sample(3, random_state="seed")


@pytest.mark.parametrize("change", [{"n_components": 3}, {"covariance_type": "diag"}])
def test_warm_start_of_another_shape(change):
    model = GaussianMixture(2, warm_start=True, random_state=0).fit(GOOD)
    with pytest.raises(ValueError, match="warm_start"):
        model.set_params(**change).fit(GOOD)


def test_failed_fit_keeps_the_fitted_model():
    model = GaussianMixture(2, random_state=0).fit(GOOD)
    before = model.score_samples(GOOD)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(NAN)
    np.testing.assert_array_equal(model.score_samples(GOOD), before)


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def structured(X):
    """Return a view into records of 13 bytes: neither aligned nor of a whole stride."""
    packed = np.zeros(len(X), dtype=np.dtype([("flag", "i1"), ("x", "f4", 3)]))
    packed["x"] = X
    return packed["x"]


def swapped(X):
    return X.astype(X.dtype.newbyteorder(">"))


GOOD32 = GOOD.astype(np.float32).astype(np.float64)
LAYOUTS = {
    "read-only": read_only,
    "reversed rows and columns": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "column-major": np.asfortranarray,
    "every third row of a larger array": lambda X: np.repeat(X, 3, axis=0)[::3],
    "every second column of a larger array": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "unaligned": structured,
    "other byte order": swapped,
    "list": lambda X: X.tolist(),
    "objects": lambda X: X.astype(object),
    "matrix-like": lambda X: memoryview(X),
    "masked array without a mask": np.ma.asarray,
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_any_layout_gives_the_same_bits(name, covariance_type):
    X, plain = LAYOUTS[name](GOOD32), GOOD32
    if name == "unaligned":
        plain = GOOD32.astype(np.float32)
    params = {"n_components": 2, "covariance_type": covariance_type, "random_state": 0, "tol": 0.1}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        a, b = GaussianMixture(**params).fit(X), GaussianMixture(**params).fit(plain)
    np.testing.assert_array_equal(a.means_, b.means_, strict=True)
    np.testing.assert_array_equal(a.covariances_, b.covariances_, strict=True)
    np.testing.assert_array_equal(a.score_samples(X), b.score_samples(plain), strict=True)


def test_input_is_not_changed():
    X, weights = GOOD.copy(), np.ones(20)
    GaussianMixture(2, random_state=0).fit(X, sample_weight=weights).predict(X)
    np.testing.assert_array_equal(X, GOOD)
    np.testing.assert_array_equal(weights, 1)


def test_weights_may_be_read_only_reversed_integers_booleans_or_one_number():
    fit = GaussianMixture(2, random_state=0).fit
    expected = fit(GOOD).means_
    for weights in (read_only(np.ones(20)), np.ones(20)[::-1], np.ones(20, int), np.ones(20, bool), [1] * 20, 1, 1.0):
        # k-means sums up clusters of weighted rows in another order.
        np.testing.assert_allclose(fit(GOOD, sample_weight=weights).means_, expected, rtol=1e-12)
