"""Fits to rows in files: every kind of source, exactness, errors, reading ahead, memory, and going on after a kill."""

import gc
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
import weakref

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning

import gaussmix
import gaussmix._block_fit
from blocks import Blocks, cut
from cases import ARRAYS, TYPES, assert_finite, assert_same_bits, assert_same_model, explicit_start
from gaussmix import GaussianMixture, chunked
from gaussmix._block_fit import Plan, fit_blocks
from gaussmix._checkpoint import _digest
from gaussmix._dispatch import core
from gaussmix._progress import Meter, Reporter
from gaussmix._safetensors import parse, serialize
from gaussmix._sources import BlockSource, ReadAhead, open_source

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


@pytest.mark.parametrize("kind", TYPES)
def test_rows_a_millionth_as_wide_as_the_start_keep_their_variance(kind):
    places = np.array([[300.0, 0], [-300, 0]])
    noise = np.random.default_rng(0).normal(size=(200, 2))
    unit = {"full": [np.eye(2)] * 2, "tied": np.eye(2), "diag": np.ones((2, 2)), "spherical": np.ones(2)}[kind]
    start = {"weights_init": [0.5, 0.5], "means_init": places, "precisions_init": unit}
    X = 1e-6 * noise + np.repeat(places, 100, axis=0)
    model = chunked.fit(cut(X, None, [70, 150]), 2, covariance_type=kind, reg_covar=0, max_iter=1, **start)
    assert model.events_ == []
    spread = np.square(noise.reshape(2, 100, 2) - noise.reshape(2, 100, 2).mean(axis=1, keepdims=True)).mean()
    np.testing.assert_allclose(_mean_variance(model), 1e-12 * spread, rtol=1e-6)


def _mean_variance(model):
    if model.covariance_type in ("full", "tied"):
        return np.mean(np.diagonal(model.covariances_, axis1=-2, axis2=-1))
    return np.mean(model.covariances_)


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
    np.testing.assert_array_equal(model.predict(DATA), np.repeat(model.predict(DATA[[0, -1]]), 100))
    # Both clusters are found: the mean of each is that of its rows.
    order = np.argsort(model.means_[:, 0])
    np.testing.assert_allclose(model.means_[order], [DATA[:100].mean(0), DATA[100:].mean(0)], atol=0.1)


def test_a_stream_goes_on_from_a_file():
    model = chunked.fit(cut(DATA, None, CUTS), **START, tol=1e-6)
    in_memory = GaussianMixture(**START, tol=1e-6).fit(DATA)
    more = DATA[::3] + 0.1
    np.testing.assert_allclose(model.partial_fit(more).means_, in_memory.partial_fit(more).means_, rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-150, 1e-12, 1e12, 1e150])
@pytest.mark.parametrize("seeding", ["reservoir", "k-means||"])
def test_units_do_not_matter(scale, seeding):
    params = {"seeding": seeding, "random_state": 0, "tol": 1e-6, "reg_covar": 0}
    one = chunked.fit(cut(DATA, None, CUTS), 2, **params)
    two = chunked.fit(cut(DATA * scale, None, CUTS), 2, **params)
    np.testing.assert_allclose(two.means_ / scale, one.means_, rtol=1e-6)


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


class Counted:
    """Blocks that count how often they are gone through."""

    def __init__(self, pairs):
        self.pairs, self.passes = pairs, 0

    def __call__(self):
        self.passes += 1
        return iter(self.pairs)


@pytest.mark.parametrize("given", [(), ("weights",), ("precisions",)])
def test_one_component_needs_no_seeding(given):
    source = Counted(cut(DATA, WEIGHTS, CUTS))
    start = explicit_start(DATA, 1, "full")
    params = {"seeding": "k-means||", "random_state": 0, **{f"{name}_init": start[f"{name}_init"] for name in given}}
    model = chunked.fit(source, 1, **params)
    np.testing.assert_allclose(model.means_[0], np.average(DATA, axis=0, weights=WEIGHTS), rtol=1e-12)
    covariance = np.cov(DATA.T, aweights=WEIGHTS, ddof=0) + 1e-6 * np.eye(3)
    np.testing.assert_allclose(model.covariances_[0], covariance, rtol=1e-12)
    # One that looks at the rows, one for the start, two of EM or three, and one for the likelihood.
    assert source.passes == 3 + model.n_iter_ <= 6


@pytest.mark.parametrize("seeding", ["reservoir", "k-means||"])
def test_squares_that_overflow(seeding):
    with pytest.raises(ValueError, match="squares of the data overflow; scale the input data"):
        chunked.fit(cut(DATA * 1e160, None, CUTS), 2, seeding=seeding, random_state=0)


