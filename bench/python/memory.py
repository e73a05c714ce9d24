"""The memory that two iterations take above the rows, each library in a process of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.python.peers import PEERS, installed
from bench.python.problems import Problem


@dataclass(frozen=True)
class Memory:
    """Megabytes above the rows for each library, or why there are none."""

    problem: str
    rows_megabytes: float
    megabytes: dict[str, float]
    reasons: dict[str, str]


def peak() -> float:
    """Return the most memory that this process has held, in MB.

    getrusage would also count what the process that started this one held.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes


def forget_peak() -> None:
    """Let the peak begin at what is held now, where the system can: importing a library has one of its own."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def compare_memory(problem: Problem, names: tuple[str, ...] = ()) -> Memory:
    """Measure the libraries of these names, or all."""
    megabytes, reasons = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.npy"
        np.save(rows, problem.rows())
        for peer in installed():
            if names and peer.name not in names:
                continue
            refusal = peer.refuses(problem)
            if refusal:
                reasons[peer.name] = refusal
                continue
            arguments = [peer.name, json.dumps(problem), str(rows)]
            command = [sys.executable, "-m", "bench.python.memory", *arguments]
            try:
                done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
                megabytes[peer.name] = float(done.stdout.splitlines()[-1])
            except subprocess.TimeoutExpired:
                reasons[peer.name] = "too slow: more than 300 s"
            except subprocess.CalledProcessError as error:
                reasons[peer.name] = f"fails: {(error.stderr.strip().splitlines() or ['no message'])[-1][:100]}"
    return Memory(problem.name, problem.n * problem.d * 8 / 1e6, megabytes, reasons)


def measure(name: str, problem: Problem, rows: Path) -> float:
    """Return by how much two iterations raise the peak, after a small fit that loads everything."""
    peer = next(peer for peer in PEERS if peer.name == name)
    small = Problem(50, problem.d, 2, problem.covariance_type)
    X = small.rows()
    peer.prepare(small, X, small.start(X))(2)
    X = np.load(rows)
    start = problem.start(X)
    forget_peak()
    before = peak()
    peer.prepare(problem, X, start)(2)
    return peak() - before


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(measure(sys.argv[1], Problem(*json.loads(sys.argv[2])), Path(sys.argv[3])))
