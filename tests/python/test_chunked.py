"""Fits to rows in files: every kind of source, exactness, errors, reading ahead, memory, and going on after a kill."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import gaussmix
from blocks import cut
from cases import ARRAYS, TYPES, assert_finite, assert_same_bits, assert_same_model, explicit_start
from gaussmix import GaussianMixture, chunked
from gaussmix._block_fit import Plan, fit_blocks
from gaussmix._progress import Meter
from gaussmix._sources import BlockSource, read_ahead

CUTS = [0, 17, 17, 100]
DATA = np.random.default_rng(1).normal(size=(200, 3)) * [1, 2, 3] + np.repeat([[0.0], [8]], 100, axis=0)
WEIGHTS = np.random.default_rng(2).exponential(size=200)
START = explicit_start(DATA, 2, "full")


def fit_in_memory(**params):
    return GaussianMixture(**(START | params)).fit(DATA, sample_weight=WEIGHTS)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("given", ["all", "means", "means and weights", "means and precisions"])
def test_the_numbers_are_those_of_the_fit_in_memory(kind, weighted, given):
    start = explicit_start(DATA, 2, kind)
    params = {name: value for name, value in start.items() if given == "all" or name.partition("_")[0] in given}
    params |= {"n_components": 2, "covariance_type": kind, "tol": 1e-6}
    weights = WEIGHTS if weighted else None
    expected = GaussianMixture(**params).fit(DATA, sample_weight=weights)
    for cuts in ([], CUTS):
        found = chunked.fit(cut(DATA, weights, cuts), **params)
        assert_same_model(found, expected)
        assert found.lower_bound_ == pytest.approx(expected.lower_bound_, rel=1e-9)
        assert found.converged_ == expected.converged_
        assert found.restarts_[0].lower_bounds == found.lower_bounds_


def test_blocks_without_weight_and_without_rows_are_absent():
    weights = WEIGHTS.copy()
    weights[17:100] = 0
    found = chunked.fit(cut(DATA, weights, [0, 17, 100, 100]), **START)
    assert_same_model(found, GaussianMixture(**START).fit(DATA, sample_weight=weights))


def test_the_estimator_is_like_any_other():
    model = chunked.fit(cut(DATA, None, CUTS), 2, random_state=0, covariance_type="diag", n_threads=1)
    assert type(model) is GaussianMixture
    assert (model.n_components, model.covariance_type, model.n_features_in_) == (2, "diag", 3)
    assert model.lower_bound_ == pytest.approx(model.score(DATA), rel=1e-13)
    # Both clusters are found: the mean of each is that of its rows.
    order = np.argsort(model.means_[:, 0])
    np.testing.assert_allclose(model.means_[order], [DATA[:100].mean(0), DATA[100:].mean(0)], atol=0.1)


@pytest.mark.parametrize("seeding", ["reservoir", "k-means||"])
def test_starts_find_the_clusters(seeding):
    # Ten clusters, some a hundred times smaller than others, of which the sample is a tenth.
    rng = np.random.default_rng(0)
    sizes = np.geomspace(100, 10_000, 10).astype(int)
    X = np.concatenate([rng.normal([20 * c, 0], size=(n, 2)) for c, n in enumerate(sizes)])
    rng.shuffle(X)
    truth = GaussianMixture.from_parameters(
        sizes / sizes.sum(), [[20.0 * c, 0] for c in range(10)], np.tile(np.eye(2), (10, 1, 1))
    )
    model = chunked.fit(cut(X, None, [9000, 9001]), 10, seeding=seeding, sample_size=3000, random_state=0, n_init=3)
    assert model.lower_bound_ > truth.score(X)
    assert [restart.kept for restart in model.restarts_].count(True) == 1
    assert len(model.restarts_) == 3


@pytest.mark.parametrize("seeding", ["reservoir", "k-means||"])
@pytest.mark.parametrize("weighted", [False, True])
def test_bits_do_not_depend_on_threads(seeding, weighted):
    pairs = cut(DATA, WEIGHTS if weighted else None, CUTS)
    models = [chunked.fit(pairs, 3, seeding=seeding, random_state=0, n_init=2, n_threads=n) for n in (1, 3)]
    assert_same_bits(*models)
    assert models[0].restarts_ == models[1].restarts_


def test_float32_rows_give_a_float32_model():
    single = DATA.astype(np.float32)
    model = chunked.fit(cut(single, None, CUTS), **START)
    expected = GaussianMixture(**START).fit(single)
    for name in ARRAYS:
        assert getattr(model, name).dtype == np.float32
        np.testing.assert_allclose(getattr(model, name), getattr(expected, name), rtol=1e-4, atol=1e-5)
    assert model.lower_bound_ == pytest.approx(model.score(single.astype(np.float64)), rel=1e-12)


def test_rows_that_are_no_mixture_without_regularisation():
    # Ten distinct rows cannot have twelve components; with regularisation they do, as in memory.
    pairs = cut(np.repeat(DATA[::20], 20, axis=0), None, CUTS)
    with pytest.raises(ValueError, match="ill-defined empirical covariance"):
        chunked.fit(pairs, 12, random_state=0, reg_covar=0, tol=0)
    assert_finite(chunked.fit(pairs, 12, random_state=0))


# Every kind of source.


def test_a_callable():
    assert_same_model(chunked.fit(lambda: iter(cut(DATA, WEIGHTS, CUTS)), **START), fit_in_memory())


def test_a_callable_and_one_of_weights():
    pairs = cut(DATA, WEIGHTS, CUTS)
    model = chunked.fit(lambda: [X for X, _ in pairs], sample_weight=lambda: [w for _, w in pairs], **START)
    assert_same_model(model, fit_in_memory())


def test_an_array_and_its_weights():
    assert_same_model(chunked.fit(DATA, sample_weight=WEIGHTS, block_rows=33, **START), fit_in_memory())


def test_integers():
    rows = np.rint(DATA * 10).astype(int)
    start = explicit_start(rows, 2, "full")
    assert_same_model(chunked.fit(cut(rows, None, CUTS), **start), GaussianMixture(**start).fit(rows))


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_files(tmp_path, order):
    pairs = cut(DATA, WEIGHTS, [70])
    rows, weights = [tmp_path / "a.npy", tmp_path / "b.npy"], [tmp_path / "v.npy", str(tmp_path / "w.npy")]
    for x, w, pair in zip(rows, weights, pairs, strict=True):
        np.save(x, np.asarray(pair[0], order=order))
        np.save(w, pair[1])
    assert_same_model(chunked.fit(rows, sample_weight=weights, block_rows=40, **START), fit_in_memory())
    np.save(rows[0], DATA)
    assert_same_model(chunked.fit(rows[0], **START), GaussianMixture(**START).fit(DATA))


@pytest.mark.parametrize("single", [False, True])
def test_parquet_files(tmp_path, single):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = DATA.astype(np.float32) if single else DATA
    paths = []
    for i, (X, w) in enumerate(cut(rows, WEIGHTS, [70])):
        table = pyarrow.table({"x": X[:, 0], "w": w, "y": X[:, 1], "z": X[:, 2]})
        paths.append(tmp_path / f"{i}.parquet")
        parquet.write_table(table, paths[-1], row_group_size=30)
    model = chunked.fit(paths, sample_weight="w", block_rows=50, **START)
    assert list(model.feature_names_in_) == ["x", "y", "z"]
    assert model.means_.dtype == rows.dtype
    if not single:
        assert_same_model(model, fit_in_memory())
    with pytest.raises(ValueError, match="no column 'v'"):
        chunked.fit(paths, sample_weight="v")
    parquet.write_table(pyarrow.table({"x": [1.0, 2.0]}), paths[1])
    with pytest.raises(ValueError, match=r"Block \d+ cannot be read: .*the columns of .*1.parquet"):
        chunked.fit(paths, sample_weight="w")


def test_a_null_of_parquet_is_a_missing_value(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"x": [1.0, None, 2.0], "y": [1.0, 2.0, 3.0]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="Block 0: Input X contains NaN"):
        chunked.fit(tmp_path / "a.parquet")


def test_hdf5_datasets(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        rows = file.create_dataset("x", data=DATA, chunks=(16, 2))
        weights = file.create_dataset("w", data=WEIGHTS)
        assert_same_model(chunked.fit(rows, sample_weight=weights, **START), fit_in_memory())
        assert_same_model(chunked.fit(rows, sample_weight=weights, block_rows=50, **START), fit_in_memory())


def test_zarr_arrays(tmp_path):
    zarr = pytest.importorskip("zarr")
    rows = zarr.open(str(tmp_path / "a.zarr"), mode="w", shape=DATA.shape, chunks=(16, 2), dtype="f8")
    rows[:] = DATA
    assert_same_model(chunked.fit(rows, sample_weight=WEIGHTS, block_rows=64, **START), fit_in_memory())


def test_dask_arrays():
    array = pytest.importorskip("dask.array")
    rows, weights = array.from_array(DATA, chunks=(64, 2)), array.from_array(WEIGHTS, chunks=64)
    assert_same_model(chunked.fit(rows, sample_weight=weights, **START), fit_in_memory())
    # A selection, whose blocks have sizes that dask does not know; some are empty.
    chosen = rows[:, 0] > 4
    model = chunked.fit(rows[chosen], 1, covariance_type="diag")
    np.testing.assert_allclose(model.means_[0], DATA[DATA[:, 0] > 4].mean(axis=0), rtol=1e-12)
    with pytest.raises(ValueError, match="sample_weight has 2 partitions, and the rows have 4"):
        chunked.fit(rows, sample_weight=weights.rechunk(100))


def test_dask_dataframes():
    pandas, dataframe = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    frame = dataframe.from_pandas(pandas.DataFrame(DATA, columns=["x", "y", "z"]).assign(w=WEIGHTS), npartitions=3)
    model = chunked.fit(frame[["x", "y", "z"]], sample_weight=frame["w"], **START)
    assert list(model.feature_names_in_) == ["x", "y", "z"]
    assert_same_model(model, fit_in_memory())


@pytest.mark.parametrize("module", ["pyarrow.parquet", "dask"])
def test_a_missing_package_is_named(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    rows = type("Array", (), {"__module__": "dask.array"})() if module == "dask" else "a.parquet"
    with pytest.raises(ImportError, match=rf"pip install {module.partition('.')[0]}, or pip install 'gaussmix\["):
        chunked.fit(rows)


# What is not valid.


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (iter([DATA]), "only once"),
        (5, "but got int"),
        ("a.csv", "end in .npy"),
    ],
)
def test_what_is_no_source(source, message):
    with pytest.raises(TypeError, match=message):
        chunked.fit(source)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([], "no blocks of rows"),
        ([DATA[:1]], "a minimum of 2 is required"),
        ([DATA, DATA[:, :2]], "Block 1: X has 2 features, but GaussianMixture is expecting 3 features"),
        ([DATA, np.where(DATA > 9, np.nan, DATA)], "Block 1: Input X contains NaN"),
        ([DATA, np.where(DATA > 9, np.inf, DATA)], "Block 1: Input X contains infinity"),
        ([DATA, [["a", "b", "c"]]], "Block 1: could not convert string to float"),
        ([DATA[0]], "Block 0: Expected 2D array, got 1D array"),
        ([(DATA, WEIGHTS[:3])], r"Block 0: sample_weight.shape == \(3,\)"),
        ([(DATA, -WEIGHTS)], "Block 0: Negative values in data passed to `sample_weight`"),
        ([(DATA, WEIGHTS), (DATA, np.full(200, np.nan))], "Block 1: Input sample_weight contains NaN"),
        ([(DATA, 0 * WEIGHTS)], "at least one non-zero number"),
        ([DATA, (DATA, WEIGHTS)], "Block 1: either all blocks have a sample_weight"),
    ],
)
def test_bad_blocks(blocks, message):
    with pytest.raises(ValueError, match=message):
        chunked.fit(blocks)


def test_fewer_rows_than_components():
    with pytest.raises(ValueError, match="n_samples >= n_components but got n_components = 201, n_samples = 200"):
        chunked.fit([DATA], 201)
    with pytest.raises(ValueError, match="at least n_components = 2 rows with a positive sample_weight, but got 1"):
        chunked.fit([(DATA, np.eye(200)[0])], 2)


@pytest.mark.parametrize(
    "params", [{"seeding": "random"}, {"block_rows": 0}, {"checkpoint_every": 0}, {"sample_size": -1}, {"tol": -1}]
)
def test_bad_parameters(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        chunked.fit([DATA], **params)


class Changing:
    """Blocks of which one is another from the third time on."""

    def __init__(self, other):
        self.calls, self.other = 0, other

    def __call__(self):
        self.calls += 1
        yield DATA[:100]
        yield DATA[100:] if self.calls < 3 else self.other()


def fails():
    raise FileNotFoundError("gone")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: DATA[101:], "Block 1: it has 99 rows in this pass, and had 100 in the first one"),
        (lambda: DATA[100:, :2], "Block 1: X has 2 features, but GaussianMixture is expecting 3"),
        (lambda: DATA[100:] * np.nan, "Block 1: Input X contains NaN"),
        (fails, "Block 1 cannot be read: FileNotFoundError: gone"),
    ],
)
@pytest.mark.parametrize("n_init", [1, 3])
def test_a_source_that_changes_between_passes(other, message, n_init):
    source = Changing(other)
    with pytest.raises(ValueError, match=message):
        chunked.fit(source, 2, random_state=0, n_init=n_init)
    assert source.calls == 3


def test_a_source_that_ends_early():
    calls = []

    def blocks():
        calls.append(None)
        return iter([DATA[:100], DATA[100:]][: 2 if len(calls) < 3 else 1])

    with pytest.raises(ValueError, match="Block 1: it has no rows in this pass, and had 100"):
        chunked.fit(blocks, 2, random_state=0)


# Reading while computing.


def test_the_next_block_is_read_while_this_one_is_used():
    reading = [threading.Event() for _ in range(4)]

    def blocks():
        for i in range(3):
            reading[i].set()
            yield i
        reading[3].set()

    for i in read_ahead(blocks()):
        # Without a reader of its own this would wait for ever: no one asks for the next block.
        assert reading[i + 1].wait(60)
        # No further one is read: two at most are in memory.
        assert not any(event.is_set() for event in reading[i + 2 :])


def test_a_reader_ends_with_its_pass():
    before = threading.active_count()
    blocks = read_ahead(iter(range(100)))
    assert next(blocks) == 0
    blocks.close()
    assert threading.active_count() == before


def test_blocks_are_not_read_by_the_calling_thread():
    threads = set()

    def blocks():
        threads.add(threading.current_thread())
        yield DATA

    chunked.fit(blocks, 1)
    assert threading.current_thread() not in threads


def test_ctrl_c_leaves_the_model_so_far():
    passes = 0

    def blocks():
        nonlocal passes
        passes += 1
        yield DATA[:100], WEIGHTS[:100]
        if passes == 5:  # the fourth iteration: the first pass looks at the rows
            raise KeyboardInterrupt
        yield DATA[100:], WEIGHTS[100:]

    model = GaussianMixture(**START, tol=0)
    with pytest.raises(KeyboardInterrupt):
        fit_blocks(model, BlockSource(blocks), Plan())
    with pytest.warns(ConvergenceWarning):
        expected = fit_in_memory(tol=0, max_iter=3)
    assert_same_model(model, expected)


# What one sees.


def test_the_meter(capsys):
    now = [0.0]
    meter = Meter(10, clock=lambda: now[0])
    for _ in range(2):
        meter.begin_pass()
        for _ in range(4):
            now[0] += 1
            meter.step(250)
        meter.end_pass()
        meter.iterate(0, 6, 4)
    meter.begin_pass()
    now[0] += 2
    meter.step(500)
    meter.close()
    lines = capsys.readouterr().err.rstrip().split("\r")
    assert lines[1].startswith("seeding: 250 rows, 250 rows/s")
    # 2 of 4 seconds of this pass are left, and 4 passes of 4 seconds.
    assert (
        lines[-1]
        == "restart 0, iteration 6: 500 of 1e+03 rows, 250 rows/s, 2.0 s left of this pass, at most 18 s of all"
    )


def test_progress_is_drawn(capsys):
    chunked.fit([DATA], 2, random_state=0, progress=True)
    assert re.search(r"restart 0, iteration \d+: 200 of 200 rows, .* rows/s", capsys.readouterr().err)
    chunked.fit([DATA], 2, random_state=0)
    assert capsys.readouterr().err == ""


# Checkpoints.


def fit_with_checkpoint(path, source=None, **params):
    blocks = cut(DATA, WEIGHTS, CUTS) if source is None else source
    settings = {"random_state": 0, "n_init": 3, "tol": 1e-12, "init_params": "random_from_data", "sample_size": 30}
    return chunked.fit(blocks, 3, checkpoint=path, checkpoint_every=2, **settings | params)


class Interrupted:
    """Blocks that end in an error after a number of passes."""

    def __init__(self, passes):
        self.passes = passes

    def __call__(self):
        self.passes -= 1
        if self.passes < 0:
            raise OSError("the disk is gone")
        return iter(cut(DATA, WEIGHTS, CUTS))


@pytest.mark.filterwarnings("ignore:Best performing")
@pytest.mark.parametrize("seeding", ["reservoir", "k-means||"])
def test_a_fit_that_goes_on_ends_with_the_same_bits(tmp_path, seeding):
    whole = fit_with_checkpoint(None, seeding=seeding, max_iter=9)
    path = tmp_path / "fit.safetensors"
    broken = 0
    for _ in range(100):
        try:
            model = fit_with_checkpoint(path, Interrupted(11), seeding=seeding, max_iter=9)
            break
        except ValueError as error:
            assert "the disk is gone" in str(error)
            broken += 1
    assert broken >= 2
    assert_same_bits(model, whole)
    assert model.restarts_ == whole.restarts_
    assert model.events_ == whole.events_
    # A fit that has ended is there at once: after the pass that looks at the rows.
    assert_same_bits(fit_with_checkpoint(path, Interrupted(1), seeding=seeding, max_iter=9), whole)


@pytest.mark.filterwarnings("ignore:Best performing", "ignore:Components")
@pytest.mark.parametrize("kind", TYPES)
def test_what_was_repaired_is_remembered(tmp_path, kind):
    # Repeated rows and no regularisation: components are floored and moved, which the rest of the fit depends on.
    rng = np.random.default_rng(0)
    X = np.concatenate([np.repeat(rng.normal(size=(4, 2)), 30, axis=0), rng.normal(size=(80, 2))])
    pairs = cut(X, None, [50, 51])
    settings = {"reg_covar": 0, "max_iter": 12, "tol": 0, "random_state": 3, "sample_size": 40, "covariance_type": kind}
    whole = chunked.fit(pairs, 8, **settings)
    path = tmp_path / "fit"
    limits = iter(range(8, 200, 3))
    for _ in range(30):
        left = next(limits)

        def blocks(left=[left]):  # noqa: B006
            left[0] -= 1
            if left[0] < 0:
                raise OSError("gone")
            return iter(pairs)

        try:
            model = chunked.fit(blocks, 8, checkpoint=path, checkpoint_every=1, **settings)
            break
        except ValueError as error:
            assert "gone" in str(error)
    assert_same_bits(model, whole)
    assert model.events_ == whole.events_


def test_a_checkpoint_is_a_model_file(tmp_path):
    path = tmp_path / "fit.safetensors"
    with pytest.raises(ValueError, match="the disk is gone"):
        fit_with_checkpoint(path, Interrupted(8))
    model = gaussmix.load(path)
    assert 0 < model.n_iter_ == len(model.lower_bounds_) < 8
    assert np.isfinite(model.score(DATA))


def test_a_checkpoint_of_another_fit(tmp_path):
    path = tmp_path / "fit.safetensors"
    whole = fit_with_checkpoint(path)
    others = [{"tol": 1e-3}, {"random_state": 1}, {"seeding": "k-means||"}, {"source": cut(DATA, WEIGHTS, [])}]
    others += [{"source": cut(DATA + 1, WEIGHTS, CUTS)}, {"source": cut(DATA, WEIGHTS + 1, CUTS)}]
    for other in others:
        with pytest.raises(ValueError, match="of a fit with other rows or parameters"):
            fit_with_checkpoint(path, **other)
    assert fit_with_checkpoint(path, tol=1e-3, resume=False).n_iter_ < whole.n_iter_
    whole.save(path)
    with pytest.raises(gaussmix.ModelFileError, match="not a checkpoint"):
        fit_with_checkpoint(path)


def test_a_random_state_that_moves_on_is_kept_as_its_seed(tmp_path):
    path = tmp_path / "fit"
    whole = fit_with_checkpoint(None, random_state=np.random.RandomState(7))
    with pytest.raises(ValueError, match="the disk is gone"):
        fit_with_checkpoint(path, Interrupted(8), random_state=np.random.RandomState(7))
    assert_same_bits(fit_with_checkpoint(path, random_state=np.random.RandomState(8)), whole)


SCRIPT = """
import sys, time
import numpy as np
from gaussmix import chunked