def failing_starts(monkeypatch, numbers, error):
    """Let starts end in an error."""
    start, calls = gaussmix._block_fit.start, iter(range(100))

    def failing(*arguments):
        if next(calls) in numbers:
            raise error("singular")
        return start(*arguments)

    monkeypatch.setattr(gaussmix._block_fit, "start", failing)


@pytest.mark.parametrize("error", [core.NotPositiveDefinite, core.DegenerateData])
def test_a_start_without_a_model_leaves_the_others(monkeypatch, error):
    failing_starts(monkeypatch, [0, 2], error)
    with pytest.warns(ConvergenceWarning, match="2 of 4 restarts ended without a model"):
        model = chunked.fit(cut(DATA, None, CUTS), 2, random_state=0, n_init=4)
    assert [event.restart for event in model.events_ if event.cause == "failed"] == [0, 2]
    assert_finite(model)


@pytest.mark.parametrize("error", [core.DegenerateData, ValueError])
@pytest.mark.parametrize("n_init", [1, 3])
def test_a_fit_that_failed_keeps_no_rows_alive(monkeypatch, error, n_init):
    failing_starts(monkeypatch, range(n_init), error)
    source = Blocks(cut(DATA, None, CUTS))
    known = weakref.ref(source)
    gc.disable()
    try:
        with pytest.raises(error, match="singular"):
            fit_blocks(GaussianMixture(2, n_init=n_init), source, Plan())
        del source
        assert known() is None
    finally:
        gc.enable()


