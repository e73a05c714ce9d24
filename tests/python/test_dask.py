"""gaussmix.dask: the numbers of a fit in memory, the same bits on any cluster, and what goes wrong on one."""

import asyncio
import functools
import importlib
import operator
import os
import pickle
import signal
import sys
import time

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from cases import assert_same_bits, assert_same_model, explicit_start
from gaussmix import GaussianMixture as InMemory
from gaussmix import _dispatch, chunked
from gaussmix._passes import tree_reduce

pytest.importorskip("dask", reason="gaussmix.dask needs Dask")
pytest.importorskip("distributed", reason="gaussmix.dask needs distributed")

import dask
import dask.array as da
import distributed

from gaussmix import dask as gaussmix_dask
from gaussmix.dask import Collection, GaussianMixture

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N, D, K = 3_000, 3, 4


def make_rows(dtype=np.float64):
    rng = np.random.default_rng(0)
    rows = rng.normal(scale=4, size=(K, D))[rng.integers(0, K, N)] + rng.normal(size=(N, D))
    return rows.astype(dtype)


ROWS = make_rows()
WEIGHTS = np.where(np.arange(N) < 500, 0, np.random.default_rng(1).uniform(0, 2, N))  # one block without weight
CHUNKS = (500, 1, 700, 0, 799, 1_000)  # of all sizes, and none


def blocks(X=ROWS, chunks=CHUNKS):
    return da.from_array(X, chunks=(chunks, X.shape[1]))


def unknown_lengths(X=ROWS):
    """Return the rows with a positive first feature, in a dask array that does not know how many there are."""
    rows = blocks(X)
    return rows[rows[:, 0] > 0]


@pytest.fixture(scope="module")
def client():
    """Two worker processes of one thread, which talk over the loopback interface."""
    # A worker that has died is started again at once. Where another one dies 15 s later, the cluster takes it for the
    # first, still missing, and gives it up for good.
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def fitted(client):
    """Return an estimator that was fitted in memory, and the same for Dask."""
    in_memory = InMemory(K, random_state=0).fit(ROWS)
    params = in_memory.weights_, in_memory.means_, in_memory.covariances_
    return in_memory, GaussianMixture.from_parameters(*params)


@pytest.mark.parametrize("weighted", [False, True], ids=["rows", "weights"])
def test_the_numbers_are_those_of_a_fit_in_memory(client, covariance_type, weighted):
    params = explicit_start(ROWS, K, covariance_type) | {"max_iter": 15, "tol": 0}
    weights = WEIGHTS if weighted else None
    expected = InMemory(**params).fit(ROWS, sample_weight=weights)
    found = GaussianMixture(**params).fit(blocks(), sample_weight=weights)
    assert_same_model(found, expected)
    assert found.n_iter_ == 15
    assert found.lower_bound_ == pytest.approx(expected.score(ROWS, sample_weight=weights), abs=1e-12)


@pytest.mark.parametrize("n_workers", [1, 3])
def test_the_bits_do_not_depend_on_the_cluster(client, n_workers):
    """On two workers, on another number with two threads each, and on Dask's own threads."""
    model = GaussianMixture(K, random_state=0, max_iter=5, tol=0, n_init=2)
    expected = clone(model).fit(blocks())
    with (
        distributed.LocalCluster(
            n_workers=n_workers, threads_per_worker=2, processes=False, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster),
    ):
        assert_same_bits(model.fit(blocks()), expected)
    with dask.config.set(scheduler="synchronous"):
        assert_same_bits(model.fit(blocks()), expected)


def die_once(marker, per_block, index, X, sample_weight):
    """Kill the worker at a block, the first time."""
    if index == 2 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return per_block(index, X, sample_weight)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
