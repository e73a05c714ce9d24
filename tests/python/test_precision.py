"""Digits kept on hard data, against 50-digit arithmetic."""

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf

from cases import dense_covariances
from gaussmix import GaussianMixture

pytestmark = pytest.mark.filterwarnings("ignore:Best performing initialization")


@pytest.fixture(autouse=True)
def fifty_digits():
    with mpmath.workdps(50):
        yield


def reference_densities(X, weights, means, factors):
    """Return log p(x) and the responsibilities for dense upper factors U, U U^T the precision."""
    n, d = X.shape
    k = len(weights)
    log_p, r = [], mp.matrix(n, k)
    log_dets = [mp.fsum(mp.log(mpf(float(U[j, j]))) for j in range(d)) for U in factors]
    for i in range(n):
        joint = []
        for c in range(k):
            z = [mpf(float(X[i, j])) - mpf(float(means[c, j])) for j in range(d)]
            y = [mp.fsum(z[a] * mpf(float(factors[c][a, b])) for a in range(b + 1)) for b in range(d)]
            q = mp.fsum(v * v for v in y)
            joint.append(mp.log(mpf(float(weights[c]))) - d * mp.log(2 * mp.pi) / 2 + log_dets[c] - q / 2)
        top = max(joint)
        total = top + mp.log(mp.fsum(mp.exp(v - top) for v in joint))
        log_p.append(total)
        for c in range(k):
            r[i, c] = mp.exp(joint[c] - total)
    return log_p, r


def reference_step(X, r, kind):
    """Return weights, means and covariances of a type after the M-step without regularisation."""
    n, d = X.shape
    k = r.cols
    x = [[mpf(float(v)) for v in row] for row in X]
    counts = [mp.fsum(r[i, c] for i in range(n)) for c in range(k)]
    means = [[mp.fsum(r[i, c] * x[i][j] for i in range(n)) / counts[c] for j in range(d)] for c in range(k)]
    offsets = [np.array([[v - m for v, m in zip(row, means[c], strict=True)] for row in x]) for c in range(k)]
    scatter = np.array([(o.T * [r[i, c] for i in range(n)]) @ o for c, o in enumerate(offsets)])
    covariances = np.array([scatter[c] / counts[c] for c in range(k)])
    if kind == "tied":
        covariances = np.array([scatter.sum(axis=0) / n] * k)
    elif kind == "diag":
        covariances = covariances * np.eye(d, dtype=int)
    elif kind == "spherical":
        covariances = np.array([np.eye(d, dtype=int) * (np.trace(c) / d) for c in covariances])
    return np.array(counts) / n, np.array(means), covariances


