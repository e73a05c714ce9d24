"""Statistics and maximize: what they sum up, that they add, and that together they are an iteration of EM."""

import copy
import doctest
import pickle
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import mixture
from sklearn.exceptions import NotFittedError

import gaussmix.statistics
from cases import ARRAYS, TYPES, explicit_start
from gaussmix import GaussianMixture, Statistics, maximize

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FIELDS = ("counts", "means", "covariances", "log_likelihood", "total_weight")


@pytest.fixture
def model(blobs, covariance_type):
    """Return a mixture that is not the one of greatest likelihood."""
    return GaussianMixture(**explicit_start(blobs, 3, covariance_type), max_iter=0).fit(blobs)


def reference(model, X, w):
    """Return the statistics by their definitions, from the responsibilities."""
    r = model.predict_proba(X) * w[:, None]
    counts = r.sum(axis=0)
    means = r.T @ X / counts[:, None]
    centred = X[:, None, :] - means
    full = np.einsum("nk,nki,nkj->kij", r, centred, centred) / counts[:, None, None]
    covariances = {
        "full": full,
        "tied": np.einsum("k,kij->ij", counts, full) / counts.sum(),
        "diag": np.einsum("kii->ki", full),
        "spherical": np.einsum("kii->k", full) / X.shape[1],
    }[model.covariance_type]
    return Statistics(model.covariance_type, counts, means, covariances, w @ model.score_samples(X), w.sum())


def assert_same_statistics(a, b, rtol=1e-11):
    assert a.covariance_type == b.covariance_type
    for name in FIELDS:
        x, y = np.asarray(getattr(a, name)), np.asarray(getattr(b, name))
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol * np.abs(y).max(), err_msg=name)
        assert x.shape == y.shape


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_statistics_are_those_of_the_definition(model, blobs, weighted, dtype):
    X = blobs.astype(dtype)
    w = np.random.default_rng(1).exponential(size=len(X)) if weighted else None
    expected = reference(model, X.astype(np.float64), np.ones(len(X)) if w is None else w)
    assert_same_statistics(Statistics.accumulate(model, X, w), expected)


def test_parts_add_up_to_the_whole_in_any_order(model, blobs):
    w = np.random.default_rng(1).exponential(size=len(blobs))
    whole = Statistics.accumulate(model, blobs, w)
    cuts = [3, 40, 41, 150]
    pairs = zip(np.split(blobs, cuts), np.split(w, cuts), strict=True)
    parts = [Statistics.accumulate(model, X, weights) for X, weights in pairs]
    assert_same_statistics(sum(parts), whole)
    assert_same_statistics(parts[4] + (parts[2] + parts[0]) + (parts[1] + parts[3]), whole)


def test_addition_leaves_its_operands_alone(model, blobs):
    a, b = Statistics.accumulate(model, blobs[:50]), Statistics.accumulate(model, blobs[50:])
    before = copy.deepcopy(a), copy.deepcopy(b)
    assert (a + b).total_weight == len(blobs)
    a.scale(0.5)
    assert_same_statistics(a, before[0], rtol=0)
    assert_same_statistics(b, before[1], rtol=0)


def test_scaled_statistics_are_those_of_scaled_weights(model, blobs):
    scaled = Statistics.accumulate(model, blobs).scale(0.25)
    assert_same_statistics(scaled, Statistics.accumulate(model, blobs, np.full(len(blobs), 0.25)))


def test_rows_of_weight_zero_add_nothing(model, blobs):
    whole = Statistics.accumulate(model, blobs)
    nothing = Statistics.accumulate(model, blobs + 100, np.zeros(len(blobs)))
    assert nothing.total_weight == 0
    assert_same_statistics(whole + nothing, whole, rtol=0)
    assert_same_statistics(nothing + whole, whole, rtol=1e-14)


def test_a_pickle_has_the_same_bits(model, blobs):
    statistics = Statistics.accumulate(model, blobs)
    other = pickle.loads(pickle.dumps(statistics))
    assert_same_statistics(other, statistics, rtol=0)


def test_an_e_step_and_an_m_step_are_an_iteration(model, blobs):
    fitted = GaussianMixture(**explicit_start(blobs, 3, model.covariance_type), max_iter=1, tol=0).fit(blobs)
    found = maximize(Statistics.accumulate(model, blobs), model.reg_covar)
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(found, name), getattr(fitted, name), rtol=1e-9, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(found.lower_bounds_, fitted.lower_bounds_, rtol=1e-12)
    np.testing.assert_array_equal(found.predict(blobs), fitted.predict(blobs))
    assert found.n_iter_ == 1


