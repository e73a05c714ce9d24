"""Where a fit is, in a model file: what a fit of rows in blocks goes on from after it was broken off.

A checkpoint is a file as :func:`gaussmix.load` reads it, of the best model of the restarts that have ended, or of the
first one under way. Beside it stands what the rest of the fit depends on: the seed, which is all that there is to the
generators of random numbers, as these are counters; the model that EM goes on from; and what each restart has seen and
repaired.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gaussmix._mixture import GaussianMixture
from gaussmix._passes import Parameters
from gaussmix._safetensors import ModelFileError, parse, parse_json, read_file, replace_file, serialize
from gaussmix.io import _to_bytes

__all__ = ["Course", "Restart", "read_course", "write_course"]

# iterations, moved components, floored covariances, events: as the core's `fit_passes` takes and gives them
State = tuple[int, int, list[int], list[tuple[str, int, int, int, bool]]]


@dataclass
class Restart:
    """One start of a fit, and how EM has gone from there.

    Attributes
    ----------
    parameters : Parameters or None
        The model; None if the restart failed, or ended with a worse one than another.
    bounds : list of float
        Mean log-likelihood before each M-step.
    previous_bound : float
        The one that the next is compared with; minus infinity after a component was moved.
    converged, ended, failed : bool
        Whether the last change was below `tol`; whether it is done; whether it ended without a model.
    lower_bound : float
        Mean log-likelihood of the model, once it has ended.
    state : tuple
        What the core goes on from.
    """

    parameters: Parameters | None = None
    bounds: list[float] = field(default_factory=list)
    previous_bound: float = -np.inf
    converged: bool = False
    ended: bool = False
    failed: bool = False
    lower_bound: float = -np.inf
    state: State = (0, 0, [], [])

    @property
    def iterations(self) -> int:
        """Iterations so far."""
        return len(self.bounds)

    def rank(self) -> tuple[bool, float]:
        """Return what restarts are compared by: without floored covariances first, then by likelihood."""
        return not any(event[0] == "floored" for event in self.state[3]), self.lower_bound


@dataclass
class Course:
    """All that the rest of a fit depends on, beside the rows and the parameters of the estimator.

    Attributes
    ----------
    seed : int
        Of all random numbers.
    digest : str
        Tells this fit from those with other rows or parameters.
    restarts : list of Restart
        Those that have begun.
    """

    seed: int
    digest: str
    restarts: list[Restart] = field(default_factory=list)

    def best(self) -> Restart | None:
        """Return the best of those that have ended, the first among equals; None if there is none."""
        ended = [restart for restart in self.restarts if restart.ended and not restart.failed]
        return max(ended, key=Restart.rank, default=None)

    def forget_all_but_the_best(self) -> None:
        """Drop the models that no one will ask for."""
        best = self.best()
        for restart in self.restarts:
            if restart.ended and restart is not best:
                restart.parameters = None


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
    """
    metadata, tensors = parse(_to_bytes(estimator))
    record = [{name: value for name, value in vars(r).items() if name != "parameters"} for r in course.restarts]
    metadata["checkpoint"] = json.dumps({"seed": course.seed, "digest": course.digest, "restarts": record})
    # The parameters are those that the fit goes on from, whatever dtype the estimator shows.
    for number, restart in enumerate(course.restarts):
        if restart.parameters is not None:
            for name, array in zip(Parameters._fields[1:], restart.parameters[1:], strict=True):
                tensors[f"restart.{number}.{name}"] = np.ascontiguousarray(array)
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
        If the file is not a checkpoint.
    OSError
        If it cannot be read.
    """
    try:
        metadata, tensors = parse(read_file(path))
        record = parse_json(metadata["checkpoint"])
        kind = metadata["covariance_type"]
        course = Course(int(record["seed"]), str(record["digest"]))
        for number, fields in enumerate(record["restarts"]):
            names = [f"restart.{number}.{name}" for name in Parameters._fields[1:]]
            parameters = Parameters(kind, *(tensors[name] for name in names)) if names[0] in tensors else None
            course.restarts.append(Restart(parameters, **fields | {"state": _state(fields["state"])}))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"Cannot go on from {os.fspath(path)!r}: it is not a checkpoint.") from error
    return course


def _state(fields: Any) -> State:
    iterations, reseeds, floored, events = fields
    return iterations, reseeds, floored, [tuple(event) for event in events]