def blocks():
    rows = np.load(sys.argv[1], mmap_mode="r")
    for first in range(0, len(rows), 500):
        time.sleep(float(sys.argv[3]))
        yield np.array(rows[first : first + 500])

model = chunked.fit(blocks, 5, random_state=0, n_init=2, tol=0, max_iter=15, sample_size=100,
                    checkpoint=sys.argv[2] or None, checkpoint_every=1)
model.save(sys.argv[4])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL")
def test_after_a_kill_the_fit_ends_with_the_same_bits(tmp_path):
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(2000, 3)))
    (tmp_path / "fit.py").write_text(SCRIPT)

    def command(checkpoint, pause, out):
        arguments = [tmp_path / "rows.npy", checkpoint, pause, tmp_path / out]
        return [sys.executable, "-W", "ignore", tmp_path / "fit.py", *map(str, arguments)]

    subprocess.run(command("", 0, "whole"), check=True, timeout=300)
    checkpoint = tmp_path / "checkpoint"
    for _ in range(2):
        written = os.stat(checkpoint).st_mtime_ns if checkpoint.exists() else 0
        fit = subprocess.Popen(command(checkpoint, 0.01, "killed"))
        try:
            deadline = time.monotonic() + 120
            while not (checkpoint.exists() and os.stat(checkpoint).st_mtime_ns > written):
                assert fit.poll() is None, "the fit ended before it could be killed"
                assert time.monotonic() < deadline
                time.sleep(0.005)
        finally:
            fit.send_signal(signal.SIGKILL)
            fit.wait()
        assert not (tmp_path / "killed").exists()
    subprocess.run(command(checkpoint, 0, "killed"), check=True, timeout=300)
    assert (tmp_path / "killed").read_bytes() == (tmp_path / "whole").read_bytes()