@pytest.mark.parametrize("when", [1, 4, 10], ids=["survey", "seeding", "iteration"])
def test_a_killed_worker_costs_nothing_but_time(client, monkeypatch, tmp_path, when):
    """The first pass looks at the rows, k-means|| takes seven, and then come the iterations."""
    model = GaussianMixture(K, random_state=0, max_iter=3, tol=0)
    expected = clone(model).fit(blocks())
    before = set(client.nthreads())
    reduce, passes = Collection.reduce, []

    def killing(self, per_block, merge):
        passes.append(per_block)
        deadly = functools.partial(die_once, tmp_path / "dead", per_block)
        return reduce(self, deadly if len(passes) == when else per_block, merge)

    monkeypatch.setattr(Collection, "reduce", killing)
    model.fit(blocks())
    assert (tmp_path / "dead").exists()
    assert len(passes) == 1 + 7 + 3 + 1
    assert_same_bits(model, expected)
    client.wait_for_workers(2, timeout=120)
    assert set(client.nthreads()) != before  # one of them is new


@pytest.mark.parametrize("init_params", ["kmeans", "random_from_data"])
def test_a_start_of_its_own_is_as_good_as_in_memory(client, init_params, covariance_type):
    params = {"n_components": K, "covariance_type": covariance_type, "random_state": 0}
    expected = InMemory(**params, init_params=init_params, n_init=3).fit(ROWS)
    found = GaussianMixture(**params, init_params=init_params, n_init=2).fit(blocks(), sample_weight=da.ones(N))
    assert found.lower_bound_ > expected.lower_bound_ - 0.01
    assert len(found.restarts_) == 2


def test_float32_rows_give_float32_models(client):
    params = explicit_start(ROWS, K, "full") | {"max_iter": 10, "tol": 0}
    found = GaussianMixture(**params).fit(blocks(ROWS.astype(np.float32)))
    assert found.means_.dtype == np.float32
    assert_same_model(found, InMemory(**params).fit(ROWS), rtol=1e-4)


def test_unknown_lengths(client):
    X, known = unknown_lengths(), ROWS[ROWS[:, 0] > 0]
    params = explicit_start(known, 2, "full") | {"max_iter": 5, "tol": 0}
    weights = np.linspace(1, 2, N)
    lazy_weights = da.from_array(weights, chunks=(CHUNKS,))[blocks()[:, 0] > 0]
    found = GaussianMixture(**params).fit(X, sample_weight=lazy_weights)
    expected = InMemory(**params).fit(known, sample_weight=weights[ROWS[:, 0] > 0])
    assert_same_model(found, expected)
    assert np.isnan(found.predict(X).shape[0])
    np.testing.assert_array_equal(found.predict(X), expected.predict(known))
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        GaussianMixture(**params).fit(X, sample_weight=weights[ROWS[:, 0] > 0])


def test_columns_in_several_chunks(client):
    params = explicit_start(ROWS, K, "full") | {"max_iter": 3, "tol": 0}
    X = da.from_array(ROWS, chunks=(1_000, 2))
    found = GaussianMixture(**params).fit(X)
    assert_same_model(found, InMemory(**params).fit(ROWS))
    np.testing.assert_array_equal(found.predict(X), found.predict(ROWS))


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_predictions_are_lazy_arrays(fitted, method, dtype):
    in_memory, model = fitted
    X = (10 * ROWS).astype(dtype)
    with dask.config.set(scheduler=lambda *_, **__: pytest.fail("something was computed")):
        found = getattr(model, method)(blocks(X))
    expected = getattr(in_memory, method)(X)
    assert isinstance(found, da.Array)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert found.chunks[0] == CHUNKS
    assert found.compute().dtype == expected.dtype
    # Blocks of other rows may take another kernel: its error in a log-density is relative in what is next to 0.
    np.testing.assert_allclose(found.compute(), expected, rtol=1e-12, atol=1e-15)


def test_scores_and_criteria(fitted):
    in_memory, model = fitted
    for method in ("score", "aic", "bic", "icl"):
        for weights in (None, WEIGHTS):
            expected = getattr(in_memory, method)(ROWS, sample_weight=weights)
            assert getattr(model, method)(blocks(), sample_weight=weights) == pytest.approx(expected, rel=1e-12), method
    with pytest.raises(ValueError, match="no rows with a positive weight"):
        model.score(blocks(), sample_weight=da.zeros(N))


