"""partial_fit: the published step, what the first batches decide, forgetting, and what a stream leaves consistent."""

import copy
import pickle
import tempfile
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import mixture
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import gaussmix._stream
from cases import ARRAYS, TYPES, assert_finite, assert_same_bits, covariance_shape, real_data
from gaussmix import GaussianMixture, Statistics, chunked, load, maximize
from gaussmix._batch import Batch
from gaussmix._dispatch import full_model
from gaussmix._step import Step
from gaussmix.plot._marginal import check_mixture

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def draw(n, seed=0, d=3, k=4, spread=3.0):
    """Return n rows of k clusters of different shapes, in a random order; the same clusters for all n."""
    rng = np.random.default_rng(seed)
    centres, scales = rng.normal(scale=spread, size=(k, d)), rng.uniform(0.5, 1.5, size=(k, d))
    rng = np.random.default_rng((seed, n))
    labels = rng.integers(k, size=n)
    return centres[labels] + rng.normal(size=(n, d)) * scales[labels]


def batches(X, size):
    return [X[i : i + size] for i in range(0, len(X), size)]


def stream(parts, model=None, **params):
    """Return an estimator that has taken the parts in turn."""
    model = model or GaussianMixture(**({"n_components": 4, "random_state": 0} | params))
    for part in parts:
        model.partial_fit(part)
    return model


@pytest.fixture
def small_buffer(monkeypatch):
    """Let the buffer be full with ten batches of 20 rows."""
    monkeypatch.setattr(gaussmix._stream, "BUFFER_ROWS", 200)
    monkeypatch.setattr(gaussmix._stream, "BUFFER_ROWS_PER_DIMENSION", 0)


# The step


def raw_moments(model, X, w):
    """Return the sums of (r, r x, r x x^T) over the rows, by component."""
    r = model.predict_proba(X) * w[:, None]
    return r.sum(axis=0), r.T @ X, np.einsum("nk,ni,nj->kij", r, X, X)


def mixture_of(moments, kind, reg):
    """Return weights, means and covariances of raw moments (Bishop 2006, eq. 9.24 to 9.26)."""
    n, first, second = moments
    means = first / n[:, None]
    full = second / n[:, None, None] - np.einsum("ki,kj->kij", means, means)
    d = means.shape[1]
    covariances = {
        "full": full + reg * np.eye(d),
        "tied": np.einsum("k,kij->ij", n / n.sum(), full) + reg * np.eye(d),
        "diag": np.einsum("kii->ki", full) + reg,
        "spherical": np.einsum("kii->k", full) / d + reg,
    }[kind]
    return n / n.sum(), means, covariances


@pytest.mark.parametrize(("power", "floor"), [(0.6, 0.0), (1.0, 0.0), (1.0, 0.07), (None, 0.07)])
@pytest.mark.parametrize("weighted", [False, True])
def test_batches_take_the_published_steps(small_buffer, covariance_type, power, floor, weighted):
    reg, offset, size = 1e-3, 2.0, 50
    X = draw(20 * size)
    w = np.random.default_rng(3).exponential(size=len(X)) if weighted else np.ones(len(X))
    w = w.reshape(20, size)
    w *= 2 * size / w.sum(axis=1, keepdims=True)  # every batch counts alike
    params = {"step_power": power, "step_offset": offset, "step_floor": floor}
    model = GaussianMixture(4, covariance_type=covariance_type, reg_covar=reg, random_state=0, **params)
    moments = None
    for t, (part, weights) in enumerate(zip(batches(X, size), w, strict=True), start=1):
        before = copy.deepcopy(model)
        model.partial_fit(part, sample_weight=weights if weighted else None)
        if t == 10:  # the buffer is full
            moments = [m / w[:10].sum() for m in raw_moments(model, X[: 10 * size], w[:10].ravel())]
        elif t > 10:
            gamma = 1 / t if power is None else max((t + offset) ** -power, floor)
            of_batch = raw_moments(before, part, weights)
            moments = [(1 - gamma) * m + gamma * b / weights.sum() for m, b in zip(moments, of_batch, strict=True)]
            for name, expected in zip(ARRAYS, mixture_of(moments, covariance_type, reg), strict=False):
                np.testing.assert_allclose(getattr(model, name), expected, rtol=1e-8, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("kind", TYPES)
def test_without_forgetting_one_component_is_that_of_all_rows(kind):
    X = draw(9_000)
    w = np.random.default_rng(1).exponential(size=len(X))
    model = GaussianMixture(covariance_type=kind, step_power=None)
    for part in np.split(np.arange(len(X)), [1, 30, 1_000, 5_000, 5_001, 8_000]):
        model.partial_fit(X[part], sample_weight=w[part])
    whole = GaussianMixture(covariance_type=kind).fit(X, sample_weight=w)
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(model, name), getattr(whole, name), rtol=1e-9, atol=1e-12, err_msg=name)


