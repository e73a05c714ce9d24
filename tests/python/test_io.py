"""Model files: round trips to the bit, files of the C++ library and of old releases, hostile files, whole writes."""

import errno
import json
import os
import pickle
import stat
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture as Peer

import gaussmix
from cases import ARRAYS, TYPES, assert_same_bits
from gaussmix import GaussianMixture, ModelFileError, load

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DATA = Path(__file__).parents[1] / "data"
CORPUS = Path(__file__).parents[1] / "cpp" / "fuzz" / "corpus"
RECORD = ("converged_", "n_iter_", "lower_bound_", "lower_bounds_", "events_", "restarts_", "n_features_in_")


def header_and_data(content):
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def with_header(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def saved(path, blobs):
    """Return (a fitted model, the bytes of its file); the file is at `path`."""
    model = GaussianMixture(2, random_state=0).fit(blobs)
    model.save(path)
    return model, path.read_bytes()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_fitted_model_comes_back_to_the_bit(covariance_type, dtype, blobs, path):
    X = blobs.astype(dtype)
    model = GaussianMixture(3, covariance_type=covariance_type, n_init=2, max_iter=7, random_state=1).fit(X)
    model.save(path)
    again = load(path)
    assert_same_bits(again, model)
    for name in RECORD:
        assert getattr(again, name) == getattr(model, name), name
        assert type(getattr(again, name)) is type(getattr(model, name)), name
    assert again.get_params() == model.get_params()
    assert again.restarts_[0]._fields == model.restarts_[0]._fields
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X), strict=True)
    np.testing.assert_array_equal(again.sample(9, random_state=0)[0], model.sample(9, random_state=0)[0])
    first = path.read_bytes()
    again.save(path)
    assert path.read_bytes() == first


def test_repairs_are_kept(path):
    X = np.vstack([np.random.default_rng(0).normal(size=(60, 2)), np.full((20, 2), 5.0)])
    model = GaussianMixture(2, reg_covar=0, means_init=[[0, 0], [5, 5]]).fit(X)
    assert [event.cause for event in model.events_] == ["floored"]
    model.save(path)
    assert load(path).events_ == model.events_
    assert all(type(event) is gaussmix.FitEvent for event in load(path).events_)


def test_all_parameters_are_kept(path):
    params = {
        "tol": 0.1 + 0.2,
        "reg_covar": 5e-324,
        "max_iter": np.int64(3),
        "init_params": "random",
        "random_state": np.uint32(7),
        "warm_start": True,
        "verbose": 2,
        "verbose_interval": 3,
        "n_threads": -1,
        "n_init": 4,
        "step_offset": 3.5,
        "step_power": None,
        "step_floor": 0.25,
    }
    starts = {
        "weights_init": [0.25, 0.75],
        "means_init": np.arange(4.0).reshape(2, 2).T,
        "precisions_init": np.array([[2, 1], [1, 3]], dtype=np.float32),
    }
    model = GaussianMixture.from_parameters(
        [0.5, 0.5], [[0, 0], [3, 4]], np.eye(2), covariance_type="tied", **params, **starts
    )
    model.save(path)
    found = load(path).get_params()
    assert {name: found[name] for name in params} == params
    for name, value in starts.items():
        np.testing.assert_array_equal(found[name], np.asarray(value))
    assert found["precisions_init"].dtype == np.float32


def test_a_random_state_is_not_kept(path):
    model = GaussianMixture.from_parameters([1], [[0.0]], [[[1.0]]], random_state=np.random.RandomState(0))
    model.save(path)
    assert load(path).random_state is None
    assert load(path).lower_bound_ == -np.inf


def test_feature_names_are_kept(path, blobs):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(blobs, columns=["Länge", 'a "quote"\n', "\U0001f600"])
    model = GaussianMixture(2, random_state=0).fit(frame)
    model.save(path)
    again = load(path)
    np.testing.assert_array_equal(again.feature_names_in_, model.feature_names_in_, strict=True)
    np.testing.assert_array_equal(again.predict(frame), model.predict(frame))
    with pytest.raises(ValueError, match="feature names"):
        again.predict(frame.iloc[:, ::-1])