def test_a_pass_that_failed_keeps_no_rows_alive():
    class Ends(Blocks):
        def reduce(self, *functions):
            self.pairs = [*self.pairs, (DATA[:, :2], None)] if hasattr(self, "seen") else self.pairs
            self.seen = True
            return super().reduce(*functions)

    source = Ends(cut(DATA, None, CUTS))
    known = weakref.ref(source)
    gc.disable()
    try:
        with pytest.raises(ValueError, match="Block 5: X has 2 features"):
            fit_blocks(GaussianMixture(**START), source, Plan())
        del source
        assert known() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("error", [ValueError, RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize(("restart", "iteration"), [(0, 2), (1, 1)])
def test_what_a_callback_raises_ends_the_fit_with_the_model_so_far(monkeypatch, error, restart, iteration):
    class Raising(Reporter):
        def __call__(self, stage, number, at, *rest):
            if (stage, number, at) == ("iteration", restart, iteration):
                raise error("mine")
            return super().__call__(stage, number, at, *rest)

    params = {"n_components": 3, "random_state": 0, "init_params": "random_from_data", "tol": 0, "n_init": 3}
    pairs = cut(DATA, None, CUTS)
    monkeypatch.setattr(gaussmix._block_fit, "Reporter", Raising)
    model = GaussianMixture(**params, max_iter=5)
    with pytest.raises(error, match="mine"):
        fit_blocks(model, Blocks(pairs), Plan(sample_size=30))
    monkeypatch.undo()
    with pytest.warns(ConvergenceWarning):  # the same starts: a seed each
        one = chunked.fit(pairs, sample_size=30, **params | {"max_iter": iteration if restart == 0 else 5, "n_init": 1})
    np.testing.assert_array_equal(model.means_, one.means_)
    assert model.n_iter_ == one.n_iter_


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
    with pytest.raises(ValueError, match=r"the columns of .*1.parquet' are not those of"):
        chunked.fit(paths, sample_weight="w")


def test_parquet_columns_that_are_no_features(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(DATA, columns=["x", "y", "z"], index=pandas.Index(np.arange(200) * 1e6, name="id"))
    frame.to_parquet(tmp_path / "a.parquet")
    model = chunked.fit(tmp_path / "a.parquet", **START)
    assert list(model.feature_names_in_) == ["x", "y", "z"]
    assert_same_model(model, chunked.fit(DATA, **START))
    when = pandas.date_range("2026-01-01", periods=200)
    frame.assign(when=when, kind="text").to_parquet(tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"numeric columns, but these of .*b.parquet' are not: \['when', 'kind'\]"):
        chunked.fit(tmp_path / "b.parquet", **START)


def test_parquet_files_of_two_precisions_are_read_in_the_larger(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    X = np.linspace(0, 1, 50)
    for name, dtype in (("a", np.float32), ("b", np.float64)):
        parquet.write_table(pyarrow.table({"x": X.astype(dtype)}), tmp_path / f"{name}.parquet")
    for order in ("ab", "ba"):
        model = chunked.fit([tmp_path / f"{name}.parquet" for name in order], 1)
        assert model.means_.dtype == np.float64
        both = np.concatenate([X.astype(np.float32).astype(np.float64), X])
        np.testing.assert_allclose(model.means_[0, 0], both.mean(), rtol=1e-14)


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
    # Weights in other chunks, of an array, or one for all.
    for given in (weights.rechunk(100), WEIGHTS):
        assert_same_model(chunked.fit(rows, sample_weight=given, **START), fit_in_memory())
    assert_same_model(chunked.fit(rows, sample_weight=2.0, **START), chunked.fit(rows, **START))
    with pytest.raises(ValueError, match="X has 4 blocks, but sample_weight has 2"):
        chunked.fit(rows[chosen], sample_weight=array.ones(200, chunks=100))


def test_partitions_of_dask_are_computed_several_at_once(monkeypatch):
    dask, array = pytest.importorskip("dask"), pytest.importorskip("dask.array")
    rows = array.from_array(DATA, chunks=(20, 3))
    chosen = rows[array.from_array(np.ones(200, dtype=bool), chunks=20)]  # of lengths that dask does not know
    compute, calls = dask.compute, []
    monkeypatch.setattr(dask, "compute", lambda *args, **how: (calls.append(len(args[0])), compute(*args, **how))[1])
    for X, block_bytes, expected in ((rows, 2**25, [10]), (rows, 4 * 20 * 3 * 8, [4, 4, 2]), (chosen, 2**25, [1] * 10)):
        calls.clear()
        monkeypatch.setattr("gaussmix._sources.BLOCK_BYTES", block_bytes)
        source = open_source(X, None, None)
        total = source.reduce(lambda index, x, w: x.sum(axis=0), np.add)
        np.testing.assert_allclose(total, DATA.sum(axis=0), rtol=1e-12)
        assert calls == expected


def test_dask_dataframes():
    pandas, dataframe = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    frame = dataframe.from_pandas(pandas.DataFrame(DATA, columns=["x", "y", "z"]).assign(w=WEIGHTS), npartitions=3)
    model = chunked.fit(frame[["x", "y", "z"]], sample_weight=frame["w"], **START)
    assert list(model.feature_names_in_) == ["x", "y", "z"]
    assert_same_model(model, fit_in_memory())


def frame_of(library, rows):
    frames = pytest.importorskip(library)
    columns = {name: rows[:, j] for j, name in enumerate(["x", "y", "z"])}
    return frames.DataFrame(columns)


def names_of(model):
    return list(getattr(model, "feature_names_in_", []))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames(library):
    frame = frame_of(library, DATA)
    names = names_of(GaussianMixture().fit(frame))
    assert names == ["x", "y", "z"] or library == "polars"  # scikit-learn 1.6 sees no names there
    for block_rows in (None, 33):
        model = chunked.fit(frame, sample_weight=WEIGHTS, block_rows=block_rows, **START)
        assert_same_model(model, fit_in_memory())
        assert names_of(model) == names
        np.testing.assert_array_equal(model.predict(frame), fit_in_memory().predict(DATA))
    with pytest.raises(ValueError, match=r"sample_weight has the shape \(3,\), and there are 200 rows"):
        chunked.fit(frame, sample_weight=WEIGHTS[:3])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_as_blocks(library):
    one, two = frame_of(library, DATA[:100]), frame_of(library, DATA[100:])
    model = chunked.fit([(one, WEIGHTS[:100]), (two, WEIGHTS[100:])], **START)
    assert_same_model(model, fit_in_memory())
    names = names_of(GaussianMixture().fit(one))
    assert names_of(model) == names
    model = chunked.fit([(DATA[:100], WEIGHTS[:100]), (two, WEIGHTS[100:])], **START)
    assert names_of(model) == names
    assert not hasattr(chunked.fit([DATA], **START), "feature_names_in_")
    if not names:  # scikit-learn 1.6 sees none in the frames of polars, and has nothing to compare
        assert library == "polars"
        return
    # Columns that change places would be mixed; an array has no names to compare.
    message = r"Block 1: the feature names should match .* expected \['x', 'y', 'z'\], but got \['y', 'x', 'z'\]"
    with pytest.raises(ValueError, match=message):
        chunked.fit([one, two[["y", "x", "z"]]], **START)
    with pytest.raises(ValueError, match=message):
        chunked.fit(Changing(lambda: two[["y", "x", "z"]], one, two), **START)


def test_a_frame_with_names_of_two_types():
    frame = frame_of("pandas", DATA)
    frame.columns = ["x", 1, "z"]
    with pytest.raises(ValueError, match="Block 0: Feature names are only supported if all input features have string"):
        chunked.fit([frame], **START)


@pytest.mark.parametrize("module", ["pyarrow.parquet", "dask"])
def test_a_missing_package_is_named(monkeypatch, tmp_path, module):
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "a.parquet").touch()
    rows = type("Array", (), {"__module__": "dask.array"})() if module == "dask" else tmp_path / "a.parquet"
    with pytest.raises(ImportError, match=rf"pip install {module.partition('.')[0]}, or pip install 'gaussmix\["):
        chunked.fit(rows)


# What is not valid.


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (iter([DATA]), "only once"),
        (5, "but got int"),
        (__file__, "end in .npy"),
        ({"v": DATA}, r"A dict holds arrays by name: pass one of them, source\[name\]"),
        (csr_array(DATA), "Sparse data was passed for X, but dense data is required"),
        ([DATA, csr_array(DATA)], "Block 1: Sparse data was passed for X, but dense data is required"),
    ],
)
def test_what_is_no_source(source, message):
    with pytest.raises(TypeError, match=message):
        chunked.fit(source)


@pytest.mark.parametrize("name", ["gone.npy", "gone.parquet", "gone*.npy"])
def test_files_that_are_not_there(tmp_path, name):
    np.save(tmp_path / "a.npy", DATA)
    message = rf"no such file: .*{re.escape(name)}"
    for rows in (tmp_path / name, [tmp_path / "a.npy", tmp_path / name]):
        with pytest.raises(FileNotFoundError, match=message):
            chunked.fit(rows)
    with pytest.raises(FileNotFoundError, match=message):
        chunked.fit(tmp_path / "a.npy", sample_weight=tmp_path / name)


def test_a_folder_and_a_pattern_stand_for_their_files(tmp_path):
    for i, (X, w) in enumerate(cut(DATA, WEIGHTS, [70, 90])):
        for kind, array in (("rows", X), ("weights", w)):
            (tmp_path / kind).mkdir(exist_ok=True)
            np.save(tmp_path / kind / f"{i}.npy", array)
    (tmp_path / "rows" / "_other").touch()
    model = chunked.fit(tmp_path / "rows", sample_weight=tmp_path / "weights", **START)
    assert_same_model(model, fit_in_memory())
    assert_same_bits(chunked.fit(str(tmp_path / "rows" / "*.npy"), sample_weight=tmp_path / "weights", **START), model)
    with pytest.raises(TypeError, match="files that end in"):
        chunked.fit(tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Dask's own
def test_a_folder_as_dask_writes_it(tmp_path):
    pandas, dataframe = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(DATA, columns=["x", "y", "z"])
    dataframe.from_pandas(frame, npartitions=3).to_parquet(tmp_path / "d.parquet")
    assert_same_model(chunked.fit(tmp_path / "d.parquet", **START), chunked.fit(DATA, **START))


def test_one_number_weighs_all_rows(tmp_path):
    np.save(tmp_path / "a.npy", DATA)
    expected = GaussianMixture(**START).fit(DATA, sample_weight=2.5)
    sources = [DATA, [DATA[:90], DATA[90:]], lambda: iter([DATA]), tmp_path / "a.npy", frame_of("pandas", DATA)]
    for source in sources:
        assert_same_model(chunked.fit(source, sample_weight=2.5, **START), expected)


@pytest.mark.parametrize(("weights", "message"), [([WEIGHTS], "fewer"), ([WEIGHTS] * 3, "more")])
def test_weights_of_another_number_of_blocks(weights, message):
    with pytest.raises(ValueError, match=f"sample_weight has {message} blocks than the rows"):
        chunked.fit([DATA, DATA], sample_weight=weights)


def test_an_array_of_one_dimension():
    with pytest.raises(ValueError, match=r"Expected 2D array, got 1D array instead: the source has the shape \(200,\)"):
        chunked.fit(WEIGHTS)


def test_a_callable_that_returns_the_same_iterator():
    blocks = iter([DATA, DATA])
    with pytest.raises(ValueError, match=r"Block 0: it has no rows in this pass.* a callable, by a new iterator"):
        chunked.fit(lambda: blocks)


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
        ([(DATA, np.full(200, 1e307))], "The sum of `sample_weight` overflows"),
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


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"weights_init": [0.5, 0.6]}, "'weights' should be normalized"),
        ({"means_init": [[0.0, 1.0]]}, "'means' should have the shape"),
        ({"means_init": [[0.0, np.nan], [0.0, 1.0]]}, "Input means contains NaN"),
        ({"precisions_init": -np.eye(2), "covariance_type": "tied"}, "positive-definite"),
        ({"warm_start": True}, "warm_start has no earlier fit"),
    ],
)
def test_what_is_known_to_be_wrong_before_a_pass(params, message):
    source = Counted([(DATA, None)])
    with pytest.raises(ValueError, match=message):
        chunked.fit(source, 2, **params)
    assert source.passes == 0


