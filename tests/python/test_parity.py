"""From the same explicit start, scikit-learn's numbers, shapes, dtypes and printed lines."""

import re
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Peer

from cases import ARRAYS, explicit_start, real_data
from gaussmix import GaussianMixture

pytestmark = pytest.mark.usefixtures("one_thread")


def assert_close(ours, theirs, rtol, name=""):
    """Compare on the scale of the largest entry: small off-diagonal entries have no digits of their own."""
    theirs = np.asarray(theirs, dtype=float)
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol * np.abs(theirs).max(), err_msg=name)


def assert_parity(ours, theirs, X):
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.converged_ == theirs.converged_
    for name in ARRAYS:
        assert_close(getattr(ours, name), getattr(theirs, name), 1e-7, name)
    assert ours.score(X) == pytest.approx(theirs.score(X), rel=1e-10, abs=1e-10)
    assert ours.lower_bound_ == pytest.approx(theirs.score(X), rel=1e-10, abs=1e-10)
    if hasattr(theirs, "lower_bounds_"):
        np.testing.assert_allclose(ours.lower_bounds_, theirs.lower_bounds_, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits"])
def test_fit_from_an_explicit_start(name, covariance_type, seed):
    X, k = real_data()[name]
    start = explicit_start(X, k, covariance_type, seed) | {"max_iter": 300}
    ours, theirs = GaussianMixture(**start).fit(X), Peer(**start).fit(X)
    assert_parity(ours, theirs, X)
    assert_close(ours.score_samples(X), theirs.score_samples(X), 1e-10)
    assert_close(ours.predict_proba(X), theirs.predict_proba(X), 1e-7)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    assert ours.aic(X) == pytest.approx(theirs.aic(X), rel=1e-10)
    assert ours.bic(X) == pytest.approx(theirs.bic(X), rel=1e-10)
    np.testing.assert_array_equal(GaussianMixture(**start).fit_predict(X), Peer(**start).fit_predict(X))


@pytest.mark.parametrize("max_iter", [1, 2, 3, 10])
@pytest.mark.parametrize("name", ["counts", "digits", "narrow clusters"])
def test_components_that_narrow_walk_scikit_learns_trajectory(name, covariance_type, max_iter):
    # From one step to the next their variances fall by a factor of 1e4 and more.
    rng = np.random.default_rng(0)
    X, k = {
        "counts": (rng.poisson(1.5, (400, 3)).astype(float), 30),
        "digits": (real_data()["digits"][0], 60),
        "narrow clusters": (np.concatenate([rng.normal(size=(200, 3)), 5 + 1e-3 * rng.normal(size=(200, 3))]), 20),
    }[name]
    start = explicit_start(X, k, covariance_type) | {"max_iter": max_iter, "tol": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        ours, theirs = GaussianMixture(**start).fit(X), Peer(**start).fit(X)
    # scikit-learn itself has no more digits where variances are 1e-6.
    assert ours.score(X) == pytest.approx(theirs.score(X), rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits"])
def test_float32_rows_give_the_numbers_of_the_same_rows_in_float64(name, covariance_type):
    # scikit-learn computes in float32; the reference is its fit of the same values in double, and float32's own digits.
    X, k = real_data()[name]
    X = X.astype(np.float32)
    start = explicit_start(X, k, covariance_type) | {"max_iter": 300}
    ours, theirs = GaussianMixture(**start).fit(X), Peer(**start).fit(X.astype(np.float64))
    assert ours.n_iter_ == theirs.n_iter_
    for array in ARRAYS:
        assert_close(getattr(ours, array), getattr(theirs, array), 2e-6, array)
    assert ours.score(X) == pytest.approx(theirs.score(X), rel=1e-5, abs=1e-5)
    assert_close(ours.score_samples(X), theirs.score_samples(X), 1e-4)


def test_many_float32_rows_keep_the_digits_of_float32(covariance_type):
    # So many, and so near to each other, that the products are made in float32.
    X = (np.random.default_rng(0).normal(size=(20_000, 3)) * [1, 2, 3]).astype(np.float32)
    start = explicit_start(X, 4, covariance_type) | {"tol": 0, "max_iter": 10}
    single, double = (GaussianMixture(**start).fit(rows) for rows in (X, X.astype(np.float64)))
    for array in ARRAYS:
        assert_close(getattr(single, array), getattr(double, array), 1e-5, array)
    np.testing.assert_allclose(single.lower_bounds_, double.lower_bounds_, rtol=1e-6)
    assert single.score(X) == single.lower_bound_
    assert single.score(X) == pytest.approx(double.score(X), rel=1e-6)
    np.testing.assert_array_equal(single.predict(X), single.predict_proba(X).argmax(axis=1))


DTYPES = [np.float64, np.float32, np.float16, np.int64, np.int32, np.uint8, bool]


@pytest.mark.filterwarnings("ignore:covariance is not symmetric:RuntimeWarning")  # scikit-learn's sample in float32
@pytest.mark.parametrize("dtype", DTYPES)
def test_shapes_and_dtypes_of_everything(blobs, dtype, covariance_type):
    X = (blobs > 0) if dtype is bool else np.abs(blobs * 4).astype(dtype)
    params = {"n_components": 2, "covariance_type": covariance_type, "random_state": 0, "reg_covar": 1e-2, "tol": 0.1}
    ours, theirs = GaussianMixture(**params).fit(X), Peer(**params).fit(X)
    if dtype is np.float32 and theirs.means_.dtype != dtype:
        pytest.skip("this scikit-learn does not keep float32")
    for name in ARRAYS:
        a, b = getattr(ours, name), getattr(theirs, name)
        assert (a.dtype, a.shape) == (b.dtype, b.shape), name
        assert type(a) is np.ndarray
    assert type(ours.n_iter_) is int
    assert isinstance(ours.lower_bound_, float)
    assert isinstance(ours.converged_, bool)
    assert isinstance(ours.lower_bounds_, list)
    assert len(ours.lower_bounds_) == ours.n_iter_
    # float32 and float64 may meet: rows of the one, a model of the other.
    for rows in (X, X.astype(np.float32), X.astype(np.float64)):
        for method in ("predict", "predict_proba", "score_samples", "score", "aic", "bic"):
            a, b = getattr(ours, method)(rows), getattr(theirs, method)(rows)
            assert np.shape(a) == np.shape(b), method
            assert method in ("aic", "bic") or np.asarray(a).dtype == np.asarray(b).dtype, method
    for a, b in zip(ours.sample(7), theirs.sample(7), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)


@pytest.mark.parametrize(("verbose", "verbose_interval"), [(0, 1), (1, 1), (1, 3), (2, 1), (2, 2), (True, 2)])
@pytest.mark.parametrize("max_iter", [2, 100])
def test_verbose_prints_scikit_learns_lines(blobs, capsys, verbose, verbose_interval, max_iter):
    params = explicit_start(blobs, 3, "full") | {
        "verbose": verbose,
        "verbose_interval": verbose_interval,
        "max_iter": max_iter,
    }
    printed = []
    for kind in (GaussianMixture, Peer):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            kind(**params).fit(blobs)
        out = capsys.readouterr().out
        # Times differ, and the bound at the end is ours after the last M-step.
        out = re.sub(r"time lapse [0-9.]+s", "time lapse", out)
        printed.append(re.sub(r"lower bound -?[0-9.]+\.", "lower bound.", out))
    assert printed[0] == printed[1]
    assert bool(printed[0]) == bool(verbose)


@pytest.mark.parametrize("verbose", [1, 2])
def test_verbose_of_a_start_alone(blobs, capsys, verbose):
    for kind in (GaussianMixture, Peer):
        kind(3, max_iter=0, verbose=verbose, random_state=0).fit(blobs)
        assert capsys.readouterr().out == "Initialization 0\n"


def test_warm_start_walks_scikit_learns_trajectory(blobs, covariance_type):
    params = explicit_start(blobs, 3, covariance_type) | {"warm_start": True, "max_iter": 3, "tol": 1e-4}
    ours, theirs = GaussianMixture(**params), Peer(**params)
    for _ in range(30):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            ours.fit(blobs)
            theirs.fit(blobs)
        assert_parity(ours, theirs, blobs)
        if ours.converged_:
            break
    assert ours.converged_


def test_warm_start_of_new_rows_starts_from_the_last_model(blobs):
    params = explicit_start(blobs, 3, "full") | {"warm_start": True}
    ours, theirs = GaussianMixture(**params).fit(blobs), Peer(**params).fit(blobs)
    assert_parity(ours.fit(blobs[:150]), theirs.fit(blobs[:150]), blobs[:150])


def test_max_iter_zero_keeps_the_start_without_a_warning(blobs, covariance_type):
    params = explicit_start(blobs, 3, covariance_type) | {"max_iter": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = GaussianMixture(**params).fit(blobs)
    assert (ours.n_iter_, ours.converged_, ours.lower_bounds_) == (0, False, [])
    np.testing.assert_array_equal(ours.weights_, params["weights_init"])
    np.testing.assert_array_equal(ours.means_, params["means_init"])
    precisions = params["precisions_init"]
    assert_close(ours.precisions_, precisions, 1e-12)
    matrices = covariance_type in ("full", "tied")
    assert_close(ours.covariances_, np.linalg.inv(precisions) if matrices else 1 / precisions, 1e-12)
    assert ours.lower_bound_ == ours.score(blobs)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_round_trip_through_scikit_learn(blobs, covariance_type, dtype):
    X = blobs.astype(dtype)
    ours = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(X)
    theirs = ours.to_sklearn()
    assert type(theirs) is Peer
    assert_close(theirs.score_samples(X), ours.score_samples(X), 1e-4 if dtype is np.float32 else 1e-10)
    np.testing.assert_array_equal(theirs.predict(X), ours.predict(X))
    again = GaussianMixture.from_sklearn(theirs)
    assert type(again) is GaussianMixture
    assert again.get_params() == ours.get_params()
    for name in (*ARRAYS, "lower_bounds_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(ours, name), strict=True)
        assert getattr(again, name) is not getattr(theirs, name)
    np.testing.assert_array_equal(again.score_samples(X), ours.score_samples(X))
    assert again.n_features_in_ == ours.n_features_in_


def test_from_sklearn_takes_a_model_that_scikit_learn_fitted(blobs, covariance_type):
    theirs = Peer(3, covariance_type=covariance_type, random_state=0).fit(blobs)
    ours = GaussianMixture.from_sklearn(theirs)
    assert_close(ours.score_samples(blobs), theirs.score_samples(blobs), 1e-12)
    assert ours.bic(blobs) == pytest.approx(theirs.bic(blobs), rel=1e-12)


def test_parameters_are_scikit_learns_and_those_of_threads_and_streams():
    ours, theirs = GaussianMixture().get_params(), Peer().get_params()
    assert ours == theirs | {"n_threads": None, "step_offset": 2.0, "step_power": 0.7, "step_floor": 0.0}