def test_labels_of_a_fit(client):
    model = GaussianMixture(K, random_state=0)
    labels = model.fit_predict(blocks())
    np.testing.assert_array_equal(labels, model.predict(ROWS))


def test_frames(client):
    pandas = pytest.importorskip("pandas")
    frames = pytest.importorskip("dask.dataframe")
    table = pandas.DataFrame(ROWS, columns=["a", "b", "c"]).astype({"b": "Float64"})
    X = frames.from_pandas(table, npartitions=4)
    params = explicit_start(ROWS, K, "full") | {"max_iter": 5, "tol": 0}
    found = GaussianMixture(**params).fit(X, sample_weight=frames.from_pandas(pandas.Series(WEIGHTS), npartitions=4))
    assert_same_model(found, InMemory(**params).fit(ROWS, sample_weight=WEIGHTS))
    assert list(found.feature_names_in_) == ["a", "b", "c"]
    np.testing.assert_array_equal(found.predict(X), InMemory.predict(found, table))
    with pytest.raises(ValueError, match="feature names should match"):
        found.predict(X[["b", "a", "c"]])
    with pytest.raises(ValueError, match=r"numeric columns, but these are not: \['d'\]"):
        GaussianMixture(K).fit(X.assign(d="text"))
    table.loc[7, "b"] = None
    with pytest.raises(ValueError, match="Block 0: Input X contains NaN"):
        GaussianMixture(K).fit(frames.from_pandas(table, npartitions=4))


def test_errors_name_the_block(client):
    X = ROWS.copy()
    X[1_000, 1] = np.nan
    model = GaussianMixture(K)
    with pytest.raises(ValueError, match=r"Block 2: Input X contains NaN"):
        model.fit(blocks(X))
    with pytest.raises(ValueError, match="Block 4: Negative values in data passed to `sample_weight`"):
        model.fit(blocks(), sample_weight=np.where(np.arange(N) == 1_300, -1, WEIGHTS))
    with pytest.raises(ValueError, match=r"sample_weight.shape == \(5,\), expected \(3000,\)"):
        model.fit(blocks(), sample_weight=np.ones(5))
    with pytest.raises(ValueError, match="X has 6 blocks, but sample_weight has 1"):
        model.fit(unknown_lengths(), sample_weight=da.ones(N, chunks=-1))
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        model.fit(da.ones(10))


def test_sparse_blocks_and_delayed_weights(client):
    with pytest.raises(TypeError, match="Block 0: Sparse data was passed for X, but dense data is required"):
        GaussianMixture(K).fit(blocks(chunks=(N,)).map_blocks(csr_array, meta=csr_array((0, D))))
    with pytest.raises(TypeError, match=r"sample_weight should be a dask array .* but got Delayed"):
        GaussianMixture(K).fit(blocks(), sample_weight=dask.delayed(WEIGHTS))


def test_rows_that_are_lost(client):
    with distributed.Client(client.scheduler.address, set_as_default=False) as other, other.as_current():
        X = blocks().persist()
    with pytest.raises(RuntimeError, match="Rows are lost, and cannot be made anew: the client was closed"):
        GaussianMixture(K).fit(X)


def test_an_asynchronous_client_is_refused(client):
    async def fit():
        async with distributed.Client(client.scheduler.address, asynchronous=True, set_as_default=False) as other:
            with other.as_current(), pytest.raises(RuntimeError, match="The client in use is asynchronous"):
                GaussianMixture(K).fit(blocks())

    asyncio.run(fit())


def test_rows_that_are_too_few(client):
    model = GaussianMixture(K)
    with pytest.raises(ValueError, match="Expected n_samples >= n_components but got n_components = 4, n_samples = 3"):
        model.fit(blocks(ROWS[:3], (1, 0, 2)))
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        model.fit(blocks(ROWS[:0], (0, 0)))
    with pytest.raises(ValueError, match="at least one non-zero number"):
        model.fit(blocks(), sample_weight=da.zeros(N))