def test_a_warm_start_goes_on_as_without_the_file(path, blobs):
    model = GaussianMixture(3, max_iter=2, warm_start=True, random_state=0).fit(blobs)
    model.save(path)
    assert_same_bits(load(path).fit(blobs), pickle.loads(pickle.dumps(model)).fit(blobs))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_models_of_scikit_learn_can_be_saved(covariance_type, dtype, blobs, path):
    peer = Peer(3, covariance_type=covariance_type, random_state=0).fit(blobs.astype(dtype))
    model = GaussianMixture.from_sklearn(peer)
    model.save(path)
    assert_same_bits(load(path), model)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_model_of_three_arrays_can_be_saved(covariance_type, dtype, blobs, path):
    source = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(blobs.astype(dtype))
    model = GaussianMixture(3, covariance_type=covariance_type)
    for name in ("weights_", "means_", "precisions_cholesky_"):
        setattr(model, name, getattr(source, name))
    model.save(path)
    again = load(path)
    for name in ARRAYS:
        assert getattr(again, name).dtype == dtype
        assert getattr(again, name).shape == getattr(source, name).shape
    np.testing.assert_allclose(again.covariances_, source.covariances_, rtol=200 * np.finfo(dtype).eps, atol=1e-6)
    np.testing.assert_array_equal(again.score_samples(blobs), model.score_samples(blobs), strict=True)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", ["full", "tied"])
