"""All results of a run, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from bench.python.calls import CallTiming
from bench.python.clusters import Cluster
from bench.python.iterations import Comparison
from bench.python.memory import Memory
from bench.python.scaling import Growth, Precision, Threads
from bench.python.seeds import SeedComparison
from bench.python.streams import StreamComparison


@dataclass
class Results:
    """What a run found; GFLOP/s of NumPy's DGEMM before and after it."""

    machine: dict[str, Any]
    dgemm_before: list[float]
    dgemm_after: list[float] = field(default_factory=list)
    minutes: float = 0.0
    iterations: list[Comparison] = field(default_factory=list)
    calls: list[CallTiming] = field(default_factory=list)
    seeds: list[SeedComparison] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    threads: list[Threads] = field(default_factory=list)
    growth: list[Growth] = field(default_factory=list)
    precision: list[Precision] = field(default_factory=list)
    streams: list[StreamComparison] = field(default_factory=list)
    clusters: list[Cluster] = field(default_factory=list)

    @property
    def dgemm(self) -> list[float]:
        """Return all measurements of DGEMM."""
        return self.dgemm_before + self.dgemm_after

    def as_dict(self) -> dict[str, Any]:
        """Return what json.dump takes."""
        return asdict(self)