def test_predictions_check_the_features(fitted):
    _, model = fitted
    with pytest.raises(ValueError, match="X has 2 features, but GaussianMixture is expecting 3 features"):
        model.predict(blocks()[:, :2])
    with pytest.raises(NotFittedError):
        GaussianMixture().predict_proba(blocks())
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.predict(blocks(np.full_like(ROWS, np.nan))).compute()


def spell(index, X, sample_weight):
    return f"{index}:{len(X)}"


def bracket(a, b):
    return f"({a} {b})"


@pytest.mark.parametrize("n_blocks", [1, 2, 3, 7, 8, 9, 23, 64, 65])
@pytest.mark.parametrize("tasks", [1, 4, 1_000])
def test_the_tree_of_merges_is_that_of_the_blocks(monkeypatch, n_blocks, tasks):
    """However many blocks a task takes, and however many results it merges."""
    monkeypatch.setattr(gaussmix_dask, "_RUNS_A_THREAD", 0)
    monkeypatch.setattr(gaussmix_dask, "_RUNS_AT_LEAST", tasks)
    lengths = tuple(1 + i % 3 for i in range(n_blocks))
    X = blocks(np.zeros((sum(lengths), 1)), lengths)
    expected = tree_reduce((f"{i}:{length}" for i, length in enumerate(lengths)), bracket)
    with dask.config.set(scheduler="synchronous"):
        source = Collection(X)
        assert len(source._runs) <= max(tasks, 1)
        assert source.reduce(spell, bracket) == expected


@pytest.mark.parametrize(
    ("n_blocks", "block_bytes", "n_threads", "size"),
    [
        (1_000, 1e3, 4, 32),  # 8 tasks a thread
        (1_000, 1e3, None, None),  # as many as this machine has
        (10_000, 2**28, 4, 1),  # more than a task should hold
        (10_000, 2**24, 4, 4),  # 64 MiB and no more
        (10_000, np.nan, 4, 1),  # rows that nobody has counted
        (16, 1e3, 1, 1),
        (17, 1e3, 1, 2),
    ],
)
def test_a_task_takes_several_small_blocks(n_blocks, block_bytes, n_threads, size):
    found = gaussmix_dask._blocks_a_run(n_blocks, block_bytes, n_threads)
    if size is None:
        size = gaussmix_dask._blocks_a_run(n_blocks, block_bytes, gaussmix_dask.CPU_COUNT)
    assert found == size


@pytest.mark.parametrize("weighted", [False, True], ids=["rows", "weights"])
@pytest.mark.parametrize("fails", [False, True], ids=["fitted", "failed"])
def test_the_workers_forget_the_rows_after_a_fit(client, fails, weighted):
    X = blocks(np.where(np.arange(len(ROWS))[:, None] == len(ROWS) - 1, np.nan, ROWS) if fails else ROWS)
    weights = WEIGHTS if weighted else None
    model = GaussianMixture(**explicit_start(ROWS, K, "full") | {"max_iter": 2})
    if fails:
        with pytest.raises(ValueError, match="Input X contains NaN") as failure:
            model.fit(X, sample_weight=weights)
        assert failure.traceback  # which refers to all that the fit had
    else:
        model.fit(X, sample_weight=weights)
    for _ in range(100):
        if not client.futures and not any(client.has_what().values()):
            return
        time.sleep(0.05)
    raise AssertionError(f"the workers still hold {client.has_what()}")


def received(client):
    """Return the bytes that workers have had from each other so far."""
    return sum(
        client.run(lambda dask_worker: sum(entry["total"] for entry in dask_worker.transfer_incoming_log)).values()
    )


def held(client):
    """Return the bytes that workers hold, of what they have made and what they have had from each other."""
    of_workers = client.run(lambda dask_worker: sum(state.nbytes or 0 for state in dask_worker.state.tasks.values()))
    return sum(of_workers.values())


def count_rows(index, X, sample_weight):
    assert sample_weight is None or X.shape == (len(sample_weight), 50)
    return [len(X)]