class Changing:
    """Blocks of which the second is another from the third time on."""

    def __init__(self, other, first=DATA[:100], second=DATA[100:]):
        self.calls, self.other, self.first, self.second = 0, other, first, second

    def __call__(self):
        self.calls += 1
        yield self.first
        yield self.second if self.calls < 3 else self.other()


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

    with ReadAhead(blocks()) as read:
        for i in read:
            # Without a reader of its own this would wait for ever: no one asks for the next block.
            assert reading[i + 1].wait(60)
            # No further one is read: two at most are in memory.
            assert not any(event.is_set() for event in reading[i + 2 :])


def test_a_reader_ends_with_its_pass():
    before = threading.active_count()
    with ReadAhead(iter(range(100))) as blocks:
        assert next(iter(blocks)) == 0
    assert threading.active_count() == before


def test_blocks_are_not_read_by_the_calling_thread():
    threads = set()

    def blocks():
        threads.add(threading.current_thread())
        yield DATA

    chunked.fit(blocks, 1)
    assert threading.current_thread() not in threads


def test_a_source_is_closed_where_it_is_read():
    """As a connection to a database must be, whether the pass ends or fails."""
    threads = []

    def blocks(of_second):
        try:
            threads.append(threading.get_ident())
            yield DATA
            yield of_second
            yield DATA
        finally:
            threads.append(threading.get_ident())

    chunked.fit(lambda: blocks(DATA), 1)
    with pytest.raises(ValueError, match="Block 1: Expected 2D array"):
        chunked.fit(lambda: blocks(DATA[0]), 1)
    assert threads[::2] == threads[1::2]
    assert threading.get_ident() not in threads


