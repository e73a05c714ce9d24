"""The benchmarks of bench/python run: at sizes that say nothing about times, and with the libraries that are here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not (ROOT / "bench").exists(), reason="not in a source tree")
def test_it_runs_and_writes_everything(tmp_path):
    pytest.importorskip("matplotlib")
    outputs = ["--json", tmp_path / "all.json", "--markdown", tmp_path / "all.md", "--plots", tmp_path]
    done = subprocess.run(
        [sys.executable, "-m", "bench.python.run", "--tiny", *map(str, outputs)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

    results = json.loads((tmp_path / "all.json").read_text())
    for part in ("iterations", "calls", "memory", "threads", "growth", "precision", "streams", "clusters"):
        assert results[part], part
    for comparison in results["iterations"]:
        verdicts = {timing["library"]: timing["verdict"] for timing in comparison["timings"]}
        assert verdicts["gaussmix"] == verdicts["scikit-learn"] == "agrees"
        assert len(verdicts) == 9  # those that are not installed are named too
    assert results["dgemm_before"] and results["dgemm_after"]

    assert (tmp_path / "all.md").read_text().count("| --- |") >= 6
    assert {path.stem for path in tmp_path.glob("*.png")} == {"iterations", "threads", "growth", "memory"}
