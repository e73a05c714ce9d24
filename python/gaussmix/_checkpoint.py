"""The course of a fit in a model file: what a fit of rows in blocks goes on from after it was broken off.

A checkpoint is a file as :func:`gaussmix.load` reads it, of the best model of the restarts that have ended, or of the
first one under way. Beside it stands what the rest of the fit depends on: the seed, which is all that there is to the
generators of random numbers, as these are counters; the model that EM goes on from; and what each restart has seen and
repaired. Like any file it is not trusted.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._course import Course, Restart
from gaussmix._dispatch import covariance_shape
from gaussmix._mixture import GaussianMixture
from gaussmix._passes import Parameters
from gaussmix._safetensors import Contents, ModelFileError, parse, parse_json, read_file, replace_file, serialize
from gaussmix.io import CAUSES, _check, _from_contents, _to_bytes

__all__ = ["check_writable", "read_course", "refusing", "write_course"]


@contextlib.contextmanager
def refusing(path: str | os.PathLike[str] | None) -> Iterator[None]:
    """Name the checkpoint, and what to do, in the ValueError of a fit that cannot go on from it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(
            f"Cannot go on from {os.fspath(path or '')!r}: {error} Delete it, or begin anew with resume=False."
        ) from error.__cause__


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check that a checkpoint can be written: when a fit has run for a day it is late to find out.

    Raises
    ------
    OSError
        If it cannot.
    """
    target = os.path.realpath(os.fspath(path))
    try:
        if os.path.isdir(target):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.NamedTemporaryFile(prefix=".gaussmix-", suffix=".tmp", dir=os.path.dirname(target)):
            pass
    except OSError as error:
        raise OSError(error.errno, f"checkpoint cannot be written: {error.strerror}", os.fspath(path)) from error


def write_course(path: str | os.PathLike[str], estimator: GaussianMixture, course: Course) -> None:
    """Write a checkpoint, whole or not at all.

    Parameters
    ----------
    path : path
        The file.
    estimator : GaussianMixture
        With the model so far as its attributes.
    course : Course
        The rest.

    Raises
    ------
    OSError
        If the file cannot be written.
    ValueError
        If a file cannot hold it.
    """
    metadata, tensors = parse(_to_bytes(estimator))
    # The bounds are among the tensors of the model: there may be too many for a header.
    kept = [name for name in Restart.__dataclass_fields__ if name not in ("parameters", "bounds")]
    record = [{name: getattr(restart, name) for name in kept} for restart in course.restarts]
    metadata["checkpoint"] = json.dumps(vars(course) | {"restarts": record})
    for number, restart in enumerate(course.restarts):
        if restart.parameters is not None:
            kind, *arrays = restart.parameters
            shape = covariance_shape(kind, *restart.parameters.means.shape)
            for name, array in zip(Parameters._fields[1:], arrays, strict=True):
                shaped = array.reshape(shape) if name in ("covariances", "precisions_cholesky") else array
                tensors[f"restart.{number}.{name}"] = np.ascontiguousarray(shaped)
    metadata["sha256"] = _digest(metadata, tensors)
    replace_file(path, serialize(tensors, metadata))


def read_course(path: str | os.PathLike[str]) -> Course:
    """Read a checkpoint.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    course : Course
        What the fit goes on from.

    Raises
    ------
    ModelFileError
        If the file is not a checkpoint, or damaged; the message says what is wrong.
    OSError
        If it cannot be read.
    """
    try:
        return _from_checkpoint(parse(read_file(path)))
    except ModelFileError as error:
        raise ModelFileError(f"Cannot go on from {os.fspath(path)!r}: {error}") from error.__cause__


def _digest(metadata: dict[str, str], tensors: dict[str, NDArray[Any]]) -> str:
    """Return what tells a checkpoint from a damaged one."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, array in sorted(tensors.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def _from_checkpoint(contents: Contents) -> Course:
    """Return what the fit goes on from, after all that can be wrong with it has been checked."""
    metadata, tensors = contents
    estimator = _from_contents(contents)
    if "checkpoint" not in metadata:
        raise ModelFileError("it is a model, but not a checkpoint.")
    digest = metadata.pop("sha256", "")
    if digest != _digest(metadata, tensors):
        raise ModelFileError("it is damaged: its sha256 is not that of its contents.")
    record, kind = parse_json(metadata["checkpoint"], more=2**20), metadata["covariance_type"]
    try:
        course = Course(**record | {"restarts": []})
        for number, (fields, told) in enumerate(zip(record["restarts"], estimator.restarts_, strict=True)):
            fields = fields | {"bounds": told.lower_bounds}
            parameters = _parameters(kind, tensors, f"restart.{number}.", tensors["means"].shape)
            course.restarts.append(_restart(fields, parameters, kind, len(tensors["weights"])))
        _check_record(course, kind, len(tensors["weights"]))
    except ModelFileError:
        raise
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise ModelFileError(f"its record of the fit is not valid: {error}.") from error
    return course