def em_of_the_guide():
    """Return the loop that the guide to streams calls exact."""
    guide = Path(__file__).parents[2] / "docs" / "guide" / "streams.md"
    (code,) = re.findall(r"```python\n(import numpy as np\n[^`]*def em.*?)```", guide.read_text("utf-8"), re.DOTALL)
    found = {}
    exec(code, found)
    return found["em"]


@pytest.mark.parametrize("size", [1, 60, 1_000])
def test_the_loop_of_the_guide_is_exact_em(model, blobs, size):
    batches = [blobs[i : i + size] for i in range(0, len(blobs), size)]
    found = em_of_the_guide()(model, lambda: iter(batches))
    fitted = GaussianMixture(**explicit_start(blobs, 3, model.covariance_type)).fit(blobs)
    assert fitted.converged_
    assert fitted.n_iter_ > 3
    for name in ARRAYS:
        expected = getattr(fitted, name)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-9, atol=1e-9 * scale, err_msg=name)
    assert found.lower_bounds_[-1] == pytest.approx(fitted.lower_bounds_[-1], rel=1e-12)


def test_exact_em_goes_on_from_a_stream(blobs):
    stream = GaussianMixture(3, random_state=0)
    for X in np.array_split(blobs, 12):
        stream.partial_fit(X)
    found = em_of_the_guide()(stream, lambda: np.array_split(blobs, 12), tol=1e-6, max_iter=30)
    goes_on = copy.deepcopy(stream).set_params(warm_start=True, tol=1e-6, max_iter=30).fit(blobs)
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(found, name), getattr(goes_on, name), rtol=1e-9, atol=1e-9, err_msg=name)


