"""Data and starts on which components collapse: a finite model and a warning, or an exception, never NaN."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Peer

from cases import INITS, TYPES, assert_finite, dense_covariances, explicit_start
from gaussmix import FitEvent, GaussianMixture

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

rng = np.random.default_rng(0)
NORMAL = rng.normal(size=(60, 3))
DEGENERATE = {
    "one distinct row": np.full((12, 2), 3.0),
    "two distinct rows": np.repeat([[0.0, 1.0], [5.0, 5.0]], 6, axis=0),
    "four distinct rows, uneven": np.repeat([[0.0, 0], [1, 0], [0, 1], [9, 9]], [20, 3, 2, 1], axis=0),
    "all zeros": np.zeros((10, 3)),
    "constant feature": np.column_stack([NORMAL, np.full(60, 7.0)]),
    "constant feature, far away": np.column_stack([NORMAL, np.full(60, 1e9)]),
    "repeated feature": np.column_stack([NORMAL, NORMAL[:, 0]]),
    "a plane": NORMAL[:, :2] @ rng.normal(size=(2, 4)),
    "fewer rows than features": rng.normal(size=(8, 20)),
    "as many rows as components": rng.normal(size=(6, 2)),
    "duplicates and an outlier": np.concatenate([np.tile(NORMAL[:5], (8, 1)), [[1e6, -1e6, 1e6]]]),
    "integers": rng.integers(0, 2, size=(40, 3)),
    "one feature": np.repeat([1.0, 2.0, 4.0], 5)[:, None],
    "tiny": NORMAL * 1e-200,
    "large": NORMAL * 1e150,
}


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_rows_give_a_finite_model(name, init, covariance_type):
    X = DEGENERATE[name]
    for dtype in (np.float64, np.float32):
        if dtype is np.float32 and name in ("tiny", "large"):
            continue
        model = GaussianMixture(6, covariance_type=covariance_type, init_params=init, random_state=0, max_iter=30)
        labels = model.fit_predict(X.astype(dtype))
        assert_finite(model)
        np.testing.assert_array_equal(labels, model.predict(X.astype(dtype)))
        assert np.isfinite(model.score_samples(X.astype(dtype))).all()
        np.testing.assert_allclose(model.predict_proba(X.astype(dtype)).sum(axis=1), 1, rtol=1e-5)
        rows, _ = model.sample(20)
        assert np.isfinite(rows).all()


def test_subnormal_rows_are_fitted_by_regularisation(covariance_type):
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(NORMAL * 1e-310)
    assert_finite(model)
    np.testing.assert_allclose(dense_covariances(model), [1e-6 * np.eye(3)] * 2, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-200, 1e-155, 1e-150, 1e150, 1e153, 1e160])
def test_extreme_scales_without_regularisation_are_fitted_or_refused(scale, covariance_type):
    model = GaussianMixture(1, covariance_type=covariance_type, reg_covar=0)
    try:
        model.fit(NORMAL * scale)
    except ValueError as error:
        # Not in the range where squares are normal numbers, and with words that help: more regularisation does not
        # make variances that overflow better.
        assert not 1e-150 <= scale <= 1e150
        assert "scale the input data" in str(error) or (scale < 1 and "reg_covar" in str(error))
        assert "overflow" not in str(error) or scale > 1
    else:
        assert_finite(model)
        np.testing.assert_allclose(model.means_[0] / scale, NORMAL.mean(axis=0), rtol=1e-9)


@pytest.mark.parametrize("weights", [np.full(60, 1e308), np.geomspace(1e-300, 1e20, 60), np.full(60, 5e-324)])
@pytest.mark.filterwarnings("ignore:sample_weight sums to")
def test_extreme_weights_are_fitted_or_refused(weights, covariance_type):
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0)
    try:
        model.fit(NORMAL, sample_weight=weights)
    except ValueError as error:
        assert "sample_weight" in str(error)
    else:
        assert_finite(model)
        assert np.isfinite(model.score(NORMAL, sample_weight=weights))


@pytest.mark.parametrize("name", ["constant feature", "repeated feature", "a plane", "one distinct row", "all zeros"])
@pytest.mark.parametrize("k", [1, 3])
def test_rows_of_lower_rank_without_regularisation_are_refused_with_a_remedy(name, k):
    # "a plane" is known only up to rounding: scikit-learn may or may not notice, so may we.
    with pytest.raises(ValueError, match="increase reg_covar"):
        GaussianMixture(k, reg_covar=0, random_state=0).fit(DEGENERATE[name])


@pytest.mark.parametrize("kind", ["diag", "spherical"])
def test_rows_of_lower_rank_are_fitted_by_types_that_do_not_mind(kind):
    model = GaussianMixture(1, covariance_type=kind, reg_covar=0).fit(DEGENERATE["repeated feature"])
    X = DEGENERATE["repeated feature"]
    np.testing.assert_allclose(model.covariances_, [X.var(axis=0)] if kind == "diag" else [X.var(axis=0).mean()])
    assert model.events_ == []


@pytest.mark.filterwarnings("ignore:.*singular covariance", "ignore:.*did not converge", "ignore:.*lost all rows")
@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
@pytest.mark.parametrize("kind", ["diag", "spherical"])
def test_a_collapse_is_repaired_though_the_rows_have_lower_rank(kind, init_params):
    rng = np.random.default_rng(0)
    repeated = np.concatenate([rng.normal(size=(50, 2)), np.full((15, 2), 4.0)])
    for X in (np.column_stack([repeated, repeated[:, 0]]), rng.normal(size=(10, 30))):
        for seed in range(3):
            model = GaussianMixture(
                5, covariance_type=kind, reg_covar=0, init_params=init_params, random_state=seed
            ).fit(X)
            assert np.isfinite(model.score(X))
            assert (model.covariances_ > 0).all()


def test_warnings_are_of_the_model_that_was_kept():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(200, 2)), np.repeat([[3.0, 3.0]], 20, axis=0)])
    seen = 0
    for seed in range(8):
        model = GaussianMixture(5, reg_covar=0, n_init=4, random_state=seed, init_params="random_from_data")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(X)
        kept = {event.component for event in model.events_ if event.kept and event.cause == "floored"}
        told = [str(w.message) for w in caught if "singular covariance" in str(w.message)]
        assert [message.split("]")[0] for message in told] == ([f"Components {sorted(kept)}"[:-1]] if kept else [])
        assert len({event.restart for event in model.events_ if event.kept}) <= 1
        seen += any(event.cause == "floored" and not event.kept for event in model.events_)
    assert seen > 0


def collapsing():
    """Return rows and a start whose second component will hold one row thrice, where scikit-learn raises."""
    X = np.concatenate([NORMAL[:, :2], np.full((3, 2), 50.0)])
    start = {
        "n_components": 2,
        "weights_init": [0.9, 0.1],
        "means_init": [[0.0, 0.0], [50.0, 50.0]],
        "reg_covar": 0,
        "max_iter": 20,
    }
    return X, start


@pytest.mark.parametrize("kind", ["full", "diag", "spherical"])
def test_a_collapsing_component_is_floored_recorded_and_warned_of(kind):
    X, start = collapsing()
    precisions = {"full": [np.eye(2)] * 2, "diag": np.ones((2, 2)), "spherical": np.ones(2)}[kind]
    start |= {"covariance_type": kind, "precisions_init": precisions}
    if kind == "full":  # What scikit-learn makes of the others depends on rounding.
        with pytest.raises(ValueError, match="ill-defined empirical covariance"):
            Peer(**start).fit(X)
    with pytest.warns(ConvergenceWarning, match=r"Components \[1\] have a singular covariance.*reg_covar"):
        model = GaussianMixture(**start).fit(X)
    assert_finite(model)
    assert {(event.cause, event.component, event.restart) for event in model.events_} == {("floored", 1, 0)}
    assert all(isinstance(event, FitEvent) for event in model.events_)
    # Once a component and restart, however often it is repaired.
    assert len(model.events_) == 1
    # The floor is tiny beside the data, and the other component is what it is without the collapsed rows.
    assert (np.einsum("kii->ki", dense_covariances(model))[1] < 1e-9 * X.var()).all()
    np.testing.assert_allclose(model.means_, [X[:60].mean(axis=0), [50, 50]], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(model.weights_, [60 / 63, 3 / 63], rtol=1e-9)


def test_a_component_without_rows_that_was_not_given_is_moved_to_rows_explained_badly():
    # A warm start is no start that the user gave: its components may be moved.
    X = np.concatenate([NORMAL, NORMAL[:10] + 30])
    covariances = [np.eye(3)] * 2
    model = GaussianMixture.from_parameters([0.5, 0.5], [[0.0, 0, 0], [1e6, 0, 0]], covariances, warm_start=True)
    with pytest.warns(ConvergenceWarning, match=r"Components \[1\] lost all rows and were started again"):
        model.fit(X)
    assert_finite(model)
    assert [(event.cause, event.component) for event in model.events_] == [("reseeded", 1)]
    np.testing.assert_allclose(model.means_, [NORMAL.mean(axis=0), NORMAL[:10].mean(axis=0) + 30], rtol=1e-6)


@pytest.mark.parametrize("kind", TYPES)
def test_a_given_component_without_rows_is_left_where_it_was(kind):
    start = explicit_start(NORMAL, 3, kind) | {"max_iter": 20}
    start["means_init"][2] = 1e6
    with pytest.warns(ConvergenceWarning, match=r"Components \[2\] lost all rows"):
        model = GaussianMixture(**start).fit(NORMAL)
    assert_finite(model)
    assert [(event.cause, event.component) for event in model.events_] == [("abandoned", 2)]
    np.testing.assert_array_equal(model.means_[2], 1e6)
    assert model.weights_[2] < 1e-12
    # The others are what they are without it.
    two = dict(start, n_components=2, weights_init=start["weights_init"][:2] / start["weights_init"][:2].sum())
    two["means_init"] = start["means_init"][:2]
    two["precisions_init"] = start["precisions_init"] if kind == "tied" else start["precisions_init"][:2]
    np.testing.assert_allclose(model.means_[:2], GaussianMixture(**two).fit(NORMAL).means_, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("kind", TYPES)
def test_a_weight_of_zero_in_the_start_stays_zero(kind):
    start = explicit_start(NORMAL, 3, kind) | {"weights_init": [0.5, 0.5, 0.0], "max_iter": 20}
    model = GaussianMixture(**start).fit(NORMAL)
    assert_finite(model)
    assert model.weights_[2] < 1e-12
    assert (model.predict_proba(NORMAL)[:, 2] < 1e-12).all()
    assert (model.sample(500)[1] < 2).all()
    assert np.isfinite(model.score_samples(NORMAL)).all()


def test_zero_weights_without_other_parameters_of_the_start():
    model = GaussianMixture(3, weights_init=[0.0, 1.0, 0.0], random_state=0).fit(NORMAL)
    assert_finite(model)


def test_one_bad_restart_does_not_cost_the_others():
    # Four components on 60 rows and one row six times: some starts collapse on that, and have the likelihood of the
    # floor. They must not win.
    X = np.concatenate([NORMAL[:, :2], np.full((6, 2), 2.5)])
    model = GaussianMixture(4, reg_covar=0, random_state=0, n_init=8).fit(X)
    assert_finite(model)
    assert 0 < len({event.restart for event in model.events_ if event.cause == "floored"}) < 8
    assert np.linalg.eigvalsh(model.covariances_).min() > 1e-6


def test_the_likelihood_does_not_fall_after_a_repair():
    X, start = collapsing()
    model = GaussianMixture(**start, precisions_init=[np.eye(2)] * 2, tol=0).fit(X)
    last = max(event.iteration for event in model.events_)
    assert (np.diff([*model.lower_bounds_[last:], model.lower_bound_]) >= -1e-9).all()


@pytest.mark.parametrize("init", INITS)
def test_many_components(init, covariance_type):
    X = np.random.default_rng(1).normal(size=(300, 2))
    model = GaussianMixture(300, covariance_type=covariance_type, init_params=init, random_state=0, max_iter=5).fit(X)
    assert_finite(model)
    assert model.predict_proba(X).shape == (300, 300)


def test_a_good_fit_has_no_events_and_no_warnings(blobs, covariance_type):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(blobs)
    assert model.events_ == []
    assert model.converged_


def test_a_fit_that_does_not_converge_is_warned_of(blobs):
    with pytest.warns(ConvergenceWarning, match="did not converge.*increase max_iter"):
        model = GaussianMixture(3, max_iter=1, random_state=0).fit(blobs)
    assert not model.converged_


def test_rows_far_out_keep_their_order():
    # log p is about -5e9 and less: the nearest component still decides, and numbers are finite at any distance.
    model = GaussianMixture.from_parameters([0.5, 0.5], [[0.0], [10.0]], [[[1.0]], [[1.0]]])
    far = np.array([[-1e5], [1e5], [1e12], [-1e12]])
    np.testing.assert_array_equal(model.predict(far), [0, 1, 1, 0])
    np.testing.assert_allclose(model.predict_proba(far), np.eye(2)[[0, 1, 1, 0]], atol=1e-15)
    np.testing.assert_allclose(model.score_samples(far[1:3]), -0.5 * (far[1:3, 0] - 10) ** 2, rtol=1e-8)
    beyond = np.array([[1e150], [-1e200], [1e300], [np.finfo(float).max]])
    assert np.isfinite(model.score_samples(beyond)).all()
    np.testing.assert_allclose(model.predict_proba(beyond).sum(axis=1), 1)


@pytest.mark.filterwarnings("ignore:.*singular", "ignore:.*did not converge")
def test_the_likelihood_does_not_fall_while_components_collapse():
    # Rows that stand five times each among others: components collapse on them one after the other.
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = np.concatenate([np.repeat(rng.normal(size=(3, 3)), 5, axis=0), rng.normal(size=(30, 3))])
        fit = GaussianMixture(6, reg_covar=0, random_state=seed, tol=0, max_iter=60).fit(X)
        events = {event.iteration for event in fit.events_}
        bounds = [*fit.lower_bounds_, fit.lower_bound_]
        # Rounding can hide for an iteration or two that a covariance has become singular.
        near = {i + j for i in events for j in (-2, -1, 0)}
        falls = [i for i in range(1, len(bounds)) if bounds[i] < bounds[i - 1] - 1e-6 and i not in near]
        assert not falls, (seed, falls, fit.events_)


@pytest.mark.parametrize("offset", [1e8, 1.7e9])
def test_a_warm_start_far_from_the_rows_gives_their_moments(offset, covariance_type):
    rng = np.random.default_rng(0)
    model = GaussianMixture(1, covariance_type=covariance_type, warm_start=True, reg_covar=0).fit(
        rng.normal(size=(500, 3))
    )
    X = rng.normal(size=(500, 3)) + offset
    model.fit(X)
    expected = GaussianMixture(1, covariance_type=covariance_type, reg_covar=0).fit(X - offset)
    np.testing.assert_allclose(model.means_ - offset, expected.means_, atol=1e-6)
    np.testing.assert_allclose(model.covariances_, expected.covariances_, rtol=1e-6, atol=1e-6)