def test_rows_count_the_same_however_they_are_cut():
    X, held_out = draw(30_000), draw(5_000)
    scores = [stream(batches(X, size)).score(held_out) for size in (50, 400, 1_000, 2_500)]
    assert np.ptp(scores) < 0.005


def test_a_batch_of_twice_the_weight_counts_as_two():
    X, held_out = draw(20_000), draw(5_000)
    seeded = stream(batches(X[:10_000], 1_000))
    twice, repeated = copy.deepcopy(seeded), copy.deepcopy(seeded)
    for part in batches(X[10_000:], 500):
        twice.partial_fit(part, sample_weight=np.full(500, 2.0))
        repeated.partial_fit(np.repeat(part, 2, axis=0))
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(twice, name), getattr(repeated, name), rtol=1e-6, atol=1e-8, err_msg=name)
    assert abs(twice.score(held_out) - seeded.score(held_out)) > 1e-6


def test_batches_of_other_weights_take_the_steps_of_their_weight(small_buffer):
    size = 50
    model = stream(batches(draw(10 * size), size))
    moments = [m / (10 * size) for m in raw_moments(model, draw(10 * size), np.ones(10 * size))]
    time = 10.0
    for scale in (1e-3, 1e3, 1.0, 1e-9, 1e2, 1e300, 1.0):  # after 1e300 what was before is nothing, and so is 1
        part, before, ones = draw(60), copy.deepcopy(model), np.ones(60)
        model.partial_fit(part, sample_weight=ones * scale)
        steps = 60 * scale / size
        time += steps
        gamma = -np.expm1(steps * np.log1p(-((time + 2) ** -0.7)))
        of_batch = raw_moments(before, part, ones)
        moments = [(1 - gamma) * m + gamma * b / 60 for m, b in zip(moments, of_batch, strict=True)]
        for name, expected in zip(ARRAYS, mixture_of(moments, "full", 1e-6), strict=False):
            np.testing.assert_allclose(getattr(model, name), expected, rtol=1e-8, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("kind", TYPES)
def test_a_batch_that_is_summed_again_counts_once(kind):
    X = draw(300)
    model = GaussianMixture(4, covariance_type=kind, random_state=0).fit(X)
    before = full_model(model).accumulate(Batch(X, None).data(), 1)
    step = Step(Batch(draw(200), None), before, 0.5, 1.0, True, model)
    first, again = step.accumulate(full_model(model)), step.accumulate(full_model(model), model.means_ + 0.1)
    assert again.total_weight == first.total_weight == 350
    for name in ("counts", "means", "covariances"):
        np.testing.assert_allclose(getattr(again, name), getattr(first, name), rtol=1e-9, atol=1e-12, err_msg=name)
    assert step.statistics is again


@pytest.mark.parametrize("weight", [5e-324, 1e-310, 1e-200])
def test_a_batch_of_hardly_any_weight_changes_hardly_anything(weight):
    model = stream(batches(draw(12_000), 1_000))
    before = copy.deepcopy(model)
    model.partial_fit(draw(50) + 100, sample_weight=np.full(50, weight))
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(model, name), getattr(before, name), rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("factor", [1e-200, 0.25, 1e100])
def test_the_scale_of_the_weights_does_not_matter(factor):
    X = draw(12_000)
    plain, scaled = (GaussianMixture(4, random_state=0) for _ in range(2))
    for part in batches(X, 1_000):
        plain.partial_fit(part)
        scaled.partial_fit(part, sample_weight=np.full(len(part), factor))
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(plain, name), getattr(scaled, name), rtol=1e-7, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("rows", [300, 10_000], ids=["in the buffer", "after it"])
def test_a_batch_without_weight_changes_nothing(rows):
    model = stream(batches(draw(rows), 100))
    before = pickle.dumps(model)
    model.partial_fit(draw(50) + 1e6, sample_weight=np.zeros(50))
    assert pickle.dumps(model) == before
    X = draw(50)
    spoiled, bare = copy.deepcopy(model), copy.deepcopy(model)
    spoiled.partial_fit(np.concatenate([X, X + 1e6]), sample_weight=np.repeat([1.0, 0.0], 50))
    bare.partial_fit(X, sample_weight=np.ones(50))
    assert_same_bits(spoiled, bare)


# The beginning


@pytest.mark.parametrize("size", [1, 2, 5])
def test_it_predicts_from_as_many_distinct_rows_as_components(covariance_type, size):
    X = draw(60)
    X[1::2] = X[::2]  # pairs of rows
    model = GaussianMixture(4, covariance_type=covariance_type, random_state=0)
    for i in range(0, 60, size):
        model.partial_fit(X[i : i + size])
        distinct = len(np.unique(X[: i + size], axis=0))
        if distinct < 4:
            with pytest.raises(
                NotFittedError, match=f"seen {distinct} distinct rows .* {4 - distinct} more are missing"
            ):
                model.predict(X)
            with pytest.raises(NotFittedError, match="more are missing"):
                model.sample()
        else:
            assert model.predict(X).shape == (60,)
            assert_finite(model)
            assert len(model.lower_bounds_) == model.n_iter_


def test_rows_without_weight_are_not_seen():
    model = GaussianMixture(2).partial_fit([[0.0], [1.0], [2.0]], sample_weight=[1, 0, 0])
    with pytest.raises(NotFittedError, match="seen 1 distinct rows"):
        model.predict([[0.0]])


def test_repeated_rows_take_no_memory_while_there_is_no_model():
    model = GaussianMixture(3)
    for _ in range(20):
        model.partial_fit(np.tile([[0.0, 1.0], [2.0, 3.0]], (10_000, 1)))
    assert len(pickle.dumps(model)) < 10_000
    model.partial_fit([[5.0, 5.0]])
    np.testing.assert_allclose(np.sort(model.weights_), [1 / 400_001, 200_000 / 400_001, 200_000 / 400_001], rtol=1e-6)


def test_without_regularisation_it_waits_for_rows_that_have_a_spread():
    X = draw(100)
    model = GaussianMixture(2, reg_covar=0, random_state=0)
    model.partial_fit(X[:2])
    with pytest.raises(NotFittedError, match="no spread"):
        model.predict(X)
    assert_finite(model.partial_fit(X[2:]))


def test_whoever_asks_for_a_model_is_told_what_a_stream_waits_for(tmp_path):
    model = GaussianMixture(5).partial_fit(draw(3))
    asking = (
        lambda: model.predict(draw(3)),
        lambda: model.save(tmp_path / "model"),
        lambda: Statistics.accumulate(model, draw(3)),
        lambda: check_mixture(model),
    )
    for ask in asking:
        with pytest.raises(NotFittedError, match=r"seen 3 distinct rows .* 2 more are missing"):
            ask()
    model.set_params(n_components=2)
    for ask in asking:
        with pytest.raises(NotFittedError, match="enough for n_components = 2, which was changed"):
            ask()
    assert_finite(model.partial_fit(draw(3)))


def test_rows_without_a_spread_are_not_fitted_at_every_call(monkeypatch):
    fit, fitted = GaussianMixture._fit_rows, []

    def counted(self, rows, *args, **kwargs):
        fitted.append(rows.shape[0])
        return fit(self, rows, *args, **kwargs)

    monkeypatch.setattr(GaussianMixture, "_fit_rows", counted)
    X = draw(200) * [1, 1, 0]
    model = stream([X[i : i + 1] for i in range(200)], n_components=2, reg_covar=0)
    assert 8 < len(fitted) < 20  # each of rows half as many again as the one before
    assert_finite(model.partial_fit(draw(200)))


@pytest.mark.parametrize("kind", TYPES)
def test_while_all_rows_are_kept_it_is_their_fit(kind):
    X = draw(900)
    model = GaussianMixture(4, covariance_type=kind, random_state=0)
    for n in (100, 300, 900):
        model.partial_fit(X[n // 3 if n > 100 else 0 : n])
        assert_same_bits(model, GaussianMixture(4, covariance_type=kind, random_state=0).fit(X[:n]))


def test_a_poor_first_batch_does_not_decide_the_fit():
    X, held_out = draw(300_000, spread=8), draw(5_000, spread=8)
    labels = GaussianMixture(4, random_state=0).fit(X).predict(X)
    one_cluster, rest = X[labels == 0][:2_000], X[2_000:]
    best = GaussianMixture(4, random_state=0).fit(rest).score(held_out)
    for first in (one_cluster, np.tile(X[:4], (500, 1)), np.full((1_000, 3), 7.0)):
        model = stream([first, *batches(rest, 1_000)])
        assert model.score(held_out) > best - 0.01


@pytest.mark.parametrize("size", [1, 1_000, 50_000])
def test_the_buffer_is_bounded(size, monkeypatch):
    monkeypatch.setattr(gaussmix._stream, "BUFFER_BYTES", 2**18)
    X = draw(400 if size == 1 else 12 * size)
    if size == 1:
        monkeypatch.setattr(gaussmix._stream, "BUFFER_ROWS", 300)
    model = GaussianMixture(4, random_state=0)
    for part in batches(X, size):
        model.partial_fit(part)
        assert len(pickle.dumps(model)) < 2**18 + 20_000
    assert len(pickle.dumps(model)) < 5_000


def test_the_bound_of_the_buffer_is_that_of_the_rows_it_holds(monkeypatch):
    monkeypatch.setattr(gaussmix._stream, "BUFFER_BYTES", 2**16)
    X = draw(3_000)
    model = stream([*batches(X[:2_000].astype(np.float32), 500), X[2_000:2_010]])
    assert len(pickle.dumps(model)) > 24_000  # floats, of half the size
    stream([X[2_010:2_800]], model)  # joined, all are doubles
    assert len(pickle.dumps(model)) < 10_000


def test_the_callers_rows_are_not_kept():
    X = draw(300)
    given = X.copy()
    a, b = GaussianMixture(4, random_state=0), GaussianMixture(4, random_state=0)
    for i in range(0, 300, 60):
        a.partial_fit(X[i : i + 60])
        b.partial_fit(given[i : i + 60])
        given[: i + 60] = np.nan
    assert_same_bits(a, b)


# Drift


def test_a_drift_is_followed_by_forgetting_and_only_by_it():
    rng = np.random.default_rng(0)
    n, centres = 120_000, np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])
    X = centres[rng.integers(3, size=n)] + rng.normal(size=(n, 2))
    # Still, then four standard deviations in 50 batches, then still again.
    X[:, 0] += 4 * np.clip((np.arange(n) - 20_000) / 50_000, 0, 1)
    X, held_out = X[:-5_000], X[-5_000:]
    forgets, keeps = (stream(batches(X, 1_000), n_components=3, step_power=power) for power in (0.7, None))
    best = GaussianMixture(3, random_state=0).fit(X[70_000:]).score(held_out)
    assert forgets.score(held_out) > best - 0.03
    assert keeps.score(held_out) < best - 0.1
    # All rows count alike: the mean is that of all.
    np.testing.assert_allclose(keeps.weights_ @ keeps.means_, X.mean(axis=0), rtol=1e-9)


def test_a_drift_late_in_a_stream_is_followed_where_steps_have_a_floor():
    def rows(n, shift=0.0):
        return draw(n, d=2, k=3, spread=4) + shift

    fitted = GaussianMixture(3, random_state=0).fit(rows(500_000))  # a thousand steps of time
    shifted = batches(rows(65_000, 1.5), 1_000)
    held_out = np.concatenate(shifted[60:])
    best = GaussianMixture(3, random_state=0).fit(np.concatenate(shifted[:60])).score(held_out)
    settled, floored = (
        stream(shifted[:60], copy.deepcopy(fitted).set_params(step_floor=floor)).score(held_out) for floor in (0.0, 0.1)
    )
    assert settled < best - 0.1
    assert floored > best - 0.02


def test_a_floor_under_the_steps_changes_no_bits():
    parts = batches(draw(20_000), 1_000)  # forty steps of time, all above 40 ** -0.7 = 0.076
    assert_same_bits(stream(parts), stream(parts, step_floor=0.07))


def test_a_component_without_rows_is_started_again_where_the_density_is_low(covariance_type):
    rng = np.random.default_rng(0)
    model = GaussianMixture.from_parameters(
        [0.5, 0.5],
        [[0.0, 0.0], [1e3, 1e3]],
        np.ones(covariance_shape(covariance_type, 2, 2))
        if covariance_type in ("diag", "spherical")
        else np.broadcast_to(np.eye(2), covariance_shape(covariance_type, 2, 2)),
        covariance_type=covariance_type,
    )

    def rows(n):
        return rng.normal(size=(n, 2)) + np.where(rng.random((n, 1)) < 0.3, 12.0, 0.0)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stream([rows(1_000) for _ in range(300)], model.set_params(step_power=0.5, step_offset=0))
    assert [event.cause for event in model.events_ if event.cause == "reseeded"] == ["reseeded"]
    assert sum("lost all rows" in str(w.message) for w in caught) == 1
    far = int(np.argmax(model.means_[:, 0]))
    assert np.abs(model.means_).max() < 15
    if covariance_type != "tied":  # the one wide covariance that they share by then explains both clusters
        np.testing.assert_allclose(model.means_[far], [12, 12], atol=0.3)
        np.testing.assert_allclose(model.weights_[far], 0.3, atol=0.05)


def test_where_nothing_is_forgotten_no_component_is_moved():
    X = draw(3_000)
    far = {"weights": [0.5, 0.5], "means": [[0.0, 0, 0], [1e4, 1e4, 1e4]], "covariances": [np.eye(3)] * 2}
    model = stream(batches(X, 100), GaussianMixture.from_parameters(**far, step_power=None))
    np.testing.assert_allclose(model.means_[1], 1e4)
    np.testing.assert_allclose(model.weights_, [1 - 0.5 / 7, 0.5 / 7])  # the model was worth 500 rows
    assert model.events_ == []


@pytest.mark.parametrize("reg_covar", [1e-6, 0.1])
def test_a_component_that_is_held_keeps_its_covariance(covariance_type, reg_covar):
    own = np.ones(covariance_shape(covariance_type, 2, 2))
    if covariance_type in ("full", "tied"):
        own = own * np.eye(2)
    start = {"weights": [1.0, 0.0], "means": [[0.0, 0.0], [1e4, 1e4]], "covariances": own}
    model = GaussianMixture.from_parameters(
        **start, covariance_type=covariance_type, reg_covar=reg_covar, step_power=None
    )
    stream(batches(draw(6_000, d=2, spread=0.0), 100), model)
    np.testing.assert_allclose(model.means_[1], 1e4)
    if covariance_type != "tied":  # the other component's is that of the rows
        np.testing.assert_allclose(model.covariances_[1], own[1], rtol=1e-12)


def test_rare_components_are_not_moved_while_the_buffer_is_filled():
    X = draw(400)
    model = GaussianMixture(4, random_state=0)
    for i in range(400):
        model.partial_fit(X[i : i + 1])
        assert not any(event.cause == "reseeded" for event in getattr(model, "events_", []))


def test_a_component_that_the_caller_placed_is_not_moved():
    X = draw(8_000)
    start = {"means_init": [[0.0, 0, 0], [1e4, 1e4, 1e4]], "weights_init": [0.5, 0.5]}
    model = stream(batches(X, 500), n_components=2, **start, precisions_init=[np.eye(3)] * 2)
    np.testing.assert_allclose(model.means_[1], 1e4)
    assert_finite(model)
    assert not any(event.cause == "reseeded" for event in model.events_)


# Among other calls


def test_fit_starts_anew():
    X = draw(500)
    model = stream(batches(draw(12_000, seed=1), 1_000))
    assert_same_bits(model.fit(X), GaussianMixture(4, random_state=0).fit(X))
    again = copy.deepcopy(model)
    assert_same_bits(stream([X[:50]], again), stream([X[:50]], GaussianMixture(4, random_state=0).fit(X)))


@pytest.mark.parametrize("kind", TYPES)
def test_after_fit_it_goes_on_from_the_model(kind):
    X, more = draw(5_000), draw(500)
    fitted = GaussianMixture(4, covariance_type=kind, random_state=0, step_power=None, tol=1e-8, max_iter=500).fit(X)
    model = copy.deepcopy(fitted).partial_fit(more)
    # The fit is a fixed point: its rows have the statistics that its model has.
    expected = maximize(Statistics.accumulate(fitted, X) + Statistics.accumulate(fitted, more))
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(model, name), getattr(expected, name), rtol=1e-2, atol=1e-2, err_msg=name)
    np.testing.assert_allclose(
        model.weights_ @ model.means_, np.concatenate([X, more]).mean(axis=0), rtol=1e-6, atol=1e-9
    )


