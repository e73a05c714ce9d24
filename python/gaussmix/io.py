"""Model files: fitted estimators in the safetensors layout, which the C++ library reads and writes too.

A file is a list of arrays and a few strings; loading one runs no code. The guide has a table of what it holds.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import stat
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save as serialize
from sklearn.utils.validation import check_is_fitted

from gaussmix._dispatch import core, covariance_shape, covariances

if TYPE_CHECKING:
    from gaussmix._mixture import GaussianMixture

__all__ = ["ModelFileError", "load", "save"]

VERSION = 1
MAX_HEADER = 2**24
MAX_ENTRIES = 1024
DTYPES = {"F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "I64": np.dtype("<i8")}
STARTS = ("weights_init", "means_init", "precisions_init")
CAUSES = ("floored", "reseeded", "abandoned", "failed")


class ModelFileError(ValueError):
    """A file does not hold a model that can be read.

    It is not of this format, of a newer version, damaged, or its numbers are not those of a mixture.
    """


class _Contents(NamedTuple):
    """What a file holds: strings, and arrays by name."""

    metadata: dict[str, str]
    tensors: dict[str, NDArray[Any]]


def save(estimator: GaussianMixture, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator to a file: what :meth:`GaussianMixture.save` does.

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
        If attributes or parameters that were set by hand do not fit together.
    OSError
        If the file cannot be written.
    """
    check_is_fitted(estimator)
    _replace_file(path, _to_bytes(estimator))


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
        return _from_contents(_parse(_read(path)))
    except ModelFileError as error:
        raise ModelFileError(f"Cannot load {os.fspath(path)!r}: {error}") from error.__cause__


def _to_bytes(estimator: GaussianMixture) -> bytes:
    """Return the file of a fitted estimator."""
    estimator._validate_params()
    kind = estimator.covariance_type
    parameters = {
        "weights": estimator.weights_,
        "means": estimator.means_,
        "covariances": covariances(estimator),
        "precisions_cholesky": estimator.precisions_cholesky_,
    }
    dtype = np.result_type(*(_floats(array) for array in parameters.values()))
    tensors = {name: _floats(array, dtype) for name, array in parameters.items()}
    if hasattr(estimator, "precisions_"):
        tensors["precisions"] = _floats(estimator.precisions_, dtype)
    _check(kind, tensors, ValueError)

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
        "feature_names": list(getattr(estimator, "feature_names_in_", [])) or None,
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
    return _ordered(serialize(tensors, metadata))


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


def _integers(rows: list[Any], n_columns: int) -> NDArray[np.int64]:
    return np.array(rows, dtype=np.int64).reshape(-1, n_columns)


def _ordered(file: bytes) -> bytes:
    """Return the file with the strings of its header in order: safetensors writes them in another each time."""
    length = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER:
        raise ValueError("The names of the features take more than 16 MiB, which is more than a model file may hold.")
    return len(text).to_bytes(8, "little") + text + file[8 + length :]


def _replace_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file whole or not at all: a new one beside it, flushed to the disk, takes its place."""
    target = os.path.realpath(os.fspath(path))  # a symbolic link goes on pointing to the file
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(code, os.strerror(code), os.fspath(path))
    folder = os.path.dirname(target)
    fresh = os.path.join(folder, f".gaussmix-{secrets.token_hex(8)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(fresh, flags, 0o666 if mode is None else stat.S_IMODE(mode))
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(fresh, stat.S_IMODE(mode))
        os.replace(fresh, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise
    if os.name == "posix":
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _read(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a file whose size is the one that its header states, and no larger."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ModelFileError("it is not a file.")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(8)
        length = int.from_bytes(head, "little")
        if len(head) < 8 or length > size - 8:
            raise ModelFileError("the file is shorter than its header says.")
        if length > MAX_HEADER:
            raise ModelFileError("the header is longer than 16 MiB.")
        text = file.read(length)
        header = _header(text)
        try:
            end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
            if size != 8 + length + end:
                raise ModelFileError("the file is not as long as its header says.")
        except (KeyError, IndexError, TypeError) as error:
            raise ModelFileError("a tensor lacks its dtype, shape or two data_offsets.") from error
        return head + text + file.read(size - 8 - length)


def _json(text: str | bytes) -> Any:
    """Return what a JSON text says, if no key is there twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a key is there twice")
        return found

    try:
        return json.loads(text if isinstance(text, str) else text.decode(), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"the header is not valid: {error}.") from error


def _header(text: bytes) -> dict[str, Any]:
    """Return a header, a flat object of objects that have the keys of a tensor."""
    header = _json(text)
    if not isinstance(header, dict) or not all(isinstance(entry, dict) for entry in header.values()):
        raise ModelFileError("the header is not of the form that safetensors has.")
    metadata = header.get("__metadata__", {})
    if not all(isinstance(value, str) for value in metadata.values()):
        raise ModelFileError("the metadata are not strings.")
    tensors = [entry for name, entry in header.items() if name != "__metadata__"]
    if max(len(tensors), len(metadata)) > MAX_ENTRIES:
        raise ModelFileError("the header has too many entries.")
    for entry in tensors:
        if set(entry) != {"dtype", "shape", "data_offsets"}:
            raise ModelFileError("a tensor has other keys than dtype, shape and data_offsets.")
        if entry["dtype"] not in DTYPES:
            raise ModelFileError("a tensor has a dtype other than F64, F32 and I64.")
    return header


