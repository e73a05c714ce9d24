"""What a benchmark knows of a library."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.python.likelihood import Parameters
from bench.python.problems import Array, Problem, Start

# Runs a number of iterations and returns what the library calls a model.
Fit = Callable[[int], Any]

REG_COVAR = 1e-6  # added to the variances, where a library can


@dataclass(frozen=True)
class Peer:
    """A library.

    Attributes
    ----------
    name : str
        Name in the tables.
    module, package : str
        Names to import and to install.
    prepare : callable
        Takes a problem, rows and a start, converts them to what the library reads, and returns the fit.
    parameters : callable
        Takes what a fit returned and returns the parameters.
    types : tuple of str
        Covariance types.
    single : bool
        Whether it computes in float32.
    wide : bool
        Whether it makes arrays of n K d numbers.
    largest : float
        The largest n K d that it is given where covariances are diagonal: mlpack's k-means cannot be cut short there.
    own_start : bool
        Whether it makes a start of its own: then gaussmix follows from what it returns after no iteration.
    ran : callable or None
        Takes what a fit returned and returns its iterations, of a library that may end before it was told to.
    note : str
        What else is not the same, for the tables.
    """

    name: str
    module: str
    package: str
    prepare: Callable[[Problem, Array, Start], Fit]
    parameters: Callable[[Any], Parameters]
    types: tuple[str, ...] = ("full", "tied", "diag", "spherical")
    single: bool = False
    wide: bool = False
    largest: float = float("inf")
    own_start: bool = False
    ran: Callable[[Any], int] | None = None
    note: str = ""

    @property
    def tolerance(self) -> float:
        """Return by how much its mean log-likelihood may differ, in nats a row.

        Libraries add `reg_covar` in different places, or something else; float32 has seven digits.
        """
        return 1e-3 if self.single else 1e-5

    def version(self) -> str | None:
        """Return the installed version, or None."""
        if importlib.util.find_spec(self.module) is None:
            return None
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:  # on the path, but not installed under this name
            return str(getattr(importlib.import_module(self.module), "__version__", "of unknown version"))

    def refuses(self, problem: Problem) -> str | None:
        """Return why it is not asked to solve a problem, or None."""
        if problem.covariance_type not in self.types:
            return f"not asked for {problem.covariance_type} covariances"
        gigabytes = problem.n * problem.d * problem.k * (4 if self.single else 8) / 1e9
        if self.wide and gigabytes > 2:
            return f"makes arrays of n K d numbers, {gigabytes:.0f} GB"
        if problem.covariance_type == "diag" and problem.n * problem.d * problem.k > self.largest:
            return "would spend most of its time in k-means"
        return None
