"""How the estimator behaves among scikit-learn's tools, data frames, pickles, callbacks and Ctrl-C."""

import copy
import doctest
import io
import pickle
import tracemalloc
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gaussmix
import gaussmix._mixture
from cases import assert_same_bits
from gaussmix import GaussianMixture

NAMES = ["a", "b", "c"]


def fitted(X, **params):
    return GaussianMixture(**({"n_components": 3, "random_state": 0} | params)).fit(X)


# Data frames

FRAMES = {
    "pandas": lambda X: pd.DataFrame(X, columns=NAMES),
    "pandas, one array a column": lambda X: pd.DataFrame({n: X[:, j].copy() for j, n in enumerate(NAMES)}),
    "pandas, every second row": lambda X: pd.DataFrame(np.repeat(X, 2, axis=0), columns=NAMES).iloc[::2],
    "polars": lambda X: pl.DataFrame(X, schema=NAMES),
    "polars, in chunks": lambda X: pl.concat([pl.DataFrame(X[:70], NAMES), pl.DataFrame(X[70:], NAMES)], rechunk=False),
}


def names_of(estimator):
    return list(getattr(estimator, "feature_names_in_", []))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_gives_the_bits_of_its_array(blobs, name, dtype):
    X = blobs.astype(dtype)
    frame = FRAMES[name](X)
    model, plain = fitted(frame), fitted(X)
    assert_same_bits(model, plain)
    assert names_of(model) == names_of(StandardScaler().fit(frame))
    assert names_of(model) == NAMES or name.startswith("polars")  # scikit-learn 1.6 sees no names there
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # names of features are there on both sides
        for method in ("predict", "predict_proba", "score_samples", "score", "aic", "bic", "icl"):
            a, b = getattr(model, method)(frame), getattr(plain, method)(X)
            np.testing.assert_array_equal(a, b, strict=True)


def test_a_nullable_frame_gives_the_bits_of_its_array(blobs):
    assert_same_bits(fitted(pd.DataFrame(blobs, columns=NAMES).astype("Float64")), fitted(blobs))


def test_a_frame_of_mixed_types_is_the_array_of_their_common_type(blobs):
    columns = {"a": blobs[:, 0], "b": blobs[:, 1].astype(np.float32), "c": np.rint(blobs[:, 2]).astype(int)}
    X = np.column_stack(list(columns.values()))
    for frame in (pd.DataFrame(columns), pl.DataFrame(columns)):
        assert_same_bits(fitted(frame), fitted(X))
    # Floats of two sizes are read as they lie.
    del columns["c"]
    X = np.column_stack(list(columns.values()))
    for frame in (pd.DataFrame(columns), pl.DataFrame(columns)):
        assert_same_bits(fitted(frame), fitted(X))


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_bad_frames(blobs, kind):
    frame = kind(dict(zip(NAMES, blobs.T, strict=True)))
    model = fitted(frame)
    for value in (np.nan, np.inf):
        spoiled = blobs.copy()
        spoiled[5, 1] = value
        with pytest.raises(ValueError, match="Input X contains"):
            model.fit(kind(dict(zip(NAMES, spoiled.T, strict=True))))
    if names_of(model):
        with pytest.raises(ValueError, match="feature names"):
            model.predict(kind(dict(zip("xyz", blobs.T, strict=True))))
    with pytest.raises(ValueError, match=r"feature names|X has 4 features"):
        model.predict(kind(dict(zip("abcd", np.column_stack([blobs, blobs[:, 0]]).T, strict=True))))
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        model.fit(frame[:0])
    with pytest.raises((ValueError, TypeError)):
        model.fit(kind({"a": ["x", "y", "z"], "b": [1.0, 2.0, 3.0]}))


@pytest.mark.parametrize(
    "missing",
    [pl.DataFrame({"a": [1.0, None, 3.0]}), pd.DataFrame({"a": pd.array([1.0, None, 3.0], dtype="Float64")})],
    ids=["polars", "pandas"],
)
def test_missing_values_are_refused(missing):
    with pytest.raises(ValueError, match=r"NaN|missing|NAType"):
        GaussianMixture().fit(missing)


def test_weights_in_a_series(blobs):
    weights = np.random.default_rng(0).uniform(1, 2, 200)
    expected = GaussianMixture(3, random_state=0).fit(blobs, sample_weight=weights)
    for series in (pd.Series(weights), pl.Series(weights), weights.tolist()):
        assert_same_bits(expected, GaussianMixture(3, random_state=0).fit(blobs, sample_weight=series))


def test_names_of_features_that_only_one_side_has_are_warned_of(blobs):
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        fitted(FRAMES["pandas"](blobs)).predict(blobs)
    with pytest.warns(UserWarning, match="X has feature names"):
        fitted(blobs).predict(FRAMES["pandas"](blobs))


# Copies


@pytest.mark.parametrize("copier", ["pickle", "joblib", "deepcopy"])
def test_a_copy_predicts_the_same_bits(blobs, covariance_type, copier):
    model = fitted(blobs, covariance_type=covariance_type)
    model.predict(blobs)

    def through_joblib(m):
        buffer = io.BytesIO()
        joblib.dump(m, buffer)
        buffer.seek(0)
        return joblib.load(buffer)

    copiers = {"pickle": lambda m: pickle.loads(pickle.dumps(m)), "joblib": through_joblib, "deepcopy": copy.deepcopy}
    other = copiers[copier](model)
    assert_same_bits(model, other)
    np.testing.assert_array_equal(model.score_samples(blobs), other.score_samples(blobs))
    np.testing.assert_array_equal(model.sample(5)[0], other.sample(5)[0])
    assert other.events_ == model.events_
    other.means_ += 1
    assert not np.array_equal(model.means_, other.means_)