def test_lower_triangular_factors_can_be_saved(kind, dtype, blobs, path):
    model = GaussianMixture(3, covariance_type=kind, random_state=0).fit(blobs.astype(dtype))
    model.precisions_cholesky_ = np.linalg.cholesky(model.precisions_.astype(np.float64)).astype(dtype)
    del model.covariances_, model.precisions_
    model.save(path)
    again = load(path)
    assert again.means_.dtype == dtype
    np.testing.assert_array_equal(again.precisions_cholesky_, np.triu(again.precisions_cholesky_))
    tolerance = 1e-11 if dtype == np.float64 else 1e-4
    np.testing.assert_allclose(again.score_samples(blobs), model.score_samples(blobs), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_ill_conditioned_fits_are_accepted(covariance_type, dtype, path):
    """Features that nearly repeat each other, in units from 1e-6 to 1e6, far from the origin."""
    rng = np.random.default_rng(0)
    for noise, reg_covar in [(1e-3, 0), (1e-6, 0), (1e-6, 1e-6), (1e-9, 1e-6), (0, 1e-6)]:
        Z = rng.normal(size=(300, 3))
        X = np.hstack([Z, Z @ rng.normal(size=(3, 4)) + noise * rng.normal(size=(300, 4))])
        X = ((X + 10) * 10.0 ** np.arange(-6, 8, 2)).astype(dtype)
        kind = {"covariance_type": covariance_type, "reg_covar": reg_covar}
        model = GaussianMixture(3, max_iter=5, random_state=0, **kind).fit(X)
        model.save(path)
        assert_same_bits(load(path), model)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_other_readers_see_the_arrays(dtype, blobs, path):
    model = GaussianMixture(2, random_state=0).fit(blobs.astype(dtype))
    model.save(path)
    with safetensors.safe_open(path, framework="np") as file:
        assert file.metadata()["format"] == "gaussmix"
        assert file.metadata()["dtype"] == np.dtype(dtype).name
    arrays = safetensors.numpy.load_file(path)
    for name in ARRAYS:
        np.testing.assert_array_equal(arrays[name.rstrip("_")], getattr(model, name), strict=True)


@pytest.mark.parametrize("writer", ["python", "cpp"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_files_of_old_releases_load(covariance_type, dtype, writer):
    folders = sorted(folder for folder in DATA.iterdir() if folder.is_dir())
    assert folders, "there must be files of a release"
    for folder in folders:
        expected = np.fromfile(folder / f"{covariance_type}_{dtype}.f64", "<f8")
        model = load(folder / f"{writer}_{covariance_type}_{dtype}.safetensors")
        for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
            found = getattr(model, name)
            assert found.dtype == dtype
            np.testing.assert_array_equal(found.ravel(), expected[: found.size], err_msg=name)
            expected = expected[found.size :]
        rows = np.fromfile(folder / "rows.f64", "<f8").reshape(-1, model.n_features_in_)
        np.testing.assert_allclose(model.predict_proba(rows).ravel(), expected, rtol=0, atol=1e-12)


def test_responsibilities_of_old_releases_at_other_sizes(covariance_type):
    """The C++ suite reads the same files."""
    for folder in (folder for folder in DATA.iterdir() if folder.is_dir()):
        paths = sorted(folder.glob(f"shape_{covariance_type}_*.safetensors"))
        assert len(paths) >= 4
        for path in paths:
            model = load(path)
            # A row and its responsibilities have this many numbers.
            numbers = np.fromfile(path.with_suffix(".f64"), "<f8")
            n = numbers.size // (model.n_features_in_ + model.n_components)
            rows, expected = np.split(numbers, [n * model.n_features_in_])
            found = model.predict_proba(rows.reshape(n, -1))
            np.testing.assert_allclose(found, expected.reshape(n, -1), rtol=0, atol=1e-12, err_msg=path.name)


def test_records_of_old_releases_load():
    for folder in (folder for folder in DATA.iterdir() if folder.is_dir()):
        records = json.loads((folder / "records.json").read_text(encoding="utf-8"))
        assert {name for name in os.listdir(folder) if name.startswith("python_")} == set(records)
        for name, expected in records.items():
            model = load(folder / name)
            found = {key: getattr(model, f"{key}_") for key in ("converged", "n_iter", "lower_bound", "lower_bounds")}
            found["events"] = [list(event) for event in model.events_]
            found["restarts"] = [list(restart) for restart in model.restarts_]
            found["feature_names"] = list(getattr(model, "feature_names_in_", []))
            # A later release may have more parameters.
            params = {key: value for key, value in model.get_params().items() if key in expected["params"]}
            found["params"] = {key: np.asarray(v).tolist() if key.endswith("_init") else v for key, v in params.items()}
            assert found == expected, name
    everything = records["python_everything.safetensors"]
    assert len(everything["restarts"]) == 2
    assert everything["feature_names"] and everything["events"]


def test_every_parameter_is_kept_or_known_not_to_be():
    kept = {*gaussmix.io._PARAMS, *gaussmix.io.STARTS, "covariance_type"}
    assert kept == set(GaussianMixture().get_params())


def test_not_fitted(path):
    with pytest.raises(NotFittedError):
        GaussianMixture().save(path)
    assert not path.exists()


def test_a_missing_file_and_a_folder(tmp_path, saved):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none")
    with pytest.raises(ModelFileError, match="not a file"):
        load(tmp_path)
    with pytest.raises(OSError, match="directory"):
        saved[0].save(tmp_path)
    with pytest.raises(FileNotFoundError):
        saved[0].save(tmp_path / "none" / "model")


def test_attributes_that_do_not_fit_are_not_saved(saved, path):
    model, content = saved
    model.precisions_cholesky_ = model.precisions_cholesky_ * 1.001
    with pytest.raises(ValueError, match="do not fit together"):
        model.save(path)
    assert path.read_bytes() == content


WRONG = {
    "too few names": ("feature_names_in_", ["a"], "names"),
    "a name of half a character": ("feature_names_in_", ["a", "b", "\ud800"], "surrogates"),
    "names of numbers": ("feature_names_in_", [1, 2, 3], "not strings"),
    "no names": ("feature_names_in_", None, "cannot be saved"),
    "names of numpy's numbers": ("feature_names_in_", np.arange(3), "cannot be saved"),
    "bounds of NaN": ("lower_bounds_", [np.nan], "NaN"),
    "bound of NaN": ("lower_bound_", np.nan, "NaN"),
    "negative count": ("n_iter_", -1, "record"),
    "unknown cause": ("events_", [("lost", 0, 0, 0, True)], "cannot be saved"),
    "restarts of numbers": ("restarts_", [1], "cannot be saved"),
    "means of one dimension": ("means_", np.zeros(3), "cannot be saved"),
    "means of words": ("means_", "none", "cannot be saved"),
    "parameter": ("tol", -1, "tol"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_could_not_be_read_again_is_not_saved(case, saved, path):
    name, value, message = WRONG[case]
    model, content = saved
    setattr(model, name, value)
    with pytest.raises(ValueError, match=message):
        model.save(path)
    assert path.read_bytes() == content


def test_a_loaded_stream_goes_on_from_its_model_alone(blobs, path):
    """What files.md says of streams: the model counts as one step of time, whatever it has seen."""
    model = GaussianMixture(2, random_state=0).partial_fit(blobs)
    model.save(path)
    loaded = load(path).partial_fit(blobs[:20])
    bare = GaussianMixture.from_parameters(model.weights_, model.means_, model.covariances_)
    np.testing.assert_allclose(loaded.means_, bare.partial_fit(blobs[:20]).means_, rtol=1e-12)
    going_on = pickle.loads(pickle.dumps(model)).partial_fit(blobs[:20])
    assert not np.array_equal(loaded.means_, going_on.means_)
    np.testing.assert_array_equal(going_on.means_, model.partial_fit(blobs[:20]).means_)


HEADERS = {
    "version": (("__metadata__", "version"), "2", "reads version 1"),
    "format": (("__metadata__", "format"), "pt", "not a model of gaussmix"),
    "no version": (("__metadata__", "version"), None, "reads version 1"),
    "kind": (("__metadata__", "covariance_type"), "cubical", "covariance_type"),
    "other kind": (("__metadata__", "covariance_type"), "diag", "shape"),
    "dtype": (("__metadata__", "dtype"), "float32", "dtype"),
    "no record": (("__metadata__", "estimator"), "[]", "record"),
    "record cut": (("__metadata__", "estimator"), '{"params"', "not valid"),
    "deep record": (("__metadata__", "estimator"), "[" * 30000, "not valid"),
    "wrong parameter": (("__metadata__", "estimator"), '{"params": {"tol": -1}}', "tol"),
    "parameter twice": (("__metadata__", "estimator"), '{"params": {}, "params": {}}', "twice"),
    "names": (("__metadata__", "feature_names"), "[1, 2, 3]", "not strings"),
    "too few names": (("__metadata__", "feature_names"), '["a"]', "names"),
    "names of no list": (("__metadata__", "feature_names"), '{"a": "b"}', "not strings"),
    "half a surrogate pair": (("__metadata__", "feature_names"), r'["a", "b", "\ud800"]', "surrogates"),
    "endless names": (("__metadata__", "feature_names"), "[" + '"",' * 40000, "too many"),
    "endless record": (("__metadata__", "estimator"), '{"params":[' + "[]," * 40000, "too many"),
    "names cut": (("__metadata__", "feature_names"), '["a"', "not valid"),
    "wrong record": (("__metadata__", "estimator"), '{"params": {}, "converged": 1}', "record"),
    "wrong count": (("__metadata__", "estimator"), '{"params": {}, "n_iter": -1}', "record"),
    "number as text": (("__metadata__", "version"), 1, "not strings"),
    "tensor dtype": (("means", "dtype"), "F16", "F64, F32 and I64"),
    "dtype of no string": (("means", "dtype"), [], "F64, F32 and I64"),
    "other dtype": (("means", "dtype"), "I64", "dtype"),
    "shape": (("means", "shape"), [3, 2], "shape"),
    "rank": (("means", "shape"), [6], "row"),
    "high rank": (("means", "shape"), [2, 3] + [1] * 7, "dimensions"),
    "shape of no list": (("means", "shape"), 6, "no list"),
    "huge shape": (("means", "shape"), [2**62, 2**62], None),
    "negative shape": (("means", "shape"), [-2, -3], None),
    "offsets": (("means", "data_offsets"), [0, 48], None),
    "far offsets": (("means", "data_offsets"), [2**63, 2**63 + 48], "as long as"),
    "offsets of no list": (("means", "data_offsets"), 3, "data_offsets"),
    "more keys": (("means", "more"), 1, "other keys"),
    "no means": (("means",), None, None),
    "no object": (("means",), [], "form"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_wrong_headers(case, saved, path):
    where, value, message = HEADERS[case]
    header, data = header_and_data(saved[1])
    place = header
    for key in where[:-1]:
        place = place[key]
    if value is None:
        del place[where[-1]]
    else:
        place[where[-1]] = value
    path.write_bytes(with_header(header, data))
    with pytest.raises(ModelFileError, match=message) as raised:
        load(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[" * 100000, b'{"a":' * 100000, b"\xff", b'"x"', b"{}{}", b'{"a":{},"a":{}}', b"NaN", b"9" * 5000],
    ids=lambda text: repr(text[:9]),
)
def test_headers_that_are_none(text, path):
    path.write_bytes(with_header(text, b""))
    with pytest.raises(ModelFileError):
        load(path)


@pytest.mark.parametrize("start, item", [(b"{", b'"":{},'), (b'{"a":[', b"[],"), (b'{"a":[', b"1,"), (b"", b'\\"')])
def test_headers_that_would_take_many_times_their_size_are_not_parsed(start, item, path):
    path.write_bytes(with_header(start + item * (2**24 // len(item) - 2), b""))
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 3 * 2**24
    finally:
        tracemalloc.stop()


def test_keys_that_are_there_twice(saved, path):
    _, content = saved
    header, data = header_and_data(content)
    text = json.dumps(header).replace('"format"', '"version": "1", "format"').encode()
    path.write_bytes(with_header(text, data))
    with pytest.raises(ModelFileError, match="twice"):
        load(path)


def test_files_cut_short_or_longer(saved, path):
    _, content = saved
    for n in [*range(0, len(content), 37), len(content) - 1]:
        path.write_bytes(content[:n])
        with pytest.raises(ModelFileError):
            load(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(ModelFileError, match="as long as"):
        load(path)


@pytest.mark.skipif(sys.platform == "win32", reason="the file would take its size on the disk")
def test_a_file_larger_than_memory_is_not_read(path):
    header = {"a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}
    path.write_bytes(with_header(header, b""))
    for size in (2**40, 2**33):
        os.truncate(path, size)
        start = time.perf_counter()
        with pytest.raises(ModelFileError):
            load(path)
        assert time.perf_counter() - start < 5
    path.write_bytes(struct.pack("<Q", 2**62))
    os.truncate(path, 2**40)
    with pytest.raises(ModelFileError):
        load(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 0.0])
@pytest.mark.parametrize("name", ["weights", "means", "covariances", "precisions_cholesky", "precisions"])
def test_wrong_numbers(name, value, saved, path):
    _, content = saved
    arrays = safetensors.numpy.load(content)
    header, _ = header_and_data(content)
    if name == "means" and np.isfinite(value):
        return  # any finite mean is one
    arrays[name] = arrays[name].copy()
    arrays[name].flat[0] = value
    path.write_bytes(safetensors.numpy.save(arrays, header["__metadata__"]))
    with pytest.raises(ModelFileError, match="fit together"):
        load(path)


def test_an_indefinite_covariance_and_a_wrong_factor(saved, path):
    _, content = saved
    header, _ = header_and_data(content)
    for name, change in {
        "covariances": lambda c: c + 2 * (np.ones((3, 3)) - np.eye(3)) * c.max(),
        "precisions_cholesky": lambda u: u * (1 + 1e-9),
        "precisions": lambda p: p * (1 + 1e-9),
    }.items():
        arrays = safetensors.numpy.load(content)
        arrays[name] = change(arrays[name])
        path.write_bytes(safetensors.numpy.save(arrays, header["__metadata__"]))
        with pytest.raises(ModelFileError, match="fit together"):
            load(path)


def test_wrong_records(saved, path):
    _, content = saved
    header, _ = header_and_data(content)
    for name, array in {
        "lower_bound": np.array([1.0]),
        "lower_bounds": np.array([np.nan]),
        "events": np.array([[4, 0, 0, 0, 0]]),
        "restarts": np.array([[2**62, 0, 0]] * 3),
        "restart_lower_bounds": np.zeros(1),
    }.items():
        arrays = safetensors.numpy.load(content) | {name: array}
        path.write_bytes(safetensors.numpy.save(arrays, header["__metadata__"]))
        with pytest.raises(ModelFileError):
            load(path)


def test_damaged_files_of_which_cpp_says_the_same(path):
    """The C++ suite reads the same list: see tests/data/mutations.py."""
    lines = (DATA / "mutations.txt").read_text(encoding="ascii").splitlines()
    assert len(lines) > 500
    for line in lines:
        base, verdict, *steps = line.split()
        content = (DATA / base).read_bytes()
        for offset, removed, put in (step.split(":") for step in steps):
            content = content[: int(offset)] + bytes.fromhex(put) + content[int(offset) + int(removed) :]
        path.write_bytes(content)
        try:
            load(path)
            found = "loaded"
        except ModelFileError:
            found = "refused"
        assert found == verdict, line


def test_as_many_entries_as_may_be(saved, path):
    header, data = header_and_data(saved[1])
    empty = {"dtype": "F64", "shape": [0] + [1] * 7, "data_offsets": [0, 0]}
    strings = {str(i): "" for i in range(1024 - len(header["__metadata__"]))}
    tensors = {f"t{i}": empty for i in range(1024 - len(header) + 1)}
    header["__metadata__"] |= strings
    path.write_bytes(with_header(header | tensors, data))
    load(path)
    path.write_bytes(with_header(header | tensors | {"more": empty}, data))
    with pytest.raises(ModelFileError, match="too many entries"):
        load(path)
    header["__metadata__"]["more"] = ""
    path.write_bytes(with_header(header | tensors, data))
    with pytest.raises(ModelFileError, match="too many entries"):
        load(path)


# The same examples each time, unless more are asked for; no data base on disk.
MORE = os.environ.get("GAUSSMIX_FUZZ_EXAMPLES")
mutations = st.lists(
    st.tuples(st.sampled_from(["flip", "cut", "insert", "copy"]), st.floats(0, 1), st.binary(min_size=1, max_size=9)),
    min_size=1,
    max_size=4,
)


@settings(
    derandomize=not MORE,
    deadline=None,
    database=None,
    max_examples=int(MORE or 400),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(mutations, st.sampled_from(TYPES), st.booleans())
def test_mutated_files_load_or_are_refused(path, steps, covariance_type, in_header):
    """What loads must predict; there is no third outcome."""
    model = GaussianMixture.from_parameters(
        [0.5, 0.5],
        [[0.0, 1.0], [2.0, 3.0]],
        {"full": [np.eye(2)] * 2, "tied": np.eye(2), "diag": np.ones((2, 2)), "spherical": [1.0, 2.0]}[covariance_type],
        covariance_type=covariance_type,
    )
    model.save(path)
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little") if in_header else len(content)
    for step, where, material in steps:
        at = int(where * (min(end, len(content)) - 1)) if content else 0
        if step == "flip":
            content = content[:at] + material + content[at + len(material) :]
        elif step == "cut":
            content = content[:at] + content[at + len(material) :]
        elif step == "insert":
            content = content[:at] + material + content[at:]
        else:
            content = content[:at] + content[: at % 40] + content[at:]
    path.write_bytes(content)
    try:
        loaded = load(path)
    except ModelFileError:
        return
    assert np.isfinite(loaded.score_samples(loaded.means_)).all()


def test_the_corpus_of_the_fuzzer_loads_or_is_refused():
    loaded, reasons = set(), {}
    for file in CORPUS.iterdir():
        try:
            model = load(file)
        except ModelFileError as error:
            reasons[file.name] = str(error)
        else:
            loaded.add(file.name)
            assert model.means_.dtype.name in file.name
            assert np.isfinite(model.score_samples(model.means_)).all()
    assert loaded == {f"{kind}_{dtype}" for kind in TYPES for dtype in ("float64", "float32")}
    assert len(reasons) >= 15
    # Each for its own flaw, and not for its length.
    assert not [name for name, reason in reasons.items() if "as long as" in reason]


def test_an_error_while_writing_keeps_the_old_file(saved, path, monkeypatch):
    model, content = saved

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, lambda *arguments: full(arguments))
            with pytest.raises(OSError, match="space"):
                model.save(path)
        assert path.read_bytes() == content
        assert os.listdir(path.parent) == [path.name]


def run_script(script, *arguments):
    """Run a script in a process of its own, and return what it prints."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


FULL_DISK = """
import resource, sys
from gaussmix import load
model = load(sys.argv[1])
model.tol = 0.5
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    model.save(sys.argv[1])
except OSError as error:
    print(error.errno)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_disk_that_is_full_keeps_the_old_file(saved, path):
    _, content = saved
    assert int(run_script(FULL_DISK, path)) == errno.EFBIG
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == [path.name]


KILLED = """
import itertools, os, random, signal, sys, time
import numpy as np
from gaussmix import GaussianMixture, load
path, rounds = sys.argv[1], int(sys.argv[2])
models = [GaussianMixture.from_parameters([1], np.full((1, d), d), [np.eye(d)]) for d in (1, 60)]
begin = time.perf_counter()
for model in models * 5:
    model.save(path)
each = (time.perf_counter() - begin) / 10
sizes, unfinished = set(), 0
for _ in range(rounds):
    child = os.fork()
    if child == 0:
        for model in itertools.cycle(models):
            model.save(path)
    time.sleep(random.uniform(1, 6) * each)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = load(path)
    assert (found.means_ == found.n_features_in_).all()
    sizes.add(found.n_features_in_)
    for name in os.listdir(os.path.dirname(path)):
        if name.endswith(".tmp"):
            unfinished += 1
            os.unlink(os.path.join(os.path.dirname(path), name))
print(len(sizes), unfinished)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_process_that_is_killed_leaves_a_whole_file(path):
    sizes, unfinished = map(int, run_script(KILLED, path, 60).split())
    assert sizes == 2, "only one of the models was written"
    assert unfinished > 0, "no write was interrupted"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_permissions_and_links_are_kept(saved, path):
    model, _ = saved
    path.chmod(0o640)
    link = path.parent / "link"
    link.symlink_to(path.name)
    model.tol = 0.5
    model.save(link)
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert load(path).tol == load(str(link)).tol == 0.5


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_the_group_is_kept_or_its_permissions_are_not(saved, path, monkeypatch):
    model, _ = saved
    if os.geteuid() == 0:
        os.chown(path, -1, 12345)
    group = path.stat().st_gid
    path.chmod(0o440)  # that it is read-only does not matter: it is replaced
    model.save(path)
    assert path.stat().st_gid == group
    assert stat.S_IMODE(path.stat().st_mode) == 0o440

    def forbidden(*_):
        raise PermissionError

    monkeypatch.setattr(os, "fchown", forbidden)
    for before, after in [(0o640, 0o600), (0o664, 0o644), (0o4755, 0o755)]:
        path.chmod(before)
        model.save(path)
        assert stat.S_IMODE(path.stat().st_mode) == after


@pytest.mark.skipif(sys.platform == "win32", reason="a file that is open cannot be replaced")
def test_writers_and_readers_at_once_see_whole_files(path):
    models = [GaussianMixture.from_parameters([1], np.full((1, d), d), [np.eye(d)]) for d in (1, 30)]
    models[0].save(path)
    errors, done = [], threading.Event()

    def write(model):
        try:
            for _ in range(30):
                model.save(path)
        except Exception as error:
            errors.append(error)

    def read():
        try:
            while not done.is_set():
                found = load(path)
                assert (found.means_ == found.n_features_in_).all()
        except Exception as error:
            errors.append(error)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(model,)) for model in models]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert not errors
    assert os.listdir(path.parent) == [path.name]
