"""Threads change the time and nothing else: bits, forks, several Python threads, and none where one is asked for."""

import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from cases import INITS, assert_same_bits
from gaussmix import GaussianMixture

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

THREADS = [1, 2, 3, 8]


def many_rows(n=60_000, d=4):  # smaller passes take one thread
    rng = np.random.default_rng(0)
    return rng.normal(scale=6, size=(7, d))[rng.integers(0, 7, n)] + rng.normal(size=(n, d))


ROWS = many_rows()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("init", INITS)
def test_a_fit_has_the_same_bits_on_any_number_of_threads(init, dtype, covariance_type):
    X, weights = ROWS.astype(dtype), np.random.default_rng(1).uniform(0, 2, len(ROWS))
    params = {"n_components": 7, "covariance_type": covariance_type, "init_params": init, "max_iter": 4, "tol": 0}
    one, *others = (
        GaussianMixture(**params, random_state=0, n_threads=n).fit(X, sample_weight=weights) for n in THREADS
    )
    for other in others:
        assert_same_bits(one, other)


def test_float32_products_have_the_same_bits(covariance_type):
    X = np.random.default_rng(2).normal(size=(80_000, 3)).astype(np.float32)
    params = {"n_components": 5, "covariance_type": covariance_type, "random_state": 0, "max_iter": 4, "tol": 0}
    one, *others = (GaussianMixture(**params, n_threads=n).fit(X) for n in THREADS)
    for other in others:
        assert_same_bits(one, other)


@pytest.mark.parametrize("shift", [0, 1e9])
def test_predictions_and_samples_have_the_same_bits(covariance_type, shift):
    X = ROWS + shift
    model = GaussianMixture(7, covariance_type=covariance_type, random_state=0, max_iter=5).fit(X)
    results = []
    for n in THREADS:
        model.set_params(n_threads=n)
        methods = (model.predict, model.predict_proba, model.score_samples, model.score, model.icl)
        results.append([method(X) for method in methods] + list(model.sample(30_000)))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_many_features_and_components_have_the_same_bits():
    # Large enough that matrix products are cut into tiles.
    X = many_rows(8000, 60)
    params = {"n_components": 20, "random_state": 0, "max_iter": 3, "tol": 0, "reg_covar": 1e-2}
    assert_same_bits(*(GaussianMixture(**params, n_threads=n).fit(X) for n in (1, 3)))


def test_all_and_default_threads_have_the_same_bits():
    params = {"n_components": 7, "random_state": 0, "max_iter": 3, "tol": 0}
    one = GaussianMixture(**params, n_threads=1).fit(ROWS)
    assert_same_bits(one, GaussianMixture(**params, n_threads=-1).fit(ROWS))
    assert_same_bits(one, GaussianMixture(**params).fit(ROWS))


def fit_in_child(queue):
    model = GaussianMixture(7, random_state=0, max_iter=3, tol=0, n_threads=2).fit(ROWS)
    queue.put((model.means_, model.predict(ROWS[:10]), model.sample(3)[0]))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_fits_after_its_parent_has():
    model = GaussianMixture(7, random_state=0, max_iter=3, tol=0, n_threads=2).fit(ROWS)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=fit_in_child, args=(queue,), daemon=True)
    child.start()
    try:
        means, labels, rows = queue.get(timeout=60)
        child.join(timeout=60)
        assert child.exitcode == 0
    finally:
        child.kill()
    np.testing.assert_array_equal(means, model.means_)
    np.testing.assert_array_equal(labels, model.predict(ROWS[:10]))
    np.testing.assert_array_equal(rows, model.sample(3)[0])


def in_threads(task, n):
    results, errors = [None] * n, []

    def run(i):
        try:
            results[i] = task(i)
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(n)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
        assert not worker.is_alive()
    assert not errors, errors
    return results


@pytest.mark.parametrize("n_threads", [1, 2])
def test_several_python_threads_fit_at_once(n_threads):
    params = {"n_components": 7, "max_iter": 4, "tol": 0, "n_threads": n_threads}
    alone = [GaussianMixture(**params, random_state=i).fit(ROWS) for i in range(4)]
    together = in_threads(lambda i: GaussianMixture(**params, random_state=i).fit(ROWS), 4)
    for a, b in zip(alone, together, strict=True):
        assert_same_bits(a, b)


def test_several_python_threads_ask_one_model():
    model = GaussianMixture(7, random_state=0, max_iter=3).fit(ROWS)
    expected = model.score_samples(ROWS)
    for result in in_threads(lambda i: model.score_samples(ROWS), 4):
        np.testing.assert_array_equal(result, expected)


COUNT = """
import os, sys
import numpy as np
from gaussmix import GaussianMixture
X = np.random.default_rng(0).normal(size=(20000, 5))
before = len(os.listdir("/proc/self/task"))
model = GaussianMixture(5, random_state=0, max_iter=3, n_threads=int(sys.argv[1])).fit(X)
model.predict(X); model.predict_proba(X); model.score(X); model.bic(X); model.icl(X); model.sample(20000)
print(len(os.listdir("/proc/self/task")) - before)
"""


def threads_started(n_threads, **environment):
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COUNT, str(n_threads)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return int(run.stdout)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs /proc")
def test_one_thread_starts_none():
    assert threads_started(1) == 0


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs /proc")
def test_the_number_of_threads_is_a_bound():
    assert threads_started(3) <= 2


DEFAULT = "from gaussmix._dispatch import threads; print(threads(None), threads(-1), threads(5))"


def test_default_number_of_threads_follows_omp_num_threads():
    environment = os.environ | {"OMP_NUM_THREADS": "3"}
    out = subprocess.check_output([sys.executable, "-c", DEFAULT], env=environment, text=True, timeout=120).split()
    assert out[0] in ("1", "3")  # 1 without OpenMP
    assert out[2] == "5"
    assert 1 <= int(out[1]) <= os.cpu_count()