def test_rows_of_a_fit_do_not_count_for_more_than_they_were():
    model = GaussianMixture(1).fit(np.zeros((10, 1))).partial_fit(np.full((1_000, 1), 10.0))
    assert model.means_[0, 0] > 9.8  # with all rows it is 9.90; forgetting may only raise it


SOURCES = {
    "fit": lambda X, **params: GaussianMixture(**params).fit(X),
    "blocks": lambda X, **params: chunked.fit([X], **params),
    "maximize": lambda X, **params: maximize(Statistics.accumulate(GaussianMixture().fit(X), X), **params),
    "file": lambda X, **params: saved(GaussianMixture(**params).fit(X)),
    "scikit-learn": lambda X, **params: GaussianMixture.from_sklearn(mixture.GaussianMixture(**params).fit(X)),
    "parameters": lambda X, **_: GaussianMixture.from_parameters([1.0], X.mean(axis=0)[None], [np.cov(X.T, bias=True)]),
}


def saved(model):
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model")
        return load(f"{folder}/model")


@pytest.mark.parametrize("source", SOURCES)
def test_of_a_model_what_was_added_to_its_variances_is_not_counted(source):
    X = draw(4_000)
    model = SOURCES[source](X, reg_covar=0.5).set_params(reg_covar=0.25, step_power=None).partial_fit(X)
    np.testing.assert_allclose(model.covariances_[0], np.cov(X.T, bias=True) + 0.25 * np.eye(3), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("source", ["rows", "blocks"])
def test_an_odd_first_batch_after_fit_does_not_set_the_clock(source):
    X, held_out = draw(5_000), draw(5_000) + 3
    of_blocks = source == "blocks"
    model = chunked.fit([X], 4, random_state=0) if of_blocks else GaussianMixture(4, random_state=0).fit(X)
    odd, plain = copy.deepcopy(model).partial_fit(X[:1], sample_weight=[1_000.0]), model.partial_fit(X[:1])
    for part in batches(draw(20_000) + 3, 1_000):  # the rows drift
        odd.partial_fit(part)
        plain.partial_fit(part)
    assert odd.score(held_out) == pytest.approx(plain.score(held_out), abs=0.2)


def test_it_goes_on_from_a_model_that_has_seen_no_rows():
    start = GaussianMixture(4, random_state=0).fit(draw(5_000))
    model = GaussianMixture.from_parameters(start.weights_, start.means_, start.covariances_, step_power=None)
    X = draw(500)
    model.partial_fit(X)
    assert model.score(X) > start.score(X)
    # All that is known of the likelihood is that of this batch under the model it met.
    assert model.lower_bound_ == pytest.approx(start.score(X), rel=1e-12)


@pytest.mark.parametrize("name", ["pickle", "deepcopy"])
@pytest.mark.parametrize("seen", [1, 3, 7, 12])
def test_a_copy_in_mid_stream_goes_on_with_the_same_bits(covariance_type, name, seen):
    parts = batches(draw(15_000), 1_000)
    model = stream(parts[:seen], covariance_type=covariance_type)
    other = pickle.loads(pickle.dumps(model)) if name == "pickle" else copy.deepcopy(model)
    assert_same_bits(stream(parts[seen:], model), stream(parts[seen:], other))
    assert not hasattr(clone(model), "means_")
    assert_same_bits(model, stream(parts, clone(model)))


def test_the_bits_do_not_depend_on_the_threads():
    parts = batches(draw(15_000), 1_000)
    assert_same_bits(stream(parts, n_threads=1), stream(parts, n_threads=3))


def test_floats_stay_floats_until_there_are_doubles():
    parts = batches(draw(14_000).astype(np.float32), 1_000)
    model = stream(parts)
    assert {getattr(model, name).dtype for name in ARRAYS} == {np.dtype(np.float32)}
    double = stream([part.astype(np.float64) for part in parts])
    assert model.score(draw(2_000)) == pytest.approx(double.score(draw(2_000)), abs=1e-4)
    assert model.partial_fit(draw(100)).means_.dtype == np.float64


def test_names_of_features_are_those_of_the_first_batch():
    X = draw(200)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = stream([frame[:100]])
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="feature names"):
        model.partial_fit(frame.rename(columns={"a": "z"}))
    assert_same_bits(model.partial_fit(frame[100:]), stream([X[:100], X[100:]]))


