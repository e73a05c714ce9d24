"""The sweep over candidates: the loop's results whatever the threads, what is recorded, and what ends it early."""

import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import KFold, ShuffleSplit

import gaussmix._sweep
from cases import TYPES, assert_same_bits, real_data
from gaussmix import GaussianMixture, GaussianMixtureIC

SIZES = range(1, 6)
CANDIDATES = [(kind, k) for kind in TYPES for k in SIZES]


def loop(X, candidates=CANDIDATES, sample_weight=None, **params):
    """Return the fits that the sweep promises to equal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [
            GaussianMixture(k, covariance_type=kind, **params).fit(X, sample_weight=sample_weight)
            for kind, k in candidates
        ]


def held_out(X, kind, k, splits, weights, **params):
    """Return minus the mean log-likelihood of the rows held out, row by row."""
    logs, total = [], []
    for train, test in splits:
        (gm,) = loop(X[train], [(kind, k)], sample_weight=weights[train], **params)
        logs.extend(weights[test] * gm.score_samples(X[test]))
        total.extend(weights[test])
    return -math.fsum(logs) / math.fsum(total)


def sweep(X, sample_weight=None, **params):
    return GaussianMixtureIC(**({"max_components": 5, "random_state": 0} | params)).fit(X, sample_weight=sample_weight)


def without_times(selection):
    return {name: column for name, column in selection.results_.items() if name != "fit_time"}


def assert_same_sweep(a, b):
    np.testing.assert_equal(without_times(a), without_times(b))
    assert_same_bits(a.best_estimator_, b.best_estimator_)
    assert (a.best_params_, a.criterion_) == (b.best_params_, b.criterion_)


@pytest.mark.parametrize("n_threads", [1, 2, 5, None])
@pytest.mark.parametrize("large", [0, math.inf], ids=["in turn", "side by side"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_results_are_those_of_the_loop_to_the_last_bit(blobs, n_threads, large, weighted, monkeypatch):
    monkeypatch.setattr(gaussmix._sweep, "LARGE", large)
    weights = np.random.default_rng(1).uniform(0.5, 2, len(blobs)) if weighted else None
    fits = loop(blobs, sample_weight=weights, random_state=0, n_init=2, init_params="random_from_data")
    for criterion in ("bic", "aic", "icl"):
        found = sweep(
            blobs, weights, criterion=criterion, n_threads=n_threads, n_init=2, init_params="random_from_data"
        )
        values = [getattr(gm, criterion)(blobs, sample_weight=weights) for gm in fits]
        best = int(np.argmin(values))
        np.testing.assert_array_equal(found.results_[criterion], values)
        assert_same_bits(found.best_estimator_, fits[best])
        assert found.best_estimator_.get_params() == fits[best].get_params() | {"n_threads": n_threads}
        assert found.criterion_ == values[best]
        assert found.best_params_ == dict(zip(("covariance_type", "n_components"), CANDIDATES[best], strict=True))
    results = found.results_
    np.testing.assert_array_equal(results["log_likelihood"], [gm.score(blobs, sample_weight=weights) for gm in fits])
    np.testing.assert_array_equal(results["n_iter"], [gm.n_iter_ for gm in fits])
    np.testing.assert_array_equal(results["converged"], [gm.converged_ for gm in fits])
    assert list(zip(results["covariance_type"], results["n_components"], strict=True)) == CANDIDATES
    assert (results["fit_time"] > 0).all()
    assert (results["error"] == "").all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_frames_and_float32_are_swept_as_they_are_fitted(blobs, dtype):
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(blobs.astype(dtype), columns=["a", "b", "c"])
    fits = loop(X, random_state=0)
    found = sweep(X)
    np.testing.assert_array_equal(found.results_["bic"], [gm.bic(X) for gm in fits])
    assert found.best_estimator_.means_.dtype == dtype
    assert list(found.feature_names_in_) == list(found.best_estimator_.feature_names_in_) == ["a", "b", "c"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found.score(X) == found.best_estimator_.score(X)
    with pytest.raises(ValueError, match="feature names"):
        found.predict(X[["a", "b"]])


def test_real_data_and_their_numbers_of_parameters():
    X, _ = real_data()["iris"]
    found = sweep(X, max_components=4)
    d = 4
    per_component = {"full": d + d * (d + 1) // 2, "tied": d, "diag": 2 * d, "spherical": d + 1}
    shared = {"tied": d * (d + 1) // 2}
    expected = [k - 1 + k * per_component[kind] + shared.get(kind, 0) for kind in TYPES for k in range(1, 5)]
    np.testing.assert_array_equal(found.results_["n_parameters"], expected)
    log_likelihood = len(X) * found.results_["log_likelihood"]
    np.testing.assert_allclose(found.results_["bic"], -2 * log_likelihood + np.multiply(expected, np.log(len(X))))
    np.testing.assert_allclose(found.results_["aic"], -2 * log_likelihood + np.multiply(expected, 2))
    assert (found.results_["icl"] >= found.results_["bic"] - 1e-9).all()


def test_the_sum_of_the_weights_is_the_number_of_rows(blobs):
    weights = np.random.default_rng(0).integers(1, 4, len(blobs)).astype(float)
    found = sweep(blobs, weights)
    p, n = found.results_["n_parameters"], weights.sum()
    np.testing.assert_allclose(found.results_["bic"], -2 * n * found.results_["log_likelihood"] + p * np.log(n))
    # One component has no start to draw: there a weight is a repetition.
    one = {"max_components": 1}
    a, b = sweep(blobs, weights, **one), sweep(np.repeat(blobs, weights.astype(int), axis=0), **one)
    for name in ("aic", "bic", "icl", "log_likelihood"):
        np.testing.assert_allclose(a.results_[name], b.results_[name], rtol=1e-10)


def test_ties_go_to_the_fewest_parameters_and_then_to_the_first(blobs, monkeypatch):
    monkeypatch.setattr(gaussmix._sweep.core, "bic", lambda *_: 1.0)
    assert sweep(blobs).best_params_ == {"n_components": 1, "covariance_type": "spherical"}
    for listed in (["full", "tied"], ["tied", "full"]):  # for one component they are one model
        for n_threads in (1, 2):
            found = sweep(blobs, covariance_type=listed, n_threads=n_threads)
            assert found.best_params_ == {"n_components": 1, "covariance_type": listed[0]}


@pytest.mark.parametrize(
    ("asked", "types"),
    [("all", TYPES), ("diag", ("diag",)), (["tied", "full"], ("tied", "full")), (("diag", "diag"), ("diag",))],
)
def test_types_of_covariance(blobs, asked, types):
    found = sweep(blobs, min_components=2, max_components=3, covariance_type=asked)
    assert list(found.results_["covariance_type"]) == [kind for kind in types for _ in range(2)]
    assert list(found.results_["n_components"]) == [2, 3] * len(types)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize(
    "cv",
    [3, KFold(4, shuffle=True, random_state=0), ShuffleSplit(2, random_state=0), "iterable"],
    ids=["int", "splitter", "overlapping", "iterable"],
)
def test_cross_validation_is_the_mean_over_held_out_rows(blobs, cv, weighted):
    splits = list((KFold(3) if isinstance(cv, int | str) else cv).split(blobs))
    cv = iter(splits) if cv == "iterable" else cv
    weights = np.random.default_rng(1).uniform(0.5, 2, len(blobs)) if weighted else np.ones(len(blobs))
    found = sweep(blobs, weights if weighted else None, criterion="cv", cv=cv, max_components=3, covariance_type="diag")
    expected = [held_out(blobs, "diag", k, splits, weights, random_state=0) for k in (1, 2, 3)]
    np.testing.assert_allclose(found.results_["cv"], expected, rtol=1e-12)
    best = int(np.argmin(expected))
    assert found.criterion_ == found.results_["cv"][best]
    # The model and the other criteria are of all rows.
    (refitted,) = loop(blobs, [("diag", best + 1)], sample_weight=weights if weighted else None, random_state=0)
    assert_same_bits(found.best_estimator_, refitted)
    assert found.results_["bic"][best] == refitted.bic(blobs, sample_weight=weights if weighted else None)


def test_only_cross_validation_has_a_column_of_its_own(blobs):
    columns = ["n_components", "covariance_type", "aic", "bic", "icl", "log_likelihood", "n_parameters", "n_iter"]
    columns += ["converged", "fit_time", "error"]
    assert list(sweep(blobs, max_components=1).results_) == columns
    columns.insert(5, "cv")
    found = sweep(blobs, max_components=1, criterion="cv")
    assert list(found.results_) == columns
    frame = pytest.importorskip("pandas").DataFrame(found.results_)
    assert frame.shape == (4, 12)
    assert frame.loc[frame["cv"].idxmin(), "covariance_type"] == found.best_params_["covariance_type"]


@pytest.mark.parametrize("criterion", ["bic", "cv"])
def test_a_candidate_that_fails_is_recorded(criterion):
    X = np.random.default_rng(0).normal(size=(6, 2))
    found = sweep(X, max_components=8, criterion=criterion, cv=2, covariance_type="spherical")
    most = 3 if criterion == "cv" else 6  # a fold of two leaves three rows to fit
    failed = found.results_["n_components"] > most
    assert all("Expected n_samples >= n_components" in error for error in found.results_["error"][failed])
    assert (found.results_["error"][~failed] == "").all()
    for name in ("aic", "bic", "icl", "log_likelihood"):
        np.testing.assert_array_equal(np.isnan(found.results_[name]), failed)
    for name in ("n_iter", "converged"):
        np.testing.assert_array_equal(found.results_[name] == 0, failed, err_msg=name)
    sizes = found.results_["n_components"]
    np.testing.assert_array_equal(found.results_["n_parameters"], sizes * 3 + sizes - 1)  # d + 1, and the weights
    assert found.best_params_["n_components"] <= most


def fail_where(condition, monkeypatch):
    """Let the fits of some estimators raise, as a bug or a lack of memory would."""
    fit_rows = GaussianMixture._fit_rows

    def failing(self, *args, **kwargs):
        if condition(self):
            raise MemoryError("no room")
        return fit_rows(self, *args, **kwargs)

    monkeypatch.setattr(GaussianMixture, "_fit_rows", failing)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_any_exception_of_a_candidate_is_recorded(blobs, n_threads, monkeypatch):
    whole = sweep(blobs)
    fail_where(lambda gm: gm.get_params()["n_components"] == whole.best_params_["n_components"], monkeypatch)
    found = sweep(blobs, n_threads=n_threads)
    others = found.results_["n_components"] != whole.best_params_["n_components"]
    assert set(found.results_["error"][~others]) == {"MemoryError: no room"}
    np.testing.assert_array_equal(found.results_["bic"][others], whole.results_["bic"][others])
    assert found.criterion_ == whole.results_["bic"][others].min()


def test_if_all_fail_the_reasons_are_told_once_each():
    with pytest.raises(ValueError, match="All 8 candidates failed") as raised:
        sweep([[0.0], [1.0], [2.0]], min_components=4)
    assert str(raised.value).count("n_components = 4") == 1
    assert str(raised.value).count("n_components = 5") == 1


def test_a_sweep_that_fails_leaves_no_model_behind(blobs, monkeypatch):
    search = sweep(blobs)
    fail_where(lambda gm: True, monkeypatch)
    with pytest.raises(ValueError, match="candidates failed"):
        search.fit(blobs)
    assert set(search.results_["error"]) == {"MemoryError: no room"}
    with pytest.raises(NotFittedError):
        search.predict(blobs)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_parameters_are_counted_alike(covariance_type, blobs):
    found = sweep(blobs, covariance_type=covariance_type)
    n = len(blobs)
    log_likelihood = n * found.results_["log_likelihood"]
    counted = (found.results_["aic"] + 2 * log_likelihood) / 2  # the core's, which aic contains
    np.testing.assert_allclose(found.results_["n_parameters"], counted, rtol=1e-9)


def turn(curve, patience):
    """Return how many sizes are tried before a curve has not come lower `patience` times in a row."""
    for tried in range(1, len(curve) + 1):
        if tried - 1 - np.argmin(curve[:tried]) == patience:
            return tried
    return len(curve)


@pytest.mark.parametrize("patience", [1, 2, 4])
def test_early_stopping_leaves_out_what_comes_after_the_turn(blobs, patience):
    whole = sweep(blobs, max_components=12)
    curves = whole.results_["bic"].reshape(4, 12)
    kept = [(i, k) for i, curve in enumerate(curves) for k in range(turn(curve, patience))]
    assert len(kept) < curves.size
    found = [sweep(blobs, max_components=12, early_stopping=patience, n_threads=n) for n in (1, 2, 3, 16)]
    np.testing.assert_array_equal(found[0].results_["bic"], [curves[at] for at in kept])
    pairs = list(zip(found[0].results_["covariance_type"], found[0].results_["n_components"], strict=True))
    assert pairs == [(TYPES[i], k + 1) for i, k in kept]
    assert found[0].criterion_ == min(curves[at] for at in kept)
    assert found[0].bic(blobs) == found[0].criterion_
    for other in found[1:]:
        assert_same_sweep(found[0], other)


def test_a_failure_counts_as_no_improvement():
    X = np.random.default_rng(0).normal(size=(4, 2))
    found = sweep(X, max_components=9, covariance_type="full", early_stopping=2)
    assert found.results_["n_components"].max() <= 6


def test_the_number_of_threads_does_not_show(blobs):
    one = sweep(blobs, n_threads=1, criterion="cv", cv=2)
    for n_threads in (2, 7, -1):
        assert_same_sweep(one, sweep(blobs, n_threads=n_threads, criterion="cv", cv=2))


def test_random_states(blobs, monkeypatch):
    params = {"init_params": "random_from_data", "covariance_type": "full", "n_threads": 2}
    random_state = np.random.RandomState(3)
    found = sweep(blobs, random_state=random_state, **params)
    # One int is drawn, whatever the number of candidates, and it is the seed of all.
    same = np.random.RandomState(3)
    seed = int(same.randint(2**31 - 1))
    assert random_state.randint(1000) == same.randint(1000)
    assert_same_sweep(found, sweep(blobs, random_state=seed, **params))
    assert found.best_estimator_.random_state == seed
    monkeypatch.setattr(np.random.mtrand, "_rand", np.random.RandomState(3))  # what None means
    assert_same_sweep(found, sweep(blobs, random_state=None, **params))


def test_samples_are_drawn_with_the_seed_of_the_sweep(blobs):
    found = sweep(blobs)
    for a, b in zip(found.sample(20), found.best_estimator_.sample(20), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(
        found.sample(20, random_state=7)[0], found.best_estimator_.sample(20, random_state=7)[0]
    )
    free = sweep(blobs, random_state=None)
    assert (free.sample(20)[0] != free.sample(20)[0]).any()


def test_methods_are_those_of_the_best(blobs):
    weights = np.random.default_rng(0).uniform(1, 2, len(blobs))
    found = sweep(blobs, weights, covariance_type=["full", "diag"])
    best = found.best_estimator_
    for name in ("predict", "predict_proba", "score_samples", "score", "aic", "bic", "icl"):
        np.testing.assert_array_equal(getattr(found, name)(blobs), getattr(best, name)(blobs), err_msg=name)
    for name in ("score", "aic", "bic", "icl"):
        assert getattr(found, name)(blobs, sample_weight=weights) == getattr(best, name)(blobs, sample_weight=weights)
    assert found.bic(blobs, sample_weight=weights) == found.criterion_
    assert found.n_iter_ == best.n_iter_
    np.testing.assert_array_equal(clone(found).fit_predict(blobs, sample_weight=weights), found.predict(blobs))
    assert_same_sweep(found, pickle.loads(pickle.dumps(found)))


@pytest.mark.parametrize("name", ["predict", "score", "sample", "icl", "n_iter_"])
def test_before_a_fit(blobs, name):
    selection = GaussianMixtureIC()
    with pytest.raises(NotFittedError):
        getattr(selection, name)(*([] if name == "sample" else [blobs]))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"min_components": 0}, "'min_components' parameter of GaussianMixtureIC must be an int"),
        ({"min_components": 6}, "max_components must be at least min_components"),
        ({"covariance_type": "round"}, "'covariance_type' parameter of GaussianMixtureIC must be"),
        ({"covariance_type": ["full", "round"]}, "covariance_type must be 'all', or one or more of"),
        ({"covariance_type": []}, "covariance_type must be 'all', or one or more of"),
        ({"criterion": "dic"}, "'criterion' parameter of GaussianMixtureIC must be a str among"),
        ({"early_stopping": 0}, "'early_stopping' parameter of GaussianMixtureIC must be an int"),
        ({"tol": -1}, "'tol' parameter of GaussianMixtureIC must be a float"),
        ({"n_threads": 0}, "'n_threads' parameter of GaussianMixtureIC must be an int"),
        ({"criterion": "cv", "cv": [([0], [1, 2])]}, "at least 2 rows to fit"),
        ({"criterion": "cv", "cv": [([0, 1], [])]}, "held out"),
        ({"criterion": "cv", "cv": []}, "held out"),
    ],
)
def test_bad_parameters(blobs, params, message):
    with pytest.raises(ValueError, match=message):
        sweep(blobs, **params)


def test_bad_rows_and_weights_are_no_candidates_failures(blobs):
    with pytest.raises(ValueError, match="NaN"):
        sweep(np.where(blobs > 4, np.nan, blobs))
    with pytest.raises(ValueError, match="Negative values"):
        sweep(blobs, -np.ones(len(blobs)))
    with pytest.warns(UserWarning, match="sample_weight sums to"):
        sweep(blobs, np.full(len(blobs), 1 / len(blobs)))


def test_warnings_are_of_the_best_alone(blobs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = sweep(blobs, max_components=9, max_iter=12, tol=1e-4, covariance_type="full")
    assert not found.results_["converged"].all()
    with pytest.warns(ConvergenceWarning, match="did not converge") as caught:
        sweep(blobs, max_iter=1, tol=1e-9, min_components=3)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_the_bar(blobs, capsys):
    sweep(blobs, max_components=3)
    assert capsys.readouterr() == ("", "")
    sweep(blobs, max_components=3, verbose=1, n_threads=2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "[####################] 12/12" in err
    assert err.rstrip().endswith("K=3")


def interrupt_in(candidate, monkeypatch):
    """Send Ctrl-C at the third EM iteration of a candidate, which then waits for what comes of it."""
    fit_rows = GaussianMixture._fit_rows

    def interrupted(self, rows, weights, n_threads, *, cancelled):
        asked = [0]

        def count():
            asked[0] += (self.covariance_type, self.n_components) == candidate
            if asked[0] == 3:
                os.kill(os.getpid(), signal.SIGINT)
                while not cancelled():
                    time.sleep(0.001)
            return cancelled()

        return fit_rows(self, rows, weights, n_threads, cancelled=count)

    monkeypatch.setattr(GaussianMixture, "_fit_rows", interrupted)


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends the process there")
@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_ctrl_c_keeps_what_has_ended(blobs, n_threads, monkeypatch):
    whole = sweep(blobs)
    interrupt_in(("diag", 2), monkeypatch)
    selection = GaussianMixtureIC(max_components=5, random_state=0, n_threads=n_threads)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        selection.fit(blobs)
    deadline = time.monotonic() + 60
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.001)  # one that was just being started ends by itself
    assert threading.active_count() == before
    ended = list(zip(selection.results_["covariance_type"], selection.results_["n_components"], strict=True))
    assert 0 < len(ended) < len(CANDIDATES)
    assert ("diag", 2) not in ended
    rows = [CANDIDATES.index(pair) for pair in ended]
    np.testing.assert_array_equal(selection.results_["bic"], whole.results_["bic"][rows])
    assert (selection.results_["error"] == "").all()
    assert selection.criterion_ == selection.results_["bic"].min() == selection.bic(blobs)


ENDLESS = """
import signal, sys, threading, time
import numpy as np
from gaussmix import GaussianMixtureIC
signal.signal(signal.SIGINT, signal.default_int_handler)
X = np.random.default_rng(0).normal(size=(500, 3))
threading.Timer(1.0, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)).start()
started = time.monotonic()
try:
    GaussianMixtureIC(4, 9, tol=0, max_iter=10**9, n_threads=3).fit(X)
