"""Laws that hold for any data: weights, likelihood, permutations, affine maps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from cases import INITS, TYPES, assert_same_model, covariance_shape, dense_covariances, explicit_start
from gaussmix import GaussianMixture

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# The same examples each time, and no data base on disk.
settings.register_profile("laws", derandomize=True, deadline=None, max_examples=30, database=None)
settings.load_profile("laws")

types = st.sampled_from(TYPES)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def problems(draw, max_k=4):
    """Draw (rows, K, generator): overlapping clusters with features of different scales and an offset."""
    rng = np.random.default_rng(draw(seeds))
    k, d, n = draw(st.integers(1, max_k)), draw(st.integers(1, 5)), draw(st.integers(40, 300))
    centres = rng.normal(scale=2, size=(k, d))
    X = (centres[rng.integers(0, k, n)] + rng.normal(size=(n, d))) * rng.uniform(0.5, 5, d) + rng.normal(
        scale=10, size=d
    )
    return X, k, rng


def fit(X, k, kind, *, start=None, sample_weight=None, **params):
    start = start or explicit_start(X, k, kind)
    return GaussianMixture(**(start | {"max_iter": 15} | params)).fit(X, sample_weight=sample_weight)


@given(problems(), types)
def test_an_integer_weight_is_a_repeated_row(problem, kind):
    X, k, rng = problem
    counts = rng.integers(0, 4, len(X))
    repeated = np.repeat(X, counts, axis=0)
    start = explicit_start(X, k, kind)
    weighted = fit(X, k, kind, start=start, sample_weight=counts)
    plain = fit(repeated, k, kind, start=start)
    assert_same_model(weighted, plain)
    for criterion in ("score", "aic", "bic", "icl"):
        a, b = getattr(weighted, criterion)(X, sample_weight=counts), getattr(weighted, criterion)(repeated)
        assert a == pytest.approx(b, rel=1e-10, abs=1e-10), criterion


@given(problems(), types, st.sampled_from(["given", *INITS]), seeds)
def test_a_row_of_weight_zero_is_absent(problem, kind, init, seed):
    X, k, rng = problem
    # What lies there must not matter, as long as it is finite.
    zeros = rng.random(len(X)) < 0.3
    spoiled = np.where(zeros[:, None], rng.choice([-1e6, 1e3, 1e9], size=X.shape), X)
    params = explicit_start(X, k, kind) if init == "given" else {"n_components": k, "covariance_type": kind}
    if init != "given":
        params |= {"init_params": init, "random_state": seed}
    weights = np.where(zeros, 0.0, rng.uniform(0.5, 2, len(X)))
    full = GaussianMixture(**params, max_iter=10).fit(spoiled, sample_weight=weights)
    bare = GaussianMixture(**params, max_iter=10).fit(X[~zeros], sample_weight=weights[~zeros])
    assert_same_model(full, bare, rtol=1e-8)


@pytest.mark.filterwarnings("ignore:sample_weight sums to")
@given(problems(), types, st.floats(-300, 20))
def test_the_scale_of_the_weights_does_not_matter(problem, kind, exponent):
    X, k, rng = problem
    weights = rng.uniform(0.1, 3, len(X))
    scaled = weights * 10.0**exponent
    start = explicit_start(X, k, kind)
    a, b = (fit(X, k, kind, start=start, sample_weight=w) for w in (weights, scaled))
    assert_same_model(a, b)
    assert a.score(X, sample_weight=weights) == pytest.approx(a.score(X, sample_weight=scaled), rel=1e-12, abs=1e-12)


@given(problems(), types, st.booleans())
def test_the_likelihood_never_falls_without_regularisation(problem, kind, weighted):
    X, k, rng = problem
    weights = rng.exponential(size=len(X)) if weighted else None
    model = fit(X, k, kind, sample_weight=weights, reg_covar=0, tol=0, max_iter=40)
    if not model.events_:
        bounds = np.array([*model.lower_bounds_, model.lower_bound_])
        assert (np.diff(bounds) >= -1e-11 * np.maximum(1, np.abs(bounds[1:]))).all()


@given(problems(), types)
def test_the_order_of_rows_does_not_matter(problem, kind):
    X, k, rng = problem
    order = rng.permutation(len(X))
    start = explicit_start(X, k, kind)
    a, b = fit(X, k, kind, start=start), fit(X[order], k, kind, start=start)
    assert_same_model(a, b)
    np.testing.assert_allclose(a.score_samples(X)[order], b.score_samples(X[order]), rtol=1e-8)


@given(problems(), types)
def test_the_order_of_components_does_not_matter(problem, kind):
    X, k, rng = problem
    order = rng.permutation(k)
    start = explicit_start(X, k, kind)
    renamed = dict(start, weights_init=start["weights_init"][order], means_init=start["means_init"][order])
    if kind != "tied":
        renamed["precisions_init"] = start["precisions_init"][order]
    a, b = fit(X, k, kind, start=start), fit(X, k, kind, start=renamed)
    np.testing.assert_allclose(b.means_, a.means_[order], rtol=1e-9, atol=1e-9 * np.abs(a.means_).max())
    np.testing.assert_allclose(b.weights_, a.weights_[order], rtol=1e-9)
    np.testing.assert_allclose(b.predict_proba(X), a.predict_proba(X)[:, order], rtol=0, atol=1e-8)


@given(problems(max_k=8), types, st.sampled_from([np.float32, np.float64]), st.sampled_from([np.float32, np.float64]))
def test_predict_is_the_argmax_of_predict_proba(problem, kind, fitted, asked):
    X, k, rng = problem
    model = fit(X.astype(fitted), k, kind)
    # Rows between two means are as undecided as they can be; far ones underflow.
    pairs = rng.integers(0, k, (50, 2))
    between = model.means_[pairs].mean(axis=1)
    rows = np.concatenate([X, between, between * 1e3, np.repeat(model.means_, 2, axis=0)]).astype(asked)
    np.testing.assert_array_equal(model.predict(rows), model.predict_proba(rows).argmax(axis=1))


@given(problems(), types, st.booleans(), st.sampled_from([np.float32, np.float64]), st.integers(0, 5))
def test_lower_bound_is_the_score_to_the_last_bit(problem, kind, weighted, dtype, max_iter):
    X, k, rng = problem
    weights = rng.exponential(size=len(X)) if weighted else None
    model = fit(X.astype(dtype), k, kind, sample_weight=weights, max_iter=max_iter)
    assert model.lower_bound_ == model.score(X.astype(dtype), sample_weight=weights)
    assert len(model.lower_bounds_) == model.n_iter_


@given(problems(), types)
def test_densities_are_those_of_scipy(problem, kind):
    X, k, rng = problem
    model = fit(X, k, kind)
    joint = np.column_stack(
        [
            np.log(w) + multivariate_normal(m, c, allow_singular=True).logpdf(X).reshape(len(X))
            for w, m, c in zip(model.weights_, model.means_, dense_covariances(model), strict=True)
        ]
    )
    expected = logsumexp(joint, axis=1)
    np.testing.assert_allclose(model.score_samples(X), expected, rtol=1e-9, atol=1e-9)
    responsibilities = np.exp(joint - expected[:, None])
    np.testing.assert_allclose(model.predict_proba(X), responsibilities, rtol=0, atol=1e-8)
    # The criteria from their definitions.
    w = rng.exponential(size=len(X))
    d = X.shape[1]
    entries = {"full": k * d * (d + 1) // 2, "tied": d * (d + 1) // 2, "diag": k * d, "spherical": k}[kind]
    p = k - 1 + k * d + entries
    log_likelihood = (w * expected).sum()
    aic, bic = -2 * log_likelihood + 2 * p, -2 * log_likelihood + p * np.log(w.sum())
    icl = bic - 2 * (w * np.log(responsibilities.max(axis=1))).sum()
    assert model.score(X, sample_weight=w) == pytest.approx(log_likelihood / w.sum(), rel=1e-9)
    assert model.aic(X, sample_weight=w) == pytest.approx(aic, rel=1e-9)
    assert model.bic(X, sample_weight=w) == pytest.approx(bic, rel=1e-9)
    assert model.icl(X, sample_weight=w) == pytest.approx(icl, rel=1e-9)


def affine_map(kind, d, rng):
    """Return a well-conditioned matrix under which a type is closed."""
    orthogonal = np.linalg.qr(rng.normal(size=(d, d)))[0]
    if kind == "spherical":
        return orthogonal * rng.uniform(0.1, 10)
    scales = np.diag(rng.uniform(0.2, 5, d))
    return scales if kind == "diag" else orthogonal @ scales @ np.linalg.qr(rng.normal(size=(d, d)))[0]


@given(problems(), types)
def test_an_affine_map_of_the_data_maps_the_model(problem, kind):
    X, k, rng = problem
    X = X - X.mean(axis=0)
    d = X.shape[1]
    A, b = affine_map(kind, d, rng), rng.normal(size=d)
    start = explicit_start(X, k, kind)
    P, inverse = start["precisions_init"], np.linalg.inv(A)
    mapped = dict(start, means_init=start["means_init"] @ A + b)
    if kind in ("full", "tied"):
        Q = inverse @ P @ inverse.T
        mapped["precisions_init"] = (Q + Q.swapaxes(-1, -2)) / 2
    elif kind == "diag":
        mapped["precisions_init"] = P / np.diag(A) ** 2
    else:
        mapped["precisions_init"] = P / np.abs(np.linalg.det(A)) ** (2 / d)
    one = fit(X, k, kind, start=start, reg_covar=0, tol=0)
    two = fit(X @ A + b, k, kind, start=mapped, reg_covar=0, tol=0)
    if one.events_ or two.events_:  # A floor is not equivariant.
        return
    shift = np.log(np.abs(np.linalg.det(A)))
    np.testing.assert_allclose(np.array(two.lower_bounds_) + shift, one.lower_bounds_, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(two.predict_proba(X @ A + b), one.predict_proba(X), rtol=0, atol=1e-6)
    np.testing.assert_allclose(two.means_, one.means_ @ A + b, rtol=1e-6, atol=1e-6 * np.abs(two.means_).max())


@given(problems(), types, seeds)
def test_fitted_arrays_agree_with_each_other(problem, kind, seed):
    X, k, _ = problem
    model = GaussianMixture(k, covariance_type=kind, random_state=seed, max_iter=10).fit(X)
    d = X.shape[1]
    shape = covariance_shape(kind, k, d)
    assert model.covariances_.shape == model.precisions_.shape == model.precisions_cholesky_.shape == shape
    U, P = model.precisions_cholesky_, model.precisions_
    if kind in ("full", "tied"):
        np.testing.assert_array_equal(U, np.triu(U))
        np.testing.assert_allclose(U @ np.swapaxes(U, -1, -2), P, rtol=1e-12, atol=1e-12 * np.abs(P).max())
        eye = np.broadcast_to(np.eye(d), shape)
        np.testing.assert_allclose(P @ model.covariances_, eye, rtol=0, atol=1e-7)
    else:
        np.testing.assert_allclose(U**2, P, rtol=1e-14)
        np.testing.assert_allclose(P * model.covariances_, 1, rtol=1e-12)
    np.testing.assert_allclose(model.weights_.sum(), 1, rtol=1e-14)
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=1e-12)