@pytest.mark.parametrize("kind", ["array", "weights", "frame", "lazy"])
def test_rows_stay_on_their_workers_and_are_not_kept_twice(client, kind):
    """Small blocks in a row lie on one worker and the other in turn, so that no two neighbours are together."""
    held_before = held(client)
    parts = np.split(np.random.default_rng(0).normal(size=(6_400, 50)), 64)
    workers = sorted(client.nthreads())
    if kind == "frame":
        pandas, frames = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
        parts = [pandas.DataFrame(part) for part in parts]
    lying = [client.scatter(part, workers=[workers[i % 2]], hash=False) for i, part in enumerate(parts)]
    if kind == "frame":
        X = frames.from_delayed(lying, meta=parts[0][:0]).persist()
        distributed.wait(X)
        lying.clear()  # or there are two of each
    else:
        X = da.concatenate([da.from_delayed(part, (100, 50), np.float64) for part in lying])
    if kind == "lazy":
        X = X + 1
    before, n_bytes = received(client), 6_400 * 50 * 8
    source = Collection(X, np.ones(6_400) if kind == "weights" else None, keep=True)
    if kind in ("array", "weights"):  # of a frame nobody knows the lengths, and what is made lies anywhere
        assert len(source._runs) <= 16  # several blocks make a task, though they are no neighbours
    if kind == "lazy":
        before = received(client)
    for _ in range(3):
        assert source.reduce(count_rows, operator.add) == [100] * 64
    assert received(client) - before < n_bytes / 20
    # Weights are a fiftieth of the rows.
    assert held(client) - held_before < (2.1 if kind == "lazy" else 1.1) * n_bytes


def test_the_tree_does_not_depend_on_where_blocks_lie(client):
    lengths = tuple(1 + i % 3 for i in range(75))
    expected = tree_reduce((f"{i}:{length}" for i, length in enumerate(lengths)), bracket)
    workers, rng = sorted(client.nthreads()), np.random.default_rng(0)
    for together in (1, 5, 75):
        places = np.repeat(rng.integers(0, 2, 75), together)[:75]
        lying = [
            client.scatter(np.zeros((length, 1)), workers=[workers[place]], hash=False)
            for length, place in zip(lengths, places, strict=True)
        ]
        X = da.concatenate([da.from_delayed(part, (n, 1), np.float64) for part, n in zip(lying, lengths, strict=True)])
        source = Collection(X, keep=True)
        assert len(source._runs) < 75
        assert source.reduce(spell, bracket) == expected


def test_a_fit_of_persisted_rows_has_the_same_bits(client):
    X = blocks(chunks=(100,) * 30)
    model = GaussianMixture(K, init_params="random_from_data", random_state=0, max_iter=2, tol=0)
    for weights in (None, WEIGHTS):
        expected = clone(model).fit(X, sample_weight=weights)
        assert_same_bits(clone(model).fit(X.persist(), sample_weight=weights), expected)


def test_a_fit_in_this_process_takes_what_lies_on_a_cluster(client):
    """And computes the rest here, client or not."""
    params = explicit_start(ROWS, K, "full") | {"max_iter": 3, "tol": 0}
    expected = InMemory(**params).fit(ROWS, sample_weight=WEIGHTS)
    rows, weights = blocks().persist(), da.from_array(WEIGHTS, chunks=700)
    for X, w in ((rows, weights.persist()), (rows + 0, weights), (blocks(), weights.persist()), (blocks(), weights)):
        assert_same_model(chunked.fit(X, sample_weight=w, **params), expected)


def count_a_call(X, path):
    with open(path, "a") as file:
        file.write("x")
    return X


def test_without_a_client_the_blocks_are_made_in_each_pass(monkeypatch, tmp_path):
    """This process is not to hold them all."""
    monkeypatch.setattr(gaussmix_dask, "_threads_of_workers", lambda: None)
    made = tmp_path / "made"
    X = blocks(ROWS, (1_500, 1_500)).map_blocks(count_a_call, made, dtype=ROWS.dtype, meta=np.empty((0, 0)))
    params = explicit_start(ROWS, K, "full") | {"max_iter": 3, "tol": 0}
    with dask.config.set(scheduler="synchronous"):
        found = GaussianMixture(**params).fit(X)
    assert len(made.read_text()) >= 2 * 3
    assert_same_model(found, InMemory(**params).fit(ROWS))


