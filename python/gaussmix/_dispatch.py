"""The way to the compiled core: which instruction set, how many threads, and models from fitted arrays."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from numpy.typing import NDArray

from gaussmix import _cpu

if TYPE_CHECKING:
    from gaussmix import _core as core

__all__ = [
    "FITTED",
    "core",
    "covariance_shape",
    "covariances",
    "full_model",
    "isa",
    "model",
    "show_config",
    "threads",
    "threads_at_most",
]


def _choose_isa() -> str:
    """Return the instruction set that GAUSSMIX_ISA names, or else the widest that is built and supported."""
    supported = _cpu.supported()
    asked = os.environ.get("GAUSSMIX_ISA")
    if asked:
        if asked not in supported:
            raise ImportError(f"GAUSSMIX_ISA={asked!r}, but this processor supports only {supported}.")
        return asked
    for isa in reversed(supported):
        if importlib.util.find_spec(f"gaussmix._core_{isa}"):
            return isa
    raise ImportError("The compiled core of gaussmix is missing; reinstall the package.")


isa = _choose_isa()
if not TYPE_CHECKING:
    core = importlib.import_module(f"gaussmix._core_{isa}")


def show_config() -> None:
    """Print the version of gaussmix, the instruction set in use, compiler, Eigen, OpenMP and number of threads."""
    rows = {"instruction set": f"{isa} (of {', '.join(_cpu.supported())})", "threads": threads(None), **core.config}
    for name, value in rows.items():
        print(f"{name:>16}: {value}")


@functools.cache
def _cpu_count() -> int:
    """Processors that this process may use, by affinity and cgroup quota."""
    return int(joblib.cpu_count())


_limit: ContextVar[int | None] = ContextVar("_limit", default=None)


@contextmanager
def threads_at_most(limit: int) -> Iterator[None]:
    """Share a process: within, a call takes at most so many threads, and as many where it is not told a number."""
    token = _limit.set(limit)
    try:
        yield
    finally:
        _limit.reset(token)


def threads(n_threads: int | None) -> int:
    """Return the number of threads to use.

    None means what OpenMP means (OMP_NUM_THREADS, threadpoolctl), at most the processors that the process may
    use; -1 means all of these. Within `threads_at_most` both mean its limit.
    """
    limit = _limit.get()
    if limit is not None:
        return limit if n_threads is None or n_threads == -1 else min(int(n_threads), limit)
    if n_threads is None:
        default = core.default_threads()
        return default if "OMP_NUM_THREADS" in os.environ else min(default, _cpu_count())
    return _cpu_count() if n_threads == -1 else min(int(n_threads), 2**31 - 1)


def covariance_shape(covariance_type: str, n_components: int, n_features: int) -> tuple[int, ...]:
    """Return the shape that scikit-learn gives covariances and precisions of a type."""
    k, d = n_components, n_features
    shapes = {"full": (k, d, d), "tied": (d, d), "diag": (k, d), "spherical": (k,)}
    if covariance_type not in shapes:
        raise ValueError(f"covariance_type must be one of {list(shapes)}, but got {covariance_type!r}.")
    return shapes[covariance_type]


def n_parameters(covariance_type: str, n_components: int, n_features: int) -> int:
    """Return the number of free parameters of a mixture."""
    k, d = n_components, n_features
    matrix = d * (d + 1) // 2
    return k * (d + 1) - 1 + {"full": k * matrix, "tied": matrix, "diag": k * d, "spherical": k}[covariance_type]


FITTED = ("weights_", "means_", "precisions_cholesky_")
_models: weakref.WeakKeyDictionary[Any, tuple[str, list[NDArray[Any]], core.Mixture]] = weakref.WeakKeyDictionary()


def model(estimator: Any) -> core.Mixture:
    """Return the compiled model of an estimator's fitted arrays, made anew whenever these have changed."""
    arrays = [np.asarray(getattr(estimator, name)) for name in FITTED]
    known = _models.get(estimator)
    if (
        known is not None
        and known[0] == estimator.covariance_type
        and all(np.array_equal(a, b) for a, b in zip(arrays, known[1], strict=True))
    ):
        return known[2]
    _check_shapes(estimator, "precisions_cholesky_", arrays[2])
    # Densities do not use covariances: the factors stand in, and nothing has to be inverted.
    made = core.mixtures[estimator.covariance_type](arrays[0], arrays[1], arrays[2], arrays[2])
    _models[estimator] = (estimator.covariance_type, [a.copy() for a in arrays], made)
    return made


def _check_shapes(estimator: Any, name: str, matrices: NDArray[Any]) -> None:
    """Check that an estimator's arrays are those of its covariance type, which may have been set since."""
    means, kind = np.asarray(estimator.means_), estimator.covariance_type
    if means.ndim != 2:
        raise ValueError(f"means_ must have the shape (n_components, n_features), but has {means.shape}.")
    expected = covariance_shape(kind, *means.shape)
    if matrices.shape != expected:
        raise ValueError(
            f"{name} must have the shape {expected} for covariance_type={kind!r} and means_ of shape {means.shape}, "
            f"but has {matrices.shape}; after a change of covariance_type fit again."
        )


def covariances(estimator: Any) -> NDArray[Any]:
    """Return an estimator's `covariances_`, or those of its factors, in double, if it has none."""
    known = getattr(estimator, "covariances_", None)
    if known is not None:
        _check_shapes(estimator, "covariances_", np.asarray(known))
        return np.asarray(known)
    kind, (k, d) = estimator.covariance_type, np.asarray(estimator.means_).shape
    found = core.mixtures[kind].covariances(np.asarray(estimator.precisions_cholesky_), k, d)
    return found.reshape(covariance_shape(kind, k, d))


def full_model(estimator: Any) -> core.Mixture:
    """Return the compiled model of an estimator with its covariances, which a fit can go on from."""
    weights, means, factors = (np.asarray(getattr(estimator, name)) for name in FITTED)
    return core.mixtures[estimator.covariance_type](weights, means, covariances(estimator), factors)