def test_em_by_hand_over_frames_keeps_the_names_of_the_features(blobs):
    frame = pd.DataFrame(blobs, columns=list("abcdefgh"[: blobs.shape[1]]))
    model = GaussianMixture(2, max_iter=1, random_state=0).fit(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            parts = [Statistics.accumulate(model, part) for part in (frame[:70], frame[70:])]
            parts += [Statistics.accumulate(model, frame, np.zeros(len(frame))), parts[0].scale(0.5)]
            model = maximize(sum(parts))
    assert list(model.feature_names_in_) == list(frame.columns)
    other = GaussianMixture(2, max_iter=1, random_state=0).fit(frame.rename(columns={"a": "z"}))
    with pytest.raises(ValueError, match="other names"):
        parts[0] + Statistics.accumulate(other, frame.rename(columns={"a": "z"}))


def test_maximize_hands_parameters_on(model, blobs):
    found = maximize(Statistics.accumulate(model, blobs), reg_covar=0.5, n_threads=1, random_state=3)
    assert (found.reg_covar, found.n_threads, found.random_state) == (0.5, 1, 3)
    plain = maximize(Statistics.accumulate(model, blobs), reg_covar=0)
    variances = [np.diagonal(np.atleast_2d(m.covariances_), axis1=-2, axis2=-1) for m in (found, plain)]
    if model.covariance_type in ("full", "tied"):
        np.testing.assert_allclose(variances[0] - variances[1], 0.5)


def test_statistics_of_other_sizes_or_types_are_not_added(blobs):
    models = [GaussianMixture(k, covariance_type=t, max_iter=1).fit(blobs) for k, t in [(2, "full"), (3, "full")]]
    models += [GaussianMixture(2, covariance_type="tied", max_iter=1).fit(blobs)]
    first, *others = (Statistics.accumulate(m, blobs) for m in models)
    for other in others:
        with pytest.raises(ValueError, match="cannot be added"):
            first + other
    with pytest.raises(TypeError):
        first + 1


@pytest.mark.parametrize("factor", [0, -1, np.nan, np.inf, "a"])
def test_a_factor_must_be_positive(blobs, factor):
    statistics = Statistics.accumulate(GaussianMixture(max_iter=1).fit(blobs), blobs)
    with pytest.raises(ValueError, match="positive"):
        statistics.scale(factor)


@pytest.mark.parametrize("kind", TYPES)
def test_what_has_no_maximum_is_refused(blobs, kind):
    model = GaussianMixture(2, covariance_type=kind, max_iter=1, random_state=0).fit(blobs)
    s = Statistics.accumulate(model, blobs)
    alike = Statistics(kind, s.counts, s.means, s.covariances * 0, 0.0, s.total_weight)
    with pytest.raises(ValueError, match="singular"):
        maximize(alike, reg_covar=0)
    nothing = Statistics.accumulate(model, blobs, np.zeros(len(blobs)))
    with pytest.raises(ValueError, match="positive total count"):
        maximize(nothing)
    counts = np.array([100.0, 0.0])
    with pytest.raises(ValueError, match=r"Components \[1\] have no count"):
        maximize(Statistics(kind, counts, s.means, s.covariances, 0.0, 100.0))


@pytest.mark.parametrize("kind", TYPES)
def test_impossible_values_are_refused(blobs, kind):
    s = Statistics.accumulate(GaussianMixture(2, covariance_type=kind, max_iter=1, random_state=0).fit(blobs), blobs)
    with pytest.raises(ValueError, match="variances must not be negative"):
        Statistics(kind, s.counts, s.means, -s.covariances, 0.0, s.total_weight)
    with pytest.raises(ValueError, match=r"counts must sum to total_weight = 1\.0, but sum to (200|199\.99)"):
        Statistics(kind, s.counts, s.means, s.covariances, 0.0, 1.0)
    with pytest.raises(ValueError, match="counts must sum to total_weight = 0"):
        Statistics(kind, s.counts, s.means, s.covariances, 0.0, 0.0)
    if kind in ("full", "tied"):
        with pytest.raises(ValueError, match="symmetric"):
            Statistics(kind, s.counts, s.means, s.covariances + np.triu(np.ones((3, 3)), 1), 0.0, s.total_weight)


@pytest.mark.parametrize("kind", TYPES)
def test_what_overflows_is_named(blobs, kind):
    s = Statistics.accumulate(GaussianMixture(2, covariance_type=kind, max_iter=1, random_state=0).fit(blobs), blobs)
    far = Statistics(kind, s.counts, s.means + 1e200, s.covariances, 0.0, s.total_weight)
    with pytest.raises(ValueError, match="covariances of the statistics overflow; divide the features"):
        s + far
    with pytest.raises(ValueError, match="of the statistics overflow; divide the weights"):
        s.scale(1e308)


def test_statistics_cannot_be_changed(model, blobs):
    s = Statistics.accumulate(model, blobs)
    counts = s.counts.copy()
    own = Statistics(s.covariance_type, counts, s.means, s.covariances, s.log_likelihood, s.total_weight)
    counts[:] = -1
    assert_same_statistics(own, s, rtol=0)
    for other in (s, own, pickle.loads(pickle.dumps(s)), copy.deepcopy(s), s + own):
        for name in ("counts", "means", "covariances"):
            with pytest.raises(ValueError, match="read-only"):
                getattr(other, name)[...] = 0


def test_equal_rows_far_out_have_no_negative_variance(model):
    for offset in (1e-3, 1e3, 1e8):
        s = Statistics.accumulate(model, np.full((7, 3), 1 / 3) + offset, np.full(7, 0.1))
        assert gaussmix.statistics._variances(s.covariance_type, s.covariances).min() >= 0
        assert (s + s.scale(0.5)).total_weight == pytest.approx(1.05)


def test_bad_arguments_are_refused(blobs):
    with pytest.raises(NotFittedError):
        Statistics.accumulate(GaussianMixture(), blobs)
    model = GaussianMixture(2, max_iter=1).fit(blobs)
    with pytest.raises(ValueError, match="features"):
        Statistics.accumulate(model, blobs[:, :2])
    s = Statistics.accumulate(model, blobs)
    with pytest.raises(ValueError, match="'reg_covar' parameter"):
        maximize(s, reg_covar=-1)
    with pytest.raises(ValueError, match="covariances should have the shape"):
        Statistics("diag", s.counts, s.means, s.covariances, 0.0, 1.0)
    with pytest.raises(ValueError, match="counts should have the shape"):
        Statistics("full", s.counts[:1], s.means, s.covariances, 0.0, 1.0)
    with pytest.raises(ValueError, match="covariance_type must be"):
        Statistics("round", s.counts, s.means, s.covariances, 0.0, 1.0)
    with pytest.raises(ValueError, match="negative"):
        Statistics("full", -s.counts, s.means, s.covariances, 0.0, 1.0)
    with pytest.raises(ValueError, match="negative"):
        Statistics("full", s.counts, s.means, s.covariances, 0.0, -1.0)
    with pytest.raises(ValueError, match="finite"):
        Statistics("full", s.counts, s.means * np.nan, s.covariances, 0.0, 1.0)
    with pytest.raises(TypeError, match=r"should be a gaussmix\.GaussianMixture"):
        Statistics.accumulate(mixture.GaussianMixture(2, max_iter=1).fit(blobs), blobs)


def test_docstring_examples():
    result = doctest.testmod(gaussmix.statistics)
    assert result.attempted > 0
    assert result.failed == 0