def clusters(scales, distance=4.0, n=24, seed=0):
    """Return rows and labels: two correlated clusters, with features of the given scales."""
    rng = np.random.default_rng(seed)
    d = len(scales)
    z = np.repeat([0, 1], n // 2)
    mix = np.eye(d) + 0.4 * rng.normal(size=(d, d))
    return (rng.normal(size=(n, d)) @ mix + distance * z[:, None]) * scales, z


def needles():
    """Two clusters 1e6 apart, 1e-3 thick and 1 long, in directions that no axis follows."""
    rng = np.random.default_rng(1)
    z = np.repeat([0, 1], 12)
    turn = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    X = rng.normal(size=(24, 2)) * [1.0, 1e-3]
    return np.where(z[:, None] == 0, X @ turn, X @ turn.T) + 1e6 * z[:, None], z


def with_outlier(X, z, sigmas):
    X = X.copy()
    X[3] += sigmas * X.std(axis=0)
    return X, z


X0, Z0 = clusters([1.0, 1.0])
# Rows, labels of the start, and the relative error that is allowed: eps times what the data themselves lose.
CASES = {
    "plain": (X0, Z0, 1e-13),
    # Its components are narrow for how far they are apart: sums of many rows lose two digits more than one row.
    "three features": (*clusters([1.0, 2.0, 0.5]), 3e-13),
    "shifted by 1e4": (X0 + 1e4, Z0, 1e-12),
    "shifted by 1e8": (X0 + 1e8, Z0, 1e-12),
    "shifted by -1e12": (X0 - 1e12, Z0, 1e-12),
    "scaled by 1e-150": (X0 * 1e-150, Z0, 1e-13),
    "scaled by 1e150": (X0 * 1e150, Z0, 1e-13),
    "features of other scales": (*clusters([1e-7, 1e7]), 1e-12),
    "thin, far apart": (*needles(), 1e-8),
    "far apart": (*clusters([1.0, 1.0], distance=1e7), 1e-12),
    "one row 1e5 sigmas out": (*with_outlier(X0, Z0, 1e5), 1e-11),
    "float32": (X0.astype(np.float32), Z0, 1e-13),
    "float32 shifted by 1e4": ((X0 + 1e4).astype(np.float32), Z0, 1e-12),
    "integers": (np.rint(X0 * 1e6).astype(np.int64), Z0, 1e-12),
    "small integers": (np.rint(X0 * 20).astype(np.int8), Z0, 1e-12),
}


def start_of(X, z, kind):
    X = np.asarray(X, dtype=float)
    scale = np.abs(X).max()
    covariances = np.array([np.cov((X[z == c] / scale).T) for c in (0, 1)])
    d = X.shape[1]
    precisions = {
        "full": lambda: np.linalg.inv(covariances),
        "tied": lambda: np.linalg.inv(covariances.mean(axis=0)),
        "diag": lambda: 1 / np.einsum("kii->ki", covariances),
        "spherical": lambda: d / np.einsum("kii->k", covariances),
    }[kind]()
    if kind in ("full", "tied"):
        precisions = (precisions + precisions.swapaxes(-1, -2)) / 2
    return {
        "n_components": 2,
        "covariance_type": kind,
        "weights_init": [0.4, 0.6],
        "means_init": [X[z == c].mean(axis=0) for c in (0, 1)],
        "precisions_init": precisions / scale / scale,
        "reg_covar": 0,
    }


def dense_factors(model):
    k, d = model.means_.shape
    U = np.asarray(model.precisions_cholesky_, dtype=float)
    return {
        "full": lambda: U,
        "tied": lambda: [U] * k,
        "diag": lambda: [np.diag(u) for u in U],
        "spherical": lambda: [u * np.eye(d) for u in U],
    }[model.covariance_type]()


def errors(X, z, kind, copies):
    """Return the relative errors of one step from the start, and of the densities of the model that it gives.

    Copies of the rows change nothing but fill several blocks.
    """
    start = start_of(X, z, kind)
    before = GaussianMixture(**start, max_iter=0).fit(X.astype(float))
    log_p, r = reference_densities(X, before.weights_, before.means_, dense_factors(before))
    weights, means, covariances = reference_step(X, r, kind)

    rows = np.tile(X, (copies, 1))
    after = GaussianMixture(**start, max_iter=1, tol=0).fit(rows)
    assert after.events_ == []
    eps = np.finfo(np.float32 if X.dtype == np.float32 else np.float64).eps
    spread = np.array([[mp.sqrt(c[j, j]) for j in range(X.shape[1])] for c in covariances])
    # Beyond the rounding of the results to their own dtype, and of the means of blocks that are merged.
    rounding = 2 * eps * np.abs(means)
    merging = eps + (copies > 1) * (0.05 * rounding / spread).max()
    covariance_errors = np.abs(dense_covariances(after) - covariances) / (spread[:, :, None] * spread[:, None, :])
    found = {
        "score": abs(after.lower_bounds_[0] - mean(log_p)) / (1 + mean(map(abs, log_p))),
        "weights": np.abs(after.weights_ - weights).max() - eps,
        "means": ((np.abs(after.means_ - means) - rounding) / spread).max(),
        "covariances": covariance_errors.max() - merging,
    }
    log_p, r = reference_densities(X, after.weights_, after.means_, dense_factors(after))
    densities, probabilities = after.score_samples(rows)[-len(X) :], after.predict_proba(rows)[-len(X) :]
    relative = [abs(a - b) / (1 + abs(b)) for a, b in zip(densities.tolist(), log_p, strict=True)]
    found["score_samples"] = max(relative) - eps
    found["predict_proba"] = max(abs(a - b) for a, b in zip(probabilities.ravel().tolist(), r, strict=True)) - eps
    found["lower_bound"] = abs(after.lower_bound_ - mean(log_p)) / (1 + mean(map(abs, log_p)))
    return {name: float(value) for name, value in found.items()}


def mean(values):
    values = list(values)
    return mp.fsum(values) / len(values)


@pytest.mark.parametrize("copies", [1, 200])
@pytest.mark.parametrize("name", CASES)
def test_a_step_and_its_densities_keep_the_digits_of_the_data(name, covariance_type, copies):
    X, z, allowed = CASES[name]
    found = errors(X, z, covariance_type, copies)
    assert all(error < allowed for error in found.values()), found