def test_an_unfitted_clone_fits_the_same(blobs):
    model = fitted(blobs, covariance_type="tied", reg_covar=1e-3)
    other = clone(model)
    assert not hasattr(other, "means_")
    assert other.get_params() == model.get_params()
    assert_same_bits(model, other.fit(blobs))


def test_get_and_set_params(blobs):
    model = GaussianMixture(3)
    assert model.set_params(covariance_type="diag", n_threads=1) is model
    assert (model.covariance_type, model.n_threads) == ("diag", 1)
    assert model.fit(blobs).covariances_.shape == (3, 3)
    with pytest.raises(ValueError, match="Invalid parameter 'banana'"):
        model.set_params(banana=1)
    with pytest.raises(TypeError):
        GaussianMixture(2, "full")


def test_repr_names_what_is_not_default():
    assert repr(GaussianMixture(n_components=2, n_threads=1)) == "GaussianMixture(n_components=2, n_threads=1)"


def test_fit_returns_self_and_ignores_y(blobs):
    model = GaussianMixture(3, random_state=0)
    assert model.fit(blobs, np.arange(200)) is model
    assert_same_bits(model, fitted(blobs))
    assert model.score(blobs, np.arange(200)) == model.score(blobs)


def test_docstring_examples():
    result = doctest.testmod(gaussmix._mixture)
    assert result.attempted > 0
    assert result.failed == 0


# Among scikit-learn's tools


def test_grid_search_over_components_and_types(blobs):
    grid = {"n_components": [1, 3, 6], "covariance_type": ["full", "tied", "diag", "spherical"]}
    search = GridSearchCV(GaussianMixture(random_state=0), grid, cv=3).fit(blobs)
    assert search.best_params_["n_components"] == 3
    assert search.best_estimator_.score(blobs) == search.score(blobs)


def test_grid_search_in_processes_gives_the_same(blobs):
    grid = {"n_components": [1, 2, 3]}
    one, two = (
        GridSearchCV(GaussianMixture(random_state=0), grid, cv=3, n_jobs=n).fit(blobs).cv_results_["mean_test_score"]
        for n in (1, 2)
    )
    np.testing.assert_array_equal(one, two)


def test_grid_search_with_a_criterion(blobs):
    search = GridSearchCV(
        GaussianMixture(random_state=0),
        {"n_components": [1, 3, 8]},
        scoring=lambda estimator, X: -estimator.bic(X),
        cv=[(np.arange(200), np.arange(200))],
    ).fit(blobs)
    assert search.best_params_ == {"n_components": 3}


def test_pipeline_and_cross_validation(blobs):
    pipeline = make_pipeline(StandardScaler(), GaussianMixture(3, random_state=0))
    Z = StandardScaler().fit_transform(blobs)
    np.testing.assert_array_equal(pipeline.fit_predict(blobs), fitted(Z).predict(Z))
    assert pipeline.score(blobs) == fitted(Z).score(Z)
    scores = cross_val_score(pipeline, blobs, cv=3)
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()


def test_sample_weight_is_routed_through_pipelines_and_searches(blobs):
    weights = np.random.default_rng(0).integers(1, 4, 200).astype(float)
    with sklearn.config_context(enable_metadata_routing=True):
        mixture = GaussianMixture(3, random_state=0).set_fit_request(sample_weight=True)
        mixture.set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, mixture).fit(blobs, sample_weight=weights)
        Z = StandardScaler().fit_transform(blobs)
        expected = GaussianMixture(3, random_state=0).fit(Z, sample_weight=weights)
        assert_same_bits(pipeline[-1], expected)
        assert pipeline.score(blobs, sample_weight=weights) == expected.score(Z, sample_weight=weights)

        split = np.arange(200) < 120
        search = GridSearchCV(mixture, {"n_components": [2, 3]}, cv=[(np.flatnonzero(split), np.flatnonzero(~split))])
        search.fit(blobs, sample_weight=weights)
        for k, found in zip((2, 3), search.cv_results_["mean_test_score"], strict=True):
            alone = GaussianMixture(k, random_state=0).fit(blobs[split], sample_weight=weights[split])
            assert found == alone.score(blobs[~split], sample_weight=weights[~split])


def test_tags():
    tags = pytest.importorskip("sklearn.utils").get_tags(GaussianMixture())
    assert tags.estimator_type == "density_estimator"
    assert not tags.input_tags.sparse
    assert not tags.input_tags.allow_nan


# What goes in and comes out


def test_float32_log_densities_are_finite(blobs):
    model = fitted(blobs.astype(np.float32))
    far = model.score_samples(np.full((1, 3), 1e30, np.float32))
    assert far.dtype == np.float32
    assert far[0] == np.finfo(np.float32).min


def test_infinity_is_refused_without_scikit_learns_checks(blobs):
    X = blobs.copy()
    X[0, 0] = np.inf
    with sklearn.config_context(assume_finite=True), pytest.raises(ValueError, match="NaN or infinity"):
        GaussianMixture(2).fit(X)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_column_major_and_frames_are_not_copied(blobs):
    X = np.asfortranarray(np.tile(blobs, (300, 1)))
    rows = {"column-major": X, "reversed": X[::-1], "pandas": pd.DataFrame(X), "polars": pl.DataFrame(X, NAMES)}
    model = GaussianMixture(2, max_iter=1, tol=1e9, init_params="random", random_state=0)
    for name, data in rows.items():
        model.fit(data)
        tracemalloc.start()
        try:
            model.fit(data).score(data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < X.nbytes / 2, name
