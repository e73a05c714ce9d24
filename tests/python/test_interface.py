"""How the estimator behaves among scikit-learn's tools, data frames, pickles, callbacks and Ctrl-C."""

import copy
import doctest
import io
import pickle
import signal
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
from cases import ARRAYS, assert_finite, assert_same_bits, explicit_start
from gaussmix import GaussianMixture
from gaussmix._progress import Reporter

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


# Arrays set by hand


def test_a_model_of_three_arrays_predicts(blobs, covariance_type):
    source = fitted(blobs, covariance_type=covariance_type)
    model = GaussianMixture(3, covariance_type=covariance_type, random_state=0)
    model.weights_, model.means_ = source.weights_, source.means_
    model.precisions_cholesky_ = source.precisions_cholesky_
    for method in ("predict", "predict_proba", "score_samples", "score", "aic", "bic", "icl"):
        np.testing.assert_array_equal(getattr(model, method)(blobs), getattr(source, method)(blobs))
    # Without covariances_ the factors are inverted.
    np.testing.assert_allclose(model.sample(50)[0], source.sample(50)[0], rtol=1e-9, atol=1e-9)


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


# Ctrl-C and callbacks


class InterruptAt(Reporter):
    """Raise Ctrl-C for real at a stage of the fit."""

    stage, restart, iteration = "iteration", 0, 3

    def __call__(self, stage, restart, iteration, lower_bound, change, converged):
        if (stage, restart, iteration) == (self.stage, self.restart, self.iteration):
            signal.raise_signal(signal.SIGINT)
        return super().__call__(stage, restart, iteration, lower_bound, change, converged)


def test_ctrl_c_between_iterations_keeps_the_model_so_far(blobs, monkeypatch):
    start = explicit_start(blobs, 3, "full") | {"tol": 0, "max_iter": 50}
    monkeypatch.setattr(gaussmix._mixture, "Reporter", InterruptAt)
    model = GaussianMixture(**start)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(KeyboardInterrupt):
            model.fit(blobs)
    monkeypatch.undo()
    assert (model.n_iter_, model.converged_) == (3, False)
    with pytest.warns(match="did not converge"):
        three = GaussianMixture(**(start | {"max_iter": 3})).fit(blobs)
    assert_same_bits(model, three)
    assert model.lower_bound_ == model.score(blobs)


def test_ctrl_c_in_a_later_restart_keeps_the_best(blobs, monkeypatch):
    monkeypatch.setattr(gaussmix._mixture, "Reporter", InterruptAt)
    for name, value in {"stage": "start", "restart": 2, "iteration": 0}.items():
        monkeypatch.setattr(InterruptAt, name, value)
    params = {"n_components": 3, "init_params": "random_from_data", "random_state": 0, "tol": 1e-6, "max_iter": 500}
    model = GaussianMixture(**params, n_init=5)
    with pytest.raises(KeyboardInterrupt):
        model.fit(blobs)
    monkeypatch.undo()
    assert_same_bits(model, GaussianMixture(**params, n_init=2).fit(blobs))


def test_ctrl_c_before_there_is_a_model(blobs, monkeypatch):
    monkeypatch.setattr(gaussmix._mixture, "Reporter", InterruptAt)
    for name, value in {"stage": "seeding", "iteration": 0}.items():
        monkeypatch.setattr(InterruptAt, name, value)
    model = GaussianMixture(3)
    with pytest.raises(KeyboardInterrupt):
        model.fit(blobs)
    assert not hasattr(model, "means_")
    # And an earlier model stays.
    monkeypatch.undo()
    model.fit(blobs)
    means = model.means_
    monkeypatch.setattr(gaussmix._mixture, "Reporter", InterruptAt)
    for name, value in {"stage": "seeding", "iteration": 0}.items():
        monkeypatch.setattr(InterruptAt, name, value)
    with pytest.raises(KeyboardInterrupt):
        model.fit(blobs)
    assert model.means_ is means


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer on this platform")
@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.21, 0.22, 0.23])
def test_ctrl_c_at_any_time_of_a_silent_fit(blobs, seconds):
    def interrupt(*_):
        signal.raise_signal(signal.SIGINT)

    model = GaussianMixture(**explicit_start(blobs, 3, "full"), tol=0, max_iter=10**8)
    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        with pytest.raises(KeyboardInterrupt):
            model.fit(blobs)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert 0 < model.n_iter_ < 10**8
    assert_finite(model)
    assert model.lower_bound_ == model.score(blobs)


def recording_callback(stop_at=None):
    """Return a callback of scikit-learn's protocol that records tasks, and stops the fit at a count of iterations."""

    class Recorder:
        def __init__(self):
            self.begun, self.ended, self.life = [], [], []

        def setup(self, estimator, context):
            self.life.append("setup")

        def teardown(self, estimator, context):
            self.life.append("teardown")

        def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
            self.begun.append(context.task_name)

        def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
            self.ended.append(context.task_name)
            return stop_at is not None and self.ended.count("EM iteration") >= stop_at

    return Recorder()


def test_scikit_learns_callbacks_see_restarts_and_iterations(blobs):
    pytest.importorskip("sklearn.callback")
    recorder = recording_callback()
    model = GaussianMixture(3, n_init=2, random_state=0).set_callbacks(recorder).fit(blobs)
    assert_same_bits(model, GaussianMixture(3, n_init=2, random_state=0).fit(blobs))
    assert recorder.life == ["setup", "teardown"]
    assert sorted(recorder.begun) == sorted(recorder.ended)
    assert recorder.begun.count("restart") == 2
    assert recorder.begun.count("fit") == 1
    assert recorder.begun.count("EM iteration") >= 2 * min(model.n_iter_, 1)


def test_scikit_learns_callbacks_can_stop_a_fit(blobs):
    pytest.importorskip("sklearn.callback")
    start = explicit_start(blobs, 3, "full") | {"tol": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # who stopped it knows that it did not converge
        model = GaussianMixture(**start).set_callbacks(recording_callback(stop_at=4)).fit(blobs)
    assert (model.n_iter_, model.converged_) == (4, False)
    with pytest.warns(match="did not converge"):
        four = GaussianMixture(**start, max_iter=4).fit(blobs)
    assert_same_bits(model, four)


def test_an_exception_of_a_callback_is_raised(blobs):
    pytest.importorskip("sklearn.callback")
    recorder = recording_callback()
    recorder.on_fit_task_end = lambda *args, **kwargs: 1 / 0
    model = GaussianMixture(3, random_state=0).set_callbacks(recorder)
    with pytest.raises(ZeroDivisionError):
        model.fit(blobs)
    assert recorder.life == ["setup", "teardown"]
