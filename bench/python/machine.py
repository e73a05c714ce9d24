"""The machine and its versions, and how fast NumPy multiplies matrices on it."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from bench.python.peers import PEERS
from bench.python.timing import seconds
from gaussmix import _dispatch


def processor() -> str:
    """Return the name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def blas() -> str:
    """Return the library by which NumPy multiplies matrices, and the processor that it takes this one for."""
    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    libraries.sort(key=lambda library: "numpy" not in library["filepath"])  # SciPy has its own
    if not libraries:
        return "an unknown BLAS"
    first = libraries[0]
    kernels = first.get("architecture")
    return f"{first['internal_api']} {first['version']}" + (f" with kernels of {kernels}" if kernels else "")


def describe() -> dict[str, Any]:
    """Return what a reader of the times wants to know."""
    return {
        "processor": processor(),
        "cores": cores(),
        "threads": _dispatch.threads(None),
        "system": f"{platform.system()} {platform.machine()}",
        "instruction set": _dispatch.isa,
        "compiler": _dispatch.core.config["compiler"],
        "BLAS": blas(),
        "versions": {
            "Python": platform.python_version(),
            "NumPy": version("numpy"),
            **{peer.name: peer.version() or "not installed" for peer in PEERS},
        },
        "notes": {peer.name: peer.note for peer in PEERS if peer.note},
    }


def dgemm(size: int = 2048, repeats: int = 7) -> list[float]:
    """Return the GFLOP/s of NumPy's product of two square matrices, one number a repeat."""
    a = np.random.default_rng(0).normal(size=(size, size))
    a @ a
    return [2 * size**3 / seconds(lambda: a @ a) / 1e9 for _ in range(repeats)]