# Memory.

MEMORY = """
import resource, sys, threading
import numpy as np
from gaussmix import GaussianMixture, chunked

threading.stack_size(256 * 1024)  # the readers' stacks would take most of the limit

how, path, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
warm = np.random.default_rng(0).normal(size=(2000, 64))
model = GaussianMixture(4, covariance_type="diag", init_params="random_from_data", random_state=0, max_iter=3, tol=0,
                        n_threads=2)
model.fit(warm)
chunked.fit([warm])  # all threads and their stacks have been there
used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (used * 1024 + limit,) * 2)
if how == "fit":
    model.fit(np.lib.format.open_memmap(path, mode="r"))
elif how == "copy":
    model.fit(np.load(path))
else:
    model = chunked.fit(path, block_rows=4096, sample_size=2000, **model.get_params())
print(model.lower_bound_)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts what is not mapped from a file on Linux alone")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_file_ten_times_larger_than_memory(tmp_path, dtype):
    # The limit is on memory that is the process's own; pages of the file the system takes back when it needs them.
    n, d = (600_000 if dtype == np.float32 else 300_000), 64
    path = tmp_path / "rows.npy"
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(n, d))
    rng = np.random.default_rng(0)
    for first in range(0, n, 20_000):
        rows[first : first + 20_000] = rng.standard_normal((20_000, d), dtype=dtype)
    del rows
    limit = os.path.getsize(path) // 10

    def run(how):
        command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(MEMORY), how, str(path), str(limit)]
        return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)

    for how in ("fit", "chunked"):
        done = run(how)
        assert done.returncode == 0, done.stderr
        # Standard normal rows have about this density under a mixture of them.
        assert float(done.stdout) == pytest.approx(-0.5 * d * (1 + np.log(2 * np.pi)), rel=1e-2)
    assert "MemoryError" in run("copy").stderr