@pytest.mark.parametrize("rows", [blocks, unknown_lengths])
def test_one_number_weighs_all_rows(client, rows):
    params = explicit_start(ROWS, K, "full") | {"max_iter": 3, "tol": 0}
    weighted, plain = GaussianMixture(**params).fit(rows(), sample_weight=2.5), GaussianMixture(**params).fit(rows())
    assert_same_model(weighted, plain)
    np.testing.assert_allclose(weighted.lower_bound_, plain.lower_bound_, rtol=1e-12)


def test_other_collections_are_refused():
    for other in (dask.delayed(ROWS), dask.delayed([1, 2])):
        with pytest.raises(TypeError, match="X should be a dask array or dataframe, but got Delayed"):
            GaussianMixture(K).fit(other)


def test_a_fit_goes_on_where_the_last_one_ended(client):
    params = explicit_start(ROWS, K, "full") | {"max_iter": 3, "tol": 0}
    model, expected = GaussianMixture(**params, warm_start=True), InMemory(**params, warm_start=True)
    for _ in range(2):
        assert_same_model(model.fit(blocks()), expected.fit(ROWS))
    # And from a fit in memory.
    assert_same_model(GaussianMixture.fit(model, ROWS).fit(blocks()), expected.fit(ROWS).fit(ROWS))


def test_a_stream_comes_in_batches_in_memory():
    model = GaussianMixture(K, random_state=0)
    with pytest.raises(TypeError, match=r"partial_fit takes one batch in memory: pass X.compute\(\)"):
        model.partial_fit(blocks())
    with pytest.raises(TypeError, match="partial_fit takes one batch in memory"):
        model.partial_fit(ROWS, sample_weight=da.ones(N))
    assert_same_bits(model.partial_fit(ROWS), InMemory(K, random_state=0).partial_fit(ROWS))


def threads_here(index, X, sample_weight):
    return [(_dispatch.threads(None), _dispatch.threads(-1), _dispatch.threads(1), _dispatch.threads(64))]


def test_a_task_keeps_to_the_threads_of_its_worker(client):
    """One where the worker has one, whatever is asked for; where it has more, what others leave, also those to come."""
    for found in Collection(blocks()).reduce(threads_here, operator.add):
        assert found == (1, 1, 1, 1)
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=4, processes=False, dashboard_address=":0") as cluster,
        distributed.Client(cluster),
    ):
        for n_blocks, share in ((1, 4), (2, 2), (6, 1)):
            for keep in (False, True):
                source = Collection(blocks(chunks=(N // n_blocks,) * n_blocks), keep=keep)
                found = source.reduce(threads_here, operator.add)
                assert found == [(share, share, 1, share)] * n_blocks
                source.release()


def test_what_is_not_of_dask_goes_the_way_of_the_parent():
    params = {"n_components": K, "random_state": 0}
    model, expected = GaussianMixture(**params).fit(ROWS), InMemory(**params).fit(ROWS)
    assert_same_bits(model, expected)
    for method in ("predict", "predict_proba", "score_samples", "score", "bic", "icl"):
        np.testing.assert_array_equal(getattr(model, method)(ROWS), getattr(expected, method)(ROWS), strict=True)


def test_it_is_cloned_and_pickled(fitted):
    _, model = fitted
    assert_same_bits(pickle.loads(pickle.dumps(model)), model)
    assert clone(model).get_params().keys() == InMemory().get_params().keys()


def test_a_fit_that_does_not_converge_warns(client):
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        GaussianMixture(K, max_iter=1, tol=0, random_state=0).fit(blocks())


def test_without_dask_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask", None)
    monkeypatch.delitem(sys.modules, "gaussmix.dask")
    with pytest.raises(ImportError, match=r"pip install 'gaussmix\[dask\]'"):
        importlib.import_module("gaussmix.dask")