except KeyboardInterrupt:
    seconds = time.monotonic() - started
    time.sleep(0.2)
    print("interrupted", threading.active_count(), seconds < 20)
"""


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to threads on this platform")
def test_ctrl_c_ends_fits_on_all_threads():
    out = subprocess.check_output([sys.executable, "-c", ENDLESS], text=True, timeout=120)
    assert out.split() == ["interrupted", "1", "True"]


def test_one_thread_starts_none(blobs, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("a thread was started")

    monkeypatch.setattr(threading.Thread, "start", never)
    sweep(blobs, max_components=3, n_threads=1, criterion="cv")
    sweep(blobs, max_components=3, n_threads=1, early_stopping=1)
    with pytest.raises(AssertionError):
        sweep(blobs, max_components=3, n_threads=2)


def test_none_follows_omp_num_threads():
    code = (
        "import threading; threading.Thread.start = None; import numpy as np; from gaussmix import GaussianMixtureIC\n"
    )
    code += "GaussianMixtureIC(max_components=3).fit(np.random.default_rng(0).normal(size=(100, 2)))"
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True, timeout=120)


def test_metadata_routing_of_weights(blobs):
    from sklearn import config_context
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    weights = np.random.default_rng(0).uniform(1, 2, len(blobs))
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        selection = GaussianMixtureIC(max_components=2, random_state=0).set_fit_request(sample_weight=True)
        fitted = make_pipeline(scaler, selection).fit(blobs, sample_weight=weights)[-1]
    assert_same_sweep(fitted, sweep(StandardScaler().fit_transform(blobs), weights, max_components=2))
