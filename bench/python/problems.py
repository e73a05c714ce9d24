"""The problems: rows from a fixed generator or real ones, and an explicit start, the same for every library."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_sample_images
from sklearn.decomposition import PCA

Array = NDArray[np.float64]

SPREADS = {"overlapping": 0.5, "apart": 4.0}  # of the means, in deviations a feature


class Start(NamedTuple):
    """Weights and means of the start; its covariances are diagonal and the same for all components."""

    weights: Array
    means: Array
    variances: Array

    def covariances(self, covariance_type: str) -> Array:
        """Return the covariances, in scikit-learn's shape for a type."""
        k = len(self.weights)
        if covariance_type == "full":
            return np.stack([np.diag(self.variances)] * k)
        if covariance_type == "tied":
            return np.diag(self.variances)
        if covariance_type == "diag":
            return np.stack([self.variances] * k)
        return np.full(k, self.variances.mean())

    def precisions(self, covariance_type: str) -> Array:
        """Return their inverses, in the same shape."""
        inverse = 1 / self.variances if covariance_type != "spherical" else np.full(1, 1 / self.variances.mean())
        return self._replace(variances=inverse).covariances(covariance_type)


class Problem(NamedTuple):
    """Rows and an explicit start.

    The real ones are scikit-learn's: digits (41 whitened principal components), breast cancer (standardised), the
    pixels of a photograph, and its patches of 8 x 8.

    Attributes
    ----------
    n, d, k : int
        Rows, features, components.
    covariance_type : {"full", "tied", "diag", "spherical"}
        Their covariances.
    data : str
        "overlapping" or "apart" for drawn rows, or a real data set.
    """

    n: int
    d: int
    k: int
    covariance_type: str = "full"
    data: str = "overlapping"

    @property
    def name(self) -> str:
        """Return a short name; rows overlap where it does not say anything else."""
        data = "" if self.data == "overlapping" else f", {self.data}"
        return f"{self.n:,} x {self.d}, K={self.k}, {self.covariance_type}{data}"

    def rows(self) -> Array:
        """Return the rows: components of unit variance, or the real ones."""
        if self.data not in SPREADS:
            return REAL[self.data]()[: self.n]
        rng, means = self._generator()
        rows = means[rng.integers(self.k, size=self.n)]
        rows += rng.normal(size=(self.n, self.d))
        return rows

    def start(self, X: Array) -> Start:
        """Return the start: the true means and unit covariances; for real rows, some of them and their variances."""
        weights = np.full(self.k, 1 / self.k)
        if self.data in SPREADS:
            return Start(weights, self._generator()[1], np.ones(self.d))
        chosen = np.random.default_rng(0).choice(len(X), self.k, replace=False)
        return Start(weights, X[chosen], X.var(axis=0))

    def _generator(self) -> tuple[np.random.Generator, Array]:
        rng = np.random.default_rng(0)
        return rng, rng.normal(size=(self.k, self.d)) * SPREADS[self.data]


def _digits() -> Array:
    rows = PCA(0.99, whiten=True, random_state=0).fit_transform(load_digits().data)
    return np.ascontiguousarray(rows, dtype=np.float64)


def _breast_cancer() -> Array:
    rows = load_breast_cancer().data
    return np.asarray((rows - rows.mean(axis=0)) / rows.std(axis=0))


def _photograph() -> Array:
    """Return a colour photograph in levels of 0 to 256, each spread over its width: no two pixels are the same."""
    levels = load_sample_images().images[0]
    return np.asarray(levels + np.random.default_rng(0).random(levels.shape))


def _pixels() -> Array:
    return _photograph().reshape(-1, 3)


def _patches() -> Array:
    """Return 8 x 8 patches of its grey levels, in a drawn order: smooth, so ill-conditioned."""
    windows = np.lib.stride_tricks.sliding_window_view(_photograph().mean(axis=2), (8, 8))
    order = np.random.default_rng(0).permutation(windows.shape[0] * windows.shape[1])[:PATCHES]
    rows, columns = np.divmod(order, windows.shape[1])
    return np.ascontiguousarray(windows[rows, columns].reshape(-1, 64))


def _small_patches() -> Array:
    """Return all 3 x 3 patches of each colour of two photographs, of levels spread over their width."""
    images = load_sample_images().images
    levels = [image + np.random.default_rng(i).random(image.shape) for i, image in enumerate(images)]
    windows = [np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(0, 1)) for image in levels]
    return np.concatenate([window.reshape(-1, 9) for window in windows])


PATCHES = 50_000
REAL = {
    "digits": _digits,
    "breast cancer": _breast_cancer,
    "pixels": _pixels,
    "patches": _patches,
    "small patches": _small_patches,
}