@pytest.mark.parametrize("rows", [0, 2, 300, 12_000])
def test_a_batch_that_is_refused_leaves_the_estimator_as_it_was(rows):
    model = stream(batches(draw(rows), 1_000)) if rows else GaussianMixture(4, random_state=0)
    X = draw(20)
    before = pickle.dumps(model)
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(np.where(X > 1, np.nan, X))
    with pytest.raises(ValueError, match="Negative values"):
        model.partial_fit(X, sample_weight=np.full(20, -1.0))
    if not rows:
        with pytest.raises(ValueError, match="NaN"):
            model.partial_fit(pd.DataFrame(np.where(X > 1, np.nan, X), columns=["a", "b", "c"]))
    else:
        with pytest.raises(ValueError, match="X has 2 features"):
            model.partial_fit(X[:, :2])
    assert pickle.dumps(model) == before
    assert_same_bits(model.partial_fit(draw(1_000)), stream([*batches(draw(rows), 1_000), draw(1_000)]))


def test_another_shape_of_model_is_refused():
    X = draw(300)
    for change in ({"n_components": 3}, {"covariance_type": "diag"}):
        with pytest.raises(ValueError, match="goes on from the last call"):
            stream([X]).set_params(**change).partial_fit(X)


@pytest.mark.parametrize("bad", [{"step_power": 0.0}, {"step_power": 1.1}, {"step_offset": -1.0}, {"step_floor": 1.0}])
def test_bad_parameters_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        GaussianMixture(**bad).partial_fit(draw(10))


