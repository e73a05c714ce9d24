"""Long and rough use: memory over ten thousand fits, children forked while others fit, and what an import brings in."""

import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from gaussmix import GaussianMixture

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def run(script, *arguments):
    """Return what a script prints in a process of its own, which no other test has used."""
    command = [sys.executable, "-W", "ignore", "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout


FITS = """
import os, sys
import numpy as np
from gaussmix import GaussianMixture, load

X = np.random.default_rng(0).normal(size=(30, 2)) + 5 * (np.arange(30) % 2)[:, None]
types = ["full", "tied", "diag", "spherical"]
page = os.sysconf("SC_PAGE_SIZE")

def fits(n):
    for i in range(n):
        if i % 40 == 0:  # with a team of threads, and through a file
            model = GaussianMixture(2, covariance_type=types[i // 40 % 4], max_iter=2, random_state=0, n_threads=3)
            model.fit(X)
            model.save(sys.argv[1])
            load(sys.argv[1]).score_samples(X)
        model = GaussianMixture(2, covariance_type=types[i % 4], max_iter=2, random_state=0, n_threads=1).fit(X)
        model.score_samples(X)
        model.sample(5)
        if i % 10 == 0:  # an exception may not leak either
            try:
                GaussianMixture(31, n_threads=1).fit(X)
            except ValueError:
                pass
    return int(open("/proc/self/statm").read().split()[1]) * page

before = fits(2000)
print(fits(8000) - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_ten_thousand_fits_leave_the_memory_as_it_was(tmp_path):
    # The rows and the model of one fit are 2 kB: a leak of either in each would be 16 MB.
    assert int(run(FITS, str(tmp_path / "model"))) < 2 * 2**20


MEMORY = """
import resource, sys
import numpy as np
from gaussmix import GaussianMixture

order, frame = sys.argv[1], sys.argv[2]
n, d, k = 1_000_000, 8, 8
rng = np.random.default_rng(0)
X = np.empty((n, d), order=order)
for first in range(0, n, 10_000):  # without a temporary array that would count
    X[first:first + 10_000] = rng.normal(size=(10_000, d)) + rng.integers(k, size=(10_000, 1))
rows = X
if frame:
    rows = __import__(frame).DataFrame({f"x{j}": X[:, j] for j in range(d)})
model = GaussianMixture(k, max_iter=2, random_state=0)
model.fit(X[:1000])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model.fit(rows)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
@pytest.mark.parametrize(("order", "frame"), [("C", ""), ("F", ""), ("F", "pandas"), ("F", "polars")])
def test_a_fit_takes_little_memory_above_the_rows(order, frame):
    if frame:
        pytest.importorskip(frame)
    # 16 bytes a row while seeding, and 32 MB; a copy of the rows would be 64 MB, a table of the responsibilities too.
    assert 1024 * int(run(MEMORY, order, frame)) < 16 * 1_000_000 + 32e6


def rows(n=5000, d=3):
    rng = np.random.default_rng(0)
    return rng.normal(scale=6, size=(5, d))[rng.integers(0, 5, n)] + rng.normal(size=(n, d))


ROWS = rows()


def fit(n_threads, seed=0):
    return GaussianMixture(5, random_state=seed, max_iter=4, tol=0, n_threads=n_threads).fit(ROWS)


def means_of_a_fit(queue):
    queue.put(fit(2).means_)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_children_forked_while_other_threads_fit():
    expected = fit(1).means_
    ended, failures = threading.Event(), []

    def keep_fitting():
        while not ended.is_set():
            if not np.array_equal(fit(2).means_, expected):
                failures.append("a fit of the parent has other bits")

    workers = [threading.Thread(target=keep_fitting, daemon=True) for _ in range(2)]
    for worker in workers:
        worker.start()
    context = multiprocessing.get_context("fork")
    try:
        for _ in range(5):
            queue = context.SimpleQueue()
            child = context.Process(target=means_of_a_fit, args=(queue,), daemon=True)
            child.start()
            child.join(timeout=60)
            hangs = child.is_alive()
            child.kill()
            assert not hangs
            assert child.exitcode == 0
            np.testing.assert_array_equal(queue.get(), expected)
    finally:
        ended.set()
        for worker in workers:
            worker.join(timeout=60)
    assert not failures


def test_many_python_threads_with_teams_of_their_own():
    expected = [fit(1, seed).means_ for seed in range(8)]
    found = [None] * 8

    def work(seed):
        for n_threads in (3, 1, 2):
            found[seed] = fit(n_threads, seed).means_

    workers = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
        assert not worker.is_alive()
    np.testing.assert_array_equal(found, expected)


MODULES = """
import sys
import sklearn.mixture
before = set(sys.modules)
import gaussmix
print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""


def test_an_import_brings_in_little_beside_scikit_learn():
    # What is imported takes time: plots, data frames and the like are imported where they are used.
    brought = run(MODULES).split()
    standard = set(sys.stdlib_module_names)
    assert "gaussmix" in brought
    # safetensors, which reads and writes model files, takes a millisecond.
    assert {name for name in brought if name not in standard and name != "gaussmix"} <= {"sklearn", "safetensors"}


IMPORT = """
import time
import sklearn.mixture
begin = time.process_time()
import gaussmix
print(time.process_time() - begin)
"""


def test_an_import_takes_little_beside_scikit_learn():
    # Of processor time: it takes 40 ms, but where other processes are in its way.
    assert any(float(run(IMPORT)) < 0.15 for _ in range(5))