INTERRUPTED = """
import os, signal, sys, threading, time
import numpy as np
from gaussmix import chunked

slow = threading.Event()

def blocks():
    yield np.random.default_rng(0).normal(size=(50, 2))
    slow.set()
    time.sleep(float(sys.argv[1]))
    yield np.zeros((50, 2))

def interrupt():
    slow.wait()
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
try:
    chunked.fit(blocks)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    os._exit(0)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGINT is sent otherwise")
def test_ctrl_c_does_not_wait_for_a_slow_source():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, "100"], capture_output=True, text=True, timeout=60)
    assert done.stdout == "interrupted\n", done.stderr


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


@pytest.mark.parametrize("given", [(), ("weights",), ("means",), ("weights", "means", "precisions")])
@pytest.mark.parametrize("seeding", ["reservoir", "k-means||"])
@pytest.mark.filterwarnings("ignore:Best performing")
def test_the_passes_that_are_left(seeding, given):
    source = Counted(cut(DATA, None, CUTS))
    told = []

    class Recorded(Meter):
        def iterate(self, restart, iteration, left):
            told.append((source.passes, left))

    model = GaussianMixture(2, n_init=3, max_iter=4, tol=0, random_state=0)
    model.set_params(**{f"{name}_init": START[f"{name}_init"] for name in given})
    fit_blocks(model, BlockSource(source), Plan(seeding=seeding, meter=Recorded(4)))
    # Without a tolerance all are made: left are those after the next one.
    assert len(told) == (5 if "means" in given else 15)
    assert told == [(done, source.passes - done - 1) for done, _ in told]


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


def test_a_checkpoint_of_other_parameters(tmp_path):
    path = tmp_path / "fit.safetensors"
    whole = fit_with_checkpoint(path)
    others = {
        "tol": (1e-12, 1e-3),
        "random_state": (0, 1),
        "seeding": ("reservoir", "k-means||"),
        "sample_size": (30, 40),
        "n_init": (3, 1),
        "means_init": (None, None),
    }
    for name, (was, now) in others.items():
        source = Counted(cut(DATA, WEIGHTS, CUTS))
        message = f"{name} was {was!r} and is {now!r}" if now is not None else f"{name} was None and is 'array "
        with pytest.raises(ValueError, match=re.escape(message)):
            fit_with_checkpoint(path, source, **{name: DATA[:3] if now is None else now})
        assert source.passes == 0
    assert fit_with_checkpoint(path, tol=1e-3, resume=False).n_iter_ < whole.n_iter_


def test_what_does_not_change_the_numbers_may_change(tmp_path):
    whole = fit_with_checkpoint(tmp_path / "fit")
    other = {"verbose": 1, "verbose_interval": 3, "n_threads": 1, "step_power": 0.9, "step_offset": 1}
    assert_same_bits(fit_with_checkpoint(tmp_path / "fit", Interrupted(1), **other), whole)


def swapped(array):
    """Return rows of which two, in one block, have changed places."""
    return array[[*range(20, 22), *range(2, 20), 0, 1, *range(22, 200)]]


@pytest.mark.parametrize(
    "source",
    [
        cut(DATA, WEIGHTS, []),
        cut(DATA + np.eye(200, 3) * 1e-12, WEIGHTS, CUTS),
        cut(DATA, swapped(WEIGHTS), [0, 100]),
        cut(DATA[:, :2], WEIGHTS, CUTS),
        cut(DATA, None, CUTS),
        cut(DATA.astype(np.float32), WEIGHTS, CUTS),
    ],
    ids=["blocks", "a bit", "weights", "columns", "no weights", "float32"],
)
def test_a_checkpoint_of_other_rows(tmp_path, source):
    path = tmp_path / "fit"
    fit_with_checkpoint(path)
    with pytest.raises(ValueError, match=r"fit'.*: it is of a fit to other rows, or to other blocks.*resume=False"):
        fit_with_checkpoint(path, source)


def test_rows_that_are_the_same_in_another_order_of_memory(tmp_path):
    path = tmp_path / "fit"
    whole = fit_with_checkpoint(path)
    pairs = [(np.asfortranarray(X), w) for X, w in cut(DATA, WEIGHTS, CUTS)]
    assert_same_bits(fit_with_checkpoint(path, pairs), whole)


@pytest.mark.filterwarnings("ignore:Best performing")
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("given", [False, True])
def test_more_iterations_for_a_fit_that_has_ended(tmp_path, kind, dtype, given):
    pairs, path = cut(DATA.astype(dtype), WEIGHTS, CUTS), tmp_path / "fit"
    params = {"n_components": 3, "covariance_type": kind, "tol": 1e-7, "random_state": 0, "sample_size": 20}
    params |= {"means_init": DATA[::80], "n_init": 2} if given else {}
    whole = chunked.fit(pairs, max_iter=200, **params)
    assert whole.converged_
    for max_iter in (2, 5, 6, 200, 300):
        model = chunked.fit(pairs, max_iter=max_iter, checkpoint=path, **params)
        assert_same_bits(model, chunked.fit(pairs, max_iter=max_iter, **params))
    assert_same_bits(model, whole)
    with pytest.raises(ValueError, match=rf"is 1, but {whole.n_iter_} iterations have been done"):
        chunked.fit(pairs, max_iter=1, checkpoint=path, **params)


def test_more_iterations_for_many_starts_are_refused(tmp_path):
    path = tmp_path / "fit"
    with pytest.warns(ConvergenceWarning):
        fit_with_checkpoint(path, max_iter=4)
    with pytest.raises(ValueError, match="max_iter was 4 and is 9; with n_init > 1"):
        fit_with_checkpoint(path, max_iter=9)


def test_going_on_with_output(tmp_path, capsys):
    path = tmp_path / "fit"
    with pytest.raises(ValueError, match="the disk is gone"):
        fit_with_checkpoint(path, Interrupted(4))
    fit_with_checkpoint(path, verbose=2, verbose_interval=1, progress=True)
    printed = capsys.readouterr()
    assert re.match(r"Initialization 0\n  Iteration 4\t time lapse", printed.out)
    assert "restart 2, iteration 0" in printed.err


@pytest.mark.filterwarnings("ignore:Best performing")
def test_ctrl_c_writes_the_iterations_that_have_been_done(tmp_path):
    passes = 0

    def blocks():
        nonlocal passes
        passes += 1
        if passes == 8:
            raise KeyboardInterrupt
        return iter(cut(DATA, WEIGHTS, CUTS))

    params = {"random_state": 0, "tol": 0, "max_iter": 12, "checkpoint": tmp_path / "fit", "checkpoint_every": 1000}
    with pytest.raises(KeyboardInterrupt):
        chunked.fit(blocks, 3, **params)
    assert gaussmix.load(tmp_path / "fit").n_iter_ == 6
    passes = -100
    model = chunked.fit(blocks, 3, **params)
    # One that looks at the rows, six iterations and one for the likelihood.
    assert passes == -100 + 8
    assert_same_bits(model, chunked.fit(blocks, 3, **params | {"checkpoint": None}))


@pytest.mark.parametrize("name", ["nowhere/fit", "folder"])
def test_a_checkpoint_that_cannot_be_written_is_known_before_a_pass(tmp_path, name):
    (tmp_path / "folder").mkdir()
    source = Counted(cut(DATA, WEIGHTS, CUTS))
    with pytest.raises(OSError, match="checkpoint cannot be written"):
        fit_with_checkpoint(tmp_path / name, source)
    with pytest.raises(TypeError, match="checkpoint should be a path, but got 5"):
        fit_with_checkpoint(5, source)
    assert source.passes == 0
    assert os.listdir(tmp_path) == ["folder"]


def test_a_disk_that_is_full_does_not_end_the_fit(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    whole = fit_with_checkpoint(None)
    monkeypatch.setattr("gaussmix._checkpoint.replace_file", full)
    with pytest.warns(UserWarning, match="checkpoint cannot be written, and the fit goes on without: .*No space left"):
        assert_same_bits(fit_with_checkpoint(tmp_path / "fit"), whole)


def test_the_bounds_of_a_long_fit_fit_into_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("gaussmix._safetensors.MAX_HEADER", 10_000)
    params = {"checkpoint": tmp_path / "fit", "checkpoint_every": 1000, "tol": 0, "max_iter": 1000}
    with pytest.warns(ConvergenceWarning) as told:
        model = chunked.fit([DATA[:10]], 1, **params)
    assert len(told) == 1
    assert gaussmix.load(tmp_path / "fit").lower_bounds_ == model.lower_bounds_


def test_a_model_that_no_file_can_hold_does_not_end_the_fit(tmp_path, monkeypatch):
    whole = fit_with_checkpoint(None)
    monkeypatch.setattr("gaussmix._safetensors.MAX_HEADER", 100)
    with pytest.warns(UserWarning, match=r"checkpoint cannot be written, .* would be longer than 16 MiB"):
        assert_same_bits(fit_with_checkpoint(tmp_path / "fit"), whole)


@pytest.mark.filterwarnings("error::UserWarning")
def test_what_ends_a_fit_is_raised_though_the_disk_is_full(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gaussmix._checkpoint.replace_file", full)
    model = GaussianMixture(**START, tol=0)
    plan = Plan(checkpoint=tmp_path / "fit", checkpoint_every=1000)
    monkeypatch.setattr(gaussmix._block_fit._BlockFit, "_run_restart", lambda *_: 1 / 0)
    monkeypatch.setattr(gaussmix._block_fit._BlockFit, "show", lambda _: True)
    with pytest.raises(ZeroDivisionError):
        fit_blocks(model, Blocks(cut(DATA, None, CUTS)), plan)


def test_going_on_with_another_instruction_set_warns(under_way):
    ended = under_way.with_name("ended")
    fit_with_checkpoint(ended)
    for path in (under_way, ended):
        rewrite(path, set_in("computed_by", value="gaussmix 0.1.0 with other"))
    with pytest.warns(
        UserWarning, match=r"begun by gaussmix 0.1.0 with other and goes on with gaussmix .*GAUSSMIX_ISA"
    ):
        model = fit_with_checkpoint(under_way)
    with warnings.catch_warnings(action="error", category=UserWarning):
        assert_same_bits(fit_with_checkpoint(ended), model)
        fit_with_checkpoint(under_way)


# Damaged checkpoints.


@pytest.fixture
def under_way(tmp_path):
    """Return the file of a fit whose first restart has ended, and whose second is under way."""
    path = tmp_path / "fit"
    ended = fit_with_checkpoint(None, n_init=1).n_iter_
    with pytest.raises(ValueError, match="the disk is gone"):
        fit_with_checkpoint(path, Interrupted(ended + 5))
    return path


def rewrite(path, change, signed=True):
    """Change the record or the tensors of a checkpoint, by default as one who knows how."""
    metadata, tensors = parse(path.read_bytes())
    record = json.loads(metadata["checkpoint"])
    change(metadata, record, tensors)
    metadata["checkpoint"] = json.dumps(record)
    if signed:
        metadata.pop("sha256")
        metadata["sha256"] = _digest(metadata, tensors)
    path.write_bytes(serialize(tensors, metadata))


def set_in(*keys, value):
    """Return a change of the record."""

    def change(metadata, record, tensors):
        for key in keys[:-1]:
            record = record[key]
        record[keys[-1]] = value

    return change


def set_tensor(name, function):
    """Return a change of a tensor."""

    def change(metadata, record, tensors):
        tensors[name] = function(tensors[name])

    return change


def without_tensors(*names):
    """Return a change that removes tensors, or all whose names begin so."""

    def change(metadata, record, tensors):
        for name in [name for name in tensors if name.startswith(names)]:
            del tensors[name]

    return change


def test_what_is_written_anew_is_a_checkpoint(under_way):
    whole = fit_with_checkpoint(None)
    rewrite(under_way, lambda *_: None)
    assert_same_bits(fit_with_checkpoint(under_way), whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_tensor("restart.1.means", lambda means: means * np.nan), "do not fit together|finite"),
        (
            set_tensor("restart.1.means", lambda means: means[:2]),
            r"tensor restart.1.\* is missing, or has another shape",
        ),
        (set_tensor("restart.1.means", np.float32), r"tensor restart.1.\* is missing, or has another shape or dtype"),
        (set_tensor("restart.1.covariances", lambda c: c * 2), "do not fit together"),
        (set_tensor("restart.1.weights", lambda w: w * 2), "do not fit together"),
        (without_tensors("restart.1.weights"), r"tensor restart.1.\* is missing"),
        (without_tensors("restart.1."), "record of a restart"),
        (without_tensors("restart.0."), "lacks its end or its model"),
        (without_tensors("means"), "no tensor means"),
        (set_in("seed", value=-1), "seed"),
        (set_in("seed", value="1"), "seed"),
        (set_in("rows", value=1), "rows"),
        (set_in("rows", value=""), "rows"),
        (set_in("settings", "covariance_type", value="banana"), "settings"),
        (set_in("settings", "n_components", value=2), "settings"),
        (set_in("settings", "max_iter", value=None), "settings"),
        (set_in("settings", value=[]), "record of the fit"),
        (set_in("restarts", value=5), "record of the fit"),
        (set_in("restarts", 1, value=5), "record of the fit"),
        (set_in("restarts", 0, "ended", value=False), "lacks its end"),
        (set_in("restarts", 1, "failed", value=True), "record of a restart"),
        (set_in("restarts", 1, "converged", value=1), "record of a restart"),
        (set_in("computed_by", value=1), "what computed it"),
        (set_tensor("restart_lower_bounds", lambda bounds: bounds.astype(int)), "restart_lower_bounds"),
        (set_tensor("restart_lower_bounds", lambda bounds: bounds * np.nan), "restart_lower_bounds"),
        (set_tensor("restart_lower_bounds", lambda bounds: bounds - np.inf), "record of a restart"),
        (set_tensor("restarts", lambda restarts: restarts[::-1].copy()), "record of a restart"),
        (set_tensor("restarts", lambda restarts: restarts[:1]), "restarts are not valid"),
        (set_in("restarts", 1, "previous_bound", value=float("nan")), "record of a restart"),
        (set_in("restarts", 1, "other", value=1), "record of the fit"),
        (set_in("restarts", 1, "state", value=[4]), "record of the fit"),
        (set_in("restarts", 1, "state", 1, value=2**40), "record of a restart"),
        (set_in("restarts", 1, "state", 2, value=[3]), "record of a restart"),
        (set_in("restarts", 1, "state", 2, value=""), "record of a restart"),
        (set_in("restarts", 1, "state", 3, value=[["drunk", 0, 0, 1, True]]), "record of a restart"),
        (set_in("restarts", 1, "state", 3, value=[["floored", 9, 0, 1, True]]), "record of a restart"),
        (lambda metadata, *_: metadata.update(covariance_type="diag"), "shape"),
        (lambda metadata, *_: metadata.update(version="9"), "version '9'"),
    ],
)
def test_a_checkpoint_that_was_tampered_with(under_way, change, message):
    rewrite(under_way, change)
    with pytest.raises(gaussmix.ModelFileError, match=f"Cannot go on from .*fit': .*({message})"):
        fit_with_checkpoint(under_way)


@pytest.mark.parametrize(
    "change",
    [set_tensor("restart.1.means", lambda means: means + 5), set_tensor("restart_lower_bounds", lambda b: b - 1)],
)
def test_a_checkpoint_that_is_damaged(under_way, change):
    rewrite(under_way, change, signed=False)
    with pytest.raises(gaussmix.ModelFileError, match="it is damaged"):
        fit_with_checkpoint(under_way)


def test_files_that_are_no_checkpoints(under_way):
    content = under_way.read_bytes()
    model = gaussmix.load(under_way)
    for part, message in ((content[:-8], "not as long as its header says"), (b"", "shorter than its header says")):
        under_way.write_bytes(part)
        with pytest.raises(gaussmix.ModelFileError, match=message):
            fit_with_checkpoint(under_way)
    model.save(under_way)
    with pytest.raises(gaussmix.ModelFileError, match="it is a model, but not a checkpoint"):
        fit_with_checkpoint(under_way)


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

model = chunked.fit(blocks, 5, random_state=0, n_init=2, tol=0, max_iter=15, sample_size=100, seeding=sys.argv[5],
                    checkpoint=sys.argv[2] or None, checkpoint_every=1)
model.save(sys.argv[4])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL")
@pytest.mark.parametrize(("seeding", "kills"), [("reservoir", 2), ("k-means||", 1)])
def test_after_a_kill_the_fit_ends_with_the_same_bits(tmp_path, seeding, kills):
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(2000, 3)))
    (tmp_path / "fit.py").write_text(SCRIPT)

    def command(checkpoint, pause, out):
        arguments = [tmp_path / "rows.npy", checkpoint, pause, tmp_path / out, seeding]
        return [sys.executable, "-W", "ignore", tmp_path / "fit.py", *map(str, arguments)]

    subprocess.run(command("", 0, "whole"), check=True, timeout=300)
    checkpoint = tmp_path / "checkpoint"
    for _ in range(kills):
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


def test_components_that_narrow_are_summed_again_as_in_memory(covariance_type):
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(300, 3)), 5 + 1e-3 * rng.normal(size=(300, 3))])
    start = explicit_start(X, 6, covariance_type) | {"max_iter": 6, "tol": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        in_memory = GaussianMixture(**start).fit(X)
        in_parts = chunked.fit(cut(X, None, [100, 250, 400]), **start)
    np.testing.assert_allclose(in_parts.lower_bounds_, in_memory.lower_bounds_, rtol=1e-9, atol=1e-9)
