"""The benchmarks of bench/python run, at sizes that say nothing about times and with the libraries that are here.

What bench/cpp/run.py makes of the output of the native ones is compared with tables written by hand.
"""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.skipif(not (ROOT / "bench").exists(), reason="not in a source tree")


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
    for part in ("iterations", "calls", "seeds", "memory", "threads", "growth", "precision", "streams", "clusters"):
        assert results[part], part
    for comparison in results["iterations"]:
        verdicts = {timing["library"]: timing["verdict"] for timing in comparison["timings"]}
        assert verdicts["gaussmix"] == verdicts["scikit-learn"] == "agrees"
        assert len(verdicts) == 9  # those that are not installed are named too
    assert results["dgemm_before"] and results["dgemm_after"]

    assert (tmp_path / "all.md").read_text().count("| --- |") >= 6
    assert {path.stem for path in tmp_path.glob("*.png")} == {"iterations", "threads", "growth", "memory"}


@pytest.fixture
def native(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("bench.cpp.run")


def result(name, **values):
    """Return what Google Benchmark writes of one run."""
    return {
        "name": name,
        "run_type": "iteration",
        "real_time": 10.0,
        "items_per_second": 5e6,
        "bytes_above_data": 2e6,
    } | values


SIZE = "n:5000/d:64/K:8/layout:1/real_time"
RESULTS = [
    result(f"accumulate<Full, double>/{SIZE}", dense_gflops=81.25, share_of_dgemm=0.9),
    result(f"seeding<float>/{SIZE}"),
    result(f"gaussmix_fit<gaussmix::Diagonal>/{SIZE}", log_likelihood=-3.0),
    result(f"armadillo<gaussmix::Diagonal>/{SIZE}", real_time=25.0, log_likelihood=-3.0 + 1e-9),
    result(f"vlfeat/{SIZE}", real_time=5.0, log_likelihood=-3.001),
    result(f"opencv<gaussmix::Diagonal>/{SIZE}", error_occurred=True),
    result(f"opencv<gaussmix::Full>/{SIZE}", log_likelihood=-3.0),
    result(f"vlfeat/{SIZE}_mean", run_type="aggregate", log_likelihood=-3.0),
    result("no size"),
]


def test_names_of_native_benchmarks_are_parsed(native):
    rows = native.parse(RESULTS)
    assert [row["what"] for row in rows] == ["accumulate", "seeding", "gaussmix_fit", "armadillo", "vlfeat", "opencv"]
    assert [row["types"] for row in rows[:3]] == [["Full", "double"], ["float"], ["Diagonal"]]
    assert {(row["n"], row["d"], row["k"], row["layout"]) for row in rows} == {(5000, 64, 8, 1)}


def test_tables_of_native_benchmarks(native):
    rows = native.parse(RESULTS)
    assert native.kernels_table(rows)[2:] == [
        "| accumulate | Full, double | 5,000 x 64, 8 | apart | 10 | 5e+06 | 81.2 | 0.9 | 2 |",
        "| seeding | float | 5,000 x 64, 8 | apart | 10 | 5e+06 |  |  | 2 |",
    ]
    # Of OpenCV there is only the run of another type, and one that failed.
    assert native.peers_table(rows)[2:] == ["| 5,000 x 64, 8, diagonal | apart | 10 | 2.5 |  | 0.5 (-0.001 nats) |"]
    for table in (native.kernels_table(rows), native.peers_table(rows)):
        assert len({line.count("|") for line in table}) == 1


def test_the_machine_of_native_benchmarks_is_told(native):
    context = {
        "date": "2026-11-24T01:02:03+00:00",
        "num_cpus": 2,
        "processor": "A Processor",
        "compiler": "12.2.0",
        "libraries": "Eigen 3.4.0, VLFeat 0.9.21",
        "threads": "2",
        "eigen_simd": "AVX512",
        "dgemm_gflops": "91.4",
        "dgemm_library": "CBLAS",
    }
    assert native.machine_line(context) == (
        "A Processor, 2 processors, 2 threads, AVX512; DGEMM 91 GFLOP/s by CBLAS; compiler 12.2.0, "
        "Eigen 3.4.0, VLFeat 0.9.21; 2026-11-24"
    )