def _check_record(course: Course, kind: str, k: int) -> None:
    """Check what is not of one restart."""
    if not (_is_count(course.seed, 2**64) and isinstance(course.rows, str) and course.rows):
        raise ModelFileError("its seed or rows are not valid.")
    if not isinstance(course.computed_by, str):
        raise ModelFileError("its record of what computed it is not valid.")
    settings = course.settings
    counts = all(_is_count(settings.get(name), math.inf) for name in ("max_iter", "n_init"))
    if not counts or settings.get("covariance_type") != kind or settings.get("n_components") != k:
        raise ModelFileError("its settings are not valid, or not those of its model.")
    best = course.best()
    if any(not restart.ended for restart in course.restarts[:-1]) or (best is not None and best.parameters is None):
        raise ModelFileError("a restart lacks its end or its model.")


def _parameters(kind: str, tensors: dict[str, NDArray[Any]], prefix: str, shape: tuple[int, ...]) -> Parameters | None:
    """Return the checked model of a restart, None if there is none."""
    found = {name: tensors[prefix + name] for name in Parameters._fields[1:] if prefix + name in tensors}
    if not found:
        return None
    if len(found) < len(Parameters._fields) - 1 or found["means"].shape != shape or found["means"].dtype != np.float64:
        raise ModelFileError(f"a tensor {prefix}* is missing, or has another shape or dtype.")
    _check(kind, found)
    return Parameters(kind, **found)


def _restart(fields: dict[str, Any], parameters: Parameters | None, kind: str, k: int) -> Restart:
    """Return a restart of a record after a check: the core trusts the state that it is given."""
    iterations, reseeds, floored, events = fields["state"]
    restart = Restart(parameters, **fields | {"state": (iterations, reseeds, floored, [tuple(e) for e in events])})
    matrices = 1 if kind == "tied" else k
    has_model = parameters is not None
    valid = (
        all(isinstance(found, list) for found in (restart.bounds, floored))
        and all(isinstance(flag, bool) for flag in (restart.converged, restart.ended, restart.failed))
        and all(isinstance(bound, float) and math.isfinite(bound) for bound in restart.bounds)
        and all(isinstance(b, float) and b < math.inf for b in (restart.previous_bound, restart.lower_bound))
        and (_is_count(iterations) and iterations == len(restart.bounds) and _is_count(reseeds))
        and all(_is_count(matrix, matrices) for matrix in floored)
        and all(
            cause in CAUSES
            and _is_count(component + 1, k + 1)
            and _is_count(number)
            and _is_count(at)
            and isinstance(kept, bool)
            for cause, component, number, at, kept in events
        )
        and (has_model or restart.ended)
        and not (restart.failed and (has_model or not restart.ended))
    )
    if not valid:
        raise ModelFileError("its record of a restart is not valid.")
    return restart


def _is_count(value: Any, end: float = 2**31) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < end