def _parse(content: bytes) -> _Contents:
    """Return what the bytes of a file hold, as safetensors reads them."""
    if len(content) < 8:
        raise ModelFileError("the file is too short.")
    length = int.from_bytes(content[:8], "little")
    if length > min(len(content) - 8, MAX_HEADER):
        raise ModelFileError("the file is shorter than its header says, or the header is longer than 16 MiB.")
    header = _header(content[8 : 8 + length])
    try:
        tensors = {
            name: np.frombuffer(entry["data"], dtype=DTYPES[entry["dtype"]]).reshape(entry["shape"])
            for name, entry in deserialize(content)
        }
    except (SafetensorError, ValueError) as error:
        raise ModelFileError(f"{error}.") from error
    native = {name: array.astype(array.dtype.newbyteorder("="), copy=False) for name, array in tensors.items()}
    return _Contents(header.get("__metadata__", {}), native)


def _check(kind: str, tensors: dict[str, NDArray[Any]], error: type[ValueError]) -> None:
    """Check that arrays are the parameters of a mixture: dtypes, shapes, values, and each other's inverses."""
    means = tensors["means"]
    if means.ndim != 2 or means.size == 0:
        raise error("means must have a row for each component and a column for each feature.")
    k, d = means.shape
    matrices = covariance_shape(kind, k, d)
    shapes = {"weights": (k,), "means": (k, d), "covariances": matrices, "precisions_cholesky": matrices}
    if "precisions" in tensors:
        shapes["precisions"] = matrices
    for name, shape in shapes.items():
        if tensors[name].shape != shape or tensors[name].dtype != means.dtype:
            raise error(f"{name} must have the shape {shape} and the dtype {means.dtype}.")
    mixture = core.mixtures[kind]
    try:
        mixture.check(*(tensors[name] for name in ("weights", "means", "covariances", "precisions_cholesky")))
    except ValueError as cause:
        raise error(f"the parameters do not fit together: {cause}.") from cause
    if "precisions" in tensors:
        found, factors = tensors["precisions"], tensors["precisions_cholesky"]
        expected = mixture.precisions(factors, k, d).reshape(matrices)
        with np.errstate(over="ignore"):
            tolerance = 16 * d * np.finfo(found.dtype).eps * mixture.precisions(np.abs(factors), k, d).reshape(matrices)
            overflown = found == expected.astype(found.dtype)
        with np.errstate(invalid="ignore"):
            near = np.abs(found - expected) <= tolerance
        if not (near | overflown).all():
            raise error("the parameters do not fit together: precisions must be those of precisions_cholesky.")


def _from_contents(contents: _Contents) -> GaussianMixture:
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
    _check(kind, tensors, ModelFileError)

    record = _json(metadata.get("estimator", '{"params": {}}'))
    k, d = tensors["means"].shape
    try:
        params = {name: value for name, value in record["params"].items() if name in _PARAMS}
        params |= {name: tensors[name] for name in STARTS if name in tensors}
        estimator = GaussianMixture(**({"n_components": k, "covariance_type": kind} | params))
        estimator._validate_params()
        estimator.n_features_in_ = d
        _set_record(estimator, record, tensors)
    except ModelFileError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        raise ModelFileError(f"its record of the estimator is not valid: {error}.") from error
    estimator.weights_ = tensors["weights"]
    estimator.means_ = tensors["means"]
    estimator.covariances_ = tensors["covariances"]
    estimator.precisions_cholesky_ = tensors["precisions_cholesky"]
    precisions = tensors.get("precisions")
    if precisions is None:
        precisions = core.mixtures[kind].precisions(estimator.precisions_cholesky_, k, d).astype(dtype, copy=False)
    estimator.precisions_ = precisions.reshape(covariance_shape(kind, k, d))
    return estimator


def _set_record(estimator: GaussianMixture, record: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
    """Set the attributes that tell how the fit went, and the names of the features."""
    from gaussmix._mixture import FitEvent, FitRestart

    def tensor(name: str, shape: tuple[int, ...], dtype: Any = np.float64) -> NDArray[Any]:
        found = tensors.get(name)
        if found is None:
            return np.full(shape, -np.inf) if shape == () else np.empty(shape, dtype)
        if found.dtype != dtype or found.ndim != len(shape) or found.shape[1:] != shape[1:] or np.isnan(found).any():
            raise ModelFileError(f"its tensor {name} has another shape or dtype, or NaN.")
        return found

    names = record.get("feature_names")
    if names is not None:
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise ModelFileError("the names of its features are not strings.")
        if len(names) != estimator.n_features_in_:
            raise ModelFileError("it has not as many names as features.")
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
    estimator.events_ = [FitEvent(CAUSES[cause], *numbers, bool(kept)) for cause, *numbers, kept in events]
    restarts = tensor("restarts", (0, 3), np.int64)
    bounds = tensor("restart_lower_bounds", (0,))
    if (restarts < 0).any() or (restarts[:, 1:] > 1).any() or sum(restarts[:, 0].tolist()) != len(bounds):
        raise ModelFileError("its restarts are not valid.")
    ends = np.cumsum(restarts[:, 0]).tolist()
    estimator.restarts_ = [
        FitRestart(bounds[end - n : end].tolist(), bool(converged), bool(kept))
        for end, (n, converged, kept) in zip(ends, restarts.tolist(), strict=True)
    ]