def test_ctrl_c_while_the_buffer_is_fitted_leaves_the_estimator_as_it_was(monkeypatch):
    model = stream([draw(200)])
    before = pickle.dumps(model)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gaussmix._mixture.Reporter, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.partial_fit(draw(300))
    assert pickle.dumps(model) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_step_that_fails_leaves_the_estimator_as_it_was(monkeypatch, error):
    model = stream(batches(draw(12_000), 1_000))
    before = pickle.dumps(model)

    def failing(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(gaussmix._stream.Step, "accumulate", failing)
        with pytest.raises(error):
            model.partial_fit(draw(300))
    assert pickle.dumps(model) == before


def test_a_component_starts_again_where_em_over_the_batch_fails(monkeypatch):
    rng = np.random.default_rng(0)
    start = {"weights": [0.5, 0.5], "means": [[0.0, 0.0], [1e3, 1e3]], "covariances": [np.eye(2)] * 2}
    model = GaussianMixture.from_parameters(**start, step_power=0.5, step_offset=0)
    tries = []

    def collapses(self, seeded):
        tries.append(seeded)

    monkeypatch.setattr(gaussmix._stream.Step, "_try", collapses)
    stream([rng.normal(size=(1_000, 2)) for _ in range(100)], model)
    assert tries
    assert {event[:2] for event in model.events_} == {("reseeded", 1)}
    assert np.abs(model.means_).max() < 5
    assert_finite(model)


def test_verbose_tells_of_steps(capsys):
    stream(batches(draw(12_000), 1_000), verbose=1, verbose_interval=4)
    assert "Batch 12\t lower bound" in capsys.readouterr().out


# Quality


@pytest.mark.parametrize("case", [(2, 5, 3.0), (8, 8, 1.0), (5, 10, 0.8), (4, 3, 0.5), (12, 4, 1.0)])
def test_one_pass_comes_near_the_fit_of_all_rows(case):
    d, k, spread = case
    X, held_out = draw(60_000, d, d, k, spread), draw(10_000, d, d, k, spread)
    model = stream(batches(X, 1_000), n_components=k)
    for params in ({}, {"tol": 1e-5, "max_iter": 1_000}):
        fitted = GaussianMixture(k, random_state=0, **params).fit(X)
        assert model.score(held_out) > fitted.score(held_out) - 0.01


def test_the_stream_begins_where_em_has_converged():
    X = draw(5_000, 5, 5, 10, 0.8)  # EM is slow here
    model = stream(batches(X, 500), n_components=10)
    assert model._stream.buffer is None
    converged = GaussianMixture(10, random_state=0, tol=1e-6, max_iter=1_000).fit(X)
    assert_same_bits(model, converged)
    assert converged.n_iter_ > 100
    brief = stream(batches(X, 500), n_components=10, max_iter=0)
    assert brief.n_iter_ == 0


def test_few_rows_for_many_parameters_are_fitted_no_further_than_tol(small_buffer):
    X = draw(200, d=4)
    model = stream(batches(X, 20), n_components=20)  # of 299 parameters
    assert model._stream.buffer is None
    assert_same_bits(model, GaussianMixture(20, random_state=0).fit(X))


def test_passes_over_real_rows_come_near_their_fit():
    X, k = real_data()["digits"]
    rng = np.random.default_rng(0)
    rows = np.concatenate([X[rng.permutation(len(X))] for _ in range(10)])
    model = stream(batches(rows, 200), n_components=k, covariance_type="diag")
    fitted = GaussianMixture(k, covariance_type="diag", random_state=0).fit(X)
    assert model.score(X) > fitted.score(X) - 0.02
