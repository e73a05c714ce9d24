"""Model files: fitted estimators in the safetensors layout, which the C++ library reads and writes too.

A file is a list of arrays and a few strings; loading one runs no code. The guide has a table of what it holds.
"""

from __future__ import annotations

import json
import os
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._dispatch import FITTED, core, covariance_shape, covariances
from gaussmix._safetensors import Contents, ModelFileError, parse, parse_json, read_file, replace_file, serialize

if TYPE_CHECKING:
    from gaussmix._mixture import GaussianMixture

__all__ = ["ModelFileError", "load", "save"]

VERSION = 1
STARTS = ("weights_init", "means_init", "precisions_init")
CAUSES = ("floored", "reseeded", "abandoned", "failed")


def save(estimator: GaussianMixture, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator to a file: what :meth:`GaussianMixture.save` does.

    Not kept are a `random_state` that is not an int, callbacks, and what `partial_fit` remembers.

    Parameters
    ----------
    estimator : GaussianMixture
        A fitted estimator.
    path : str or path-like
        The file; one that is there is replaced whole, or on an error kept whole.

    Raises
    ------
    NotFittedError
        If there is no model yet.
    ValueError
        If attributes or parameters that were set by hand do not fit together, or are not what a fit gives.
    OSError
        If the file cannot be written.
    """
    estimator._check_fitted()
    replace_file(path, _to_bytes(estimator))


def load(path: str | os.PathLike[str]) -> GaussianMixture:
    """Read a fitted estimator from a file of :meth:`GaussianMixture.save` or of the C++ library.

    The arrays have the bits that were saved, so that predictions are the same. No code of the file is run, and a file
    that is damaged or made to harm gives an error.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    estimator : GaussianMixture
        Ready to predict, sample and, with `warm_start`, go on. A `random_state` that was not an int is None. From a
        file of the C++ library it has default parameters, and has seen no data: `n_iter_` is 0 and `lower_bound_` is
        minus infinity.

    Raises
    ------
    ModelFileError
        If the file does not hold a model that this version understands.
    OSError
        If it cannot be read, or there is none.

    Examples
    --------
    >>> import os, tempfile
    >>> import gaussmix
    >>> gm = gaussmix.GaussianMixture.from_parameters([1.0], [[0.0, 0.0]], [[[1.0, 0.0], [0.0, 1.0]]])
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> gm.save(path)
    >>> gaussmix.load(path).means_
    array([[0., 0.]])
    """
    try:
        return _from_contents(parse(read_file(path)))
    except ModelFileError as error:
        raise ModelFileError(f"Cannot load {os.fspath(path)!r}: {error}") from error.__cause__


def _to_bytes(estimator: GaussianMixture) -> bytes:
    """Return the file of a fitted estimator, which can be read again."""
    estimator._validate_params()
    try:
        contents = _to_contents(estimator)
        _from_contents(contents)
    except (ValueError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"The estimator cannot be saved: {error}") from error
    return serialize(contents.tensors, contents.metadata)


def _to_contents(estimator: GaussianMixture) -> Contents:
    """Return what the file of a fitted estimator holds."""
    kind = estimator.covariance_type
    given = [getattr(estimator, name, None) for name in (*FITTED, "covariances_")]
    dtype = np.result_type(*(_floats(array) for array in given if array is not None))
    tensors = {
        "weights": _floats(estimator.weights_, dtype),
        "means": _floats(estimator.means_, dtype),
        "covariances": _floats(covariances(estimator), dtype),
        "precisions_cholesky": _floats(_upper(estimator.precisions_cholesky_, kind), dtype),
    }
    if hasattr(estimator, "precisions_"):
        tensors["precisions"] = _floats(estimator.precisions_, dtype)

    params = estimator.get_params(deep=False)
    tensors |= {name: _floats(params[name]) for name in STARTS if params[name] is not None}
    restarts = getattr(estimator, "restarts_", [])
    bounds = [bound for restart in restarts for bound in restart.lower_bounds]
    tensors |= {
        "lower_bound": _floats(getattr(estimator, "lower_bound_", -np.inf), np.float64),
        "lower_bounds": _floats(getattr(estimator, "lower_bounds_", []), np.float64),
        "events": _integers([(CAUSES.index(e[0]), *e[1:]) for e in getattr(estimator, "events_", [])], 5),
        "restarts": _integers([(len(r.lower_bounds), r.converged, r.kept) for r in restarts], 3),
        "restart_lower_bounds": _floats(bounds, np.float64),
    }
    record = {
        "params": {name: _plain(params[name]) for name in _PARAMS},
        "converged": bool(getattr(estimator, "converged_", False)),
        "n_iter": int(getattr(estimator, "n_iter_", 0)),
    }
    metadata = {
        "format": "gaussmix",
        "version": str(VERSION),
        "covariance_type": kind,
        "dtype": dtype.name,
        "estimator": json.dumps(record, sort_keys=True),
    }
    if hasattr(estimator, "feature_names_in_"):
        metadata["feature_names"] = json.dumps(list(estimator.feature_names_in_))
    return Contents(metadata, tensors)


_PARAMS = (
    "n_components",
    "tol",
    "reg_covar",
    "max_iter",
    "n_init",
    "init_params",
    "random_state",
    "warm_start",
    "verbose",
    "verbose_interval",
    "n_threads",
    "step_offset",
    "step_power",
    "step_floor",
)


def _plain(value: Any) -> Any:
    """Return a parameter as JSON has it; what JSON has not (a RandomState) is not kept."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else None


def _floats(array: Any, dtype: Any = None) -> NDArray[Any]:
    """Return a contiguous array of `dtype`, or of its own where that is float32 and else of float64."""
    array = np.asarray(array)
    if dtype is None:
        dtype = np.float32 if array.dtype == np.float32 else np.float64
    return np.array(array, dtype=dtype, order="C")


def _upper(values: Any, kind: str) -> NDArray[Any]:
    """Return factors U of P = U U^T as upper triangular ones: set by hand they may be lower triangular.

    With J the reversal of the rows and (J F)^T = Q R, P = F F^T = (J R^T J) (J R^T J)^T.
    """
    factors: NDArray[Any] = np.asarray(values)
    if kind not in ("full", "tied") or factors.ndim < 2 or not np.tril(factors, -1).any():
        return factors
    reversed_upper = np.linalg.qr(np.swapaxes(factors[..., ::-1, :], -1, -2).astype(np.float64), mode="r")
    upper: NDArray[Any] = np.swapaxes(reversed_upper, -1, -2)[..., ::-1, ::-1].copy()
    upper *= np.sign(np.diagonal(upper, axis1=-2, axis2=-1))[..., np.newaxis, :]
    return upper


def _integers(rows: list[Any], n_columns: int) -> NDArray[np.int64]:
    return np.array(rows, dtype=np.int64).reshape(-1, n_columns)


def _check(kind: str, tensors: dict[str, NDArray[Any]]) -> None:
    """Check that arrays are the parameters of a mixture: dtypes, shapes, values, and each other's inverses."""
    means = tensors["means"]
    if means.ndim != 2 or means.size == 0:
        raise ModelFileError("means must have a row for each component and a column for each feature.")
    k, d = means.shape
    matrices = covariance_shape(kind, k, d)
    shapes = {"weights": (k,), "means": (k, d), "covariances": matrices, "precisions_cholesky": matrices}
    if "precisions" in tensors:
        shapes["precisions"] = matrices
    for name, shape in shapes.items():
        if tensors[name].shape != shape or tensors[name].dtype != means.dtype:
            raise ModelFileError(f"{name} must have the shape {shape} and the dtype {means.dtype}.")
    mixture = core.mixtures[kind]
    try:
        mixture.check(*(tensors[name] for name in ("weights", "means", "covariances", "precisions_cholesky")))
    except ValueError as cause:
        raise ModelFileError(f"the parameters do not fit together: {cause}.") from cause
    if "precisions" in tensors:
        found, factors = tensors["precisions"], tensors["precisions_cholesky"]
        expected = mixture.precisions(factors, k, d).reshape(matrices)
        with np.errstate(over="ignore"):
            tolerance = 16 * d * np.finfo(found.dtype).eps * mixture.precisions(np.abs(factors), k, d).reshape(matrices)
            overflown = found == expected.astype(found.dtype)
        with np.errstate(invalid="ignore"):
            near = np.abs(found - expected) <= tolerance
        if not (near | overflown).all():
            raise ModelFileError("the parameters do not fit together: precisions must be those of precisions_cholesky.")


def _from_contents(contents: Contents) -> GaussianMixture:
    """Return the estimator that a file holds."""
    from gaussmix._mixture import GaussianMixture

    metadata, tensors = contents
    if metadata.get("format") != "gaussmix":
        raise ModelFileError("it is not a model of gaussmix.")
    if metadata.get("version") != str(VERSION):
        raise ModelFileError(
            f"it has version {metadata.get('version')!r} of the format, and this gaussmix reads version {VERSION}."
        )
    kind, dtype = metadata.get("covariance_type"), metadata.get("dtype")
    if kind not in core.mixtures:
        raise ModelFileError("covariance_type must be 'full', 'tied', 'diag' or 'spherical'.")
    for name in ("weights", "means", "covariances", "precisions_cholesky"):
        if name not in tensors:
            raise ModelFileError(f"it has no tensor {name}.")
    if dtype not in ("float64", "float32") or tensors["means"].dtype != dtype:
        raise ModelFileError("its dtype is not that of its tensors.")
    _check(kind, tensors)

    record = parse_json(metadata.get("estimator", '{"params": {}}'))
    k, d = tensors["means"].shape
    try:
        params = {name: value for name, value in record["params"].items() if name in _PARAMS}
        params |= {name: tensors[name] for name in STARTS if name in tensors}
        estimator = GaussianMixture(**({"n_components": k, "covariance_type": kind} | params))
        estimator._validate_params()
        estimator.n_features_in_ = d
        _set_record(estimator, record, metadata.get("feature_names"), tensors)
    except ModelFileError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        raise ModelFileError(f"its record of the estimator is not valid: {error}.") from error
    estimator.weights_ = tensors["weights"]
    estimator.means_ = tensors["means"]
    estimator.covariances_ = tensors["covariances"]
    estimator.precisions_cholesky_ = tensors["precisions_cholesky"]
    estimator._added = estimator.reg_covar if estimator.n_iter_ > 0 else 0.0  # a model of given parameters has none
    precisions = tensors.get("precisions")
    if precisions is None:
        precisions = core.mixtures[kind].precisions(estimator.precisions_cholesky_, k, d).astype(dtype, copy=False)
    estimator.precisions_ = precisions.reshape(covariance_shape(kind, k, d))
    return estimator


def _set_record(
    estimator: GaussianMixture, record: dict[str, Any], names_text: str | None, tensors: dict[str, NDArray[Any]]
) -> None:
    """Set the attributes that tell how the fit went, and the names of the features."""
    from gaussmix._mixture import FitEvent, FitRestart

    def tensor(name: str, shape: tuple[int, ...], dtype: Any = np.float64) -> NDArray[Any]:
        found = tensors.get(name)
        if found is None:
            return np.full(shape, -np.inf) if shape == () else np.empty(shape, dtype)
        if found.dtype != dtype or found.ndim != len(shape) or found.shape[1:] != shape[1:] or np.isnan(found).any():
            raise ModelFileError(f"its tensor {name} has another shape or dtype, or NaN.")
        return found

    if names_text is not None:
        names = parse_json(names_text, more=2 * estimator.n_features_in_)
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise ModelFileError("the names of its features are not strings.")
        if len(names) != estimator.n_features_in_:
            raise ModelFileError("it has not as many names as features.")
        for name in names:
            name.encode()  # half a surrogate pair is no text, and no other reader has it
        estimator.feature_names_in_ = np.array(names, dtype=object)
    converged, n_iter = record.get("converged", False), record.get("n_iter", 0)
    if not isinstance(converged, bool) or not isinstance(n_iter, int) or isinstance(n_iter, bool) or n_iter < 0:
        raise ModelFileError("its record of the fit is not valid.")
    estimator.converged_ = converged
    estimator.n_iter_ = n_iter
    estimator.lower_bound_ = float(tensor("lower_bound", ()))
    estimator.lower_bounds_ = tensor("lower_bounds", (0,)).tolist()
    events = tensor("events", (0, 5), np.int64).tolist()
    if any(cause not in range(len(CAUSES)) or kept not in (0, 1) for cause, *_, kept in events):
        raise ModelFileError("its events are not valid.")
    estimator.events_ = [
        FitEvent(CAUSES[cause], component, restart, iteration, bool(kept))
        for cause, component, restart, iteration, kept in events
    ]
    restarts = tensor("restarts", (0, 3), np.int64)
    bounds = tensor("restart_lower_bounds", (0,))
    if (restarts < 0).any() or (restarts[:, 1:] > 1).any() or sum(restarts[:, 0].tolist()) != len(bounds):
        raise ModelFileError("its restarts are not valid.")
    ends = np.cumsum(restarts[:, 0]).tolist()
    estimator.restarts_ = [
        FitRestart(bounds[end - n : end].tolist(), bool(converged), bool(kept))
        for end, (n, converged, kept) in zip(ends, restarts.tolist(), strict=True)
    ]
