"""Ctrl-C and scikit-learn's callbacks during a fit."""

import os
import signal
import traceback
import warnings

import numpy as np
import pytest

import gaussmix._mixture
from cases import assert_finite, assert_same_bits, explicit_start
from gaussmix import GaussianMixture
from gaussmix._progress import Reporter


class InterruptAt(Reporter):
    """Raise Ctrl-C for real at a stage of the fit."""

    stage, restart, iteration = "iteration", 0, 3

    def __call__(self, stage, restart, iteration, lower_bound, change, converged):
        if (stage, restart, iteration) == (self.stage, self.restart, self.iteration):
            signal.raise_signal(signal.SIGINT)
        return super().__call__(stage, restart, iteration, lower_bound, change, converged)


def test_ctrl_c_between_iterations_keeps_the_model_so_far(blobs, monkeypatch):
    start = explicit_start(blobs, 3, "full") | {"tol": 0, "max_iter": 50}
    monkeypatch.setattr(gaussmix._mixture, "Reporter", InterruptAt)
    model = GaussianMixture(**start)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(KeyboardInterrupt):
            model.fit(blobs)
    monkeypatch.undo()
    assert (model.n_iter_, model.converged_) == (3, False)
    with pytest.warns(match="did not converge"):
        three = GaussianMixture(**(start | {"max_iter": 3})).fit(blobs)
    assert_same_bits(model, three)
    assert model.lower_bound_ == model.score(blobs)


def test_ctrl_c_in_a_later_restart_keeps_the_best(blobs, monkeypatch):
    monkeypatch.setattr(gaussmix._mixture, "Reporter", InterruptAt)
    for name, value in {"stage": "start", "restart": 2, "iteration": 0}.items():
        monkeypatch.setattr(InterruptAt, name, value)
    params = {"n_components": 3, "init_params": "random_from_data", "random_state": 0, "tol": 1e-6, "max_iter": 500}
    model = GaussianMixture(**params, n_init=5)
    with pytest.raises(KeyboardInterrupt):
        model.fit(blobs)
    monkeypatch.undo()
    assert_same_bits(model, GaussianMixture(**params, n_init=2).fit(blobs))


def test_ctrl_c_before_there_is_a_model(blobs, monkeypatch):
    monkeypatch.setattr(gaussmix._mixture, "Reporter", InterruptAt)
    for name, value in {"stage": "seeding", "iteration": 0}.items():
        monkeypatch.setattr(InterruptAt, name, value)
    model = GaussianMixture(3)
    with pytest.raises(KeyboardInterrupt):
        model.fit(blobs)
    assert not hasattr(model, "means_")
    # And an earlier model stays.
    monkeypatch.undo()
    model.fit(blobs)
    means = model.means_
    monkeypatch.setattr(gaussmix._mixture, "Reporter", InterruptAt)
    for name, value in {"stage": "seeding", "iteration": 0}.items():
        monkeypatch.setattr(InterruptAt, name, value)
    with pytest.raises(KeyboardInterrupt):
        model.fit(blobs)
    assert model.means_ is means


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer on this platform")
@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.21, 0.22, 0.23])
def test_ctrl_c_at_any_time_of_a_silent_fit(blobs, seconds):
    def interrupt(*_):
        signal.raise_signal(signal.SIGINT)

    model = GaussianMixture(**explicit_start(blobs, 3, "full"), tol=0, max_iter=10**8)
    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        with pytest.raises(KeyboardInterrupt):
            model.fit(blobs)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert 0 < model.n_iter_ < 10**8
    assert_finite(model)
    assert model.lower_bound_ == model.score(blobs)


class AtIteration(Reporter):
    """Does something in the second iteration of the first fit that comes there, and keeps what it returns."""

    begun, found = False, None

    def __call__(self, stage, restart, iteration, lower_bound, change, converged):
        if (stage, iteration) == ("iteration", 2) and not AtIteration.begun:
            AtIteration.begun = True
            AtIteration.found = self.do()
        return super().__call__(stage, restart, iteration, lower_bound, change, converged)


@pytest.fixture
def fit_with(monkeypatch):
    """Return a function that fits with a team of threads, and does something in the second iteration."""
    X = np.random.default_rng(0).normal(size=(20_000, 8))
    params = explicit_start(X, 4, "full") | {"tol": 0, "max_iter": 5}

    def fit(do):
        monkeypatch.setattr(gaussmix._mixture, "Reporter", AtIteration)
        monkeypatch.setattr(AtIteration, "do", staticmethod(lambda: do(X)), raising=False)
        monkeypatch.setattr(AtIteration, "begun", False)
        model = GaussianMixture(**params, n_threads=2).fit(X)
        found = AtIteration.found
        monkeypatch.undo()
        assert_same_bits(model, GaussianMixture(**params, n_threads=1).fit(X))
        return found, X

    return fit


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_callback_may_fit_and_predict(fit_with):
    def do(X):
        model = GaussianMixture(3, random_state=1, n_threads=2).fit(X)
        return model, model.predict_proba(X)

    (inner, proba), X = fit_with(do)
    alone = GaussianMixture(3, random_state=1, n_threads=1).fit(X)
    assert_same_bits(inner, alone)
    assert np.array_equal(proba, alone.predict_proba(X))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:.*fork.*:DeprecationWarning")
def test_a_callback_may_fork_a_process_that_fits(fit_with):
    def do(X):
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # a child that waits for ever ends too
            try:
                fitted = GaussianMixture(3, random_state=1, n_threads=2).fit(X[:1_000])
                os._exit(0 if np.isfinite(fitted.lower_bound_) else 1)
            except BaseException:
                traceback.print_exc()
                os._exit(2)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    status, _ = fit_with(do)
    assert status == 0


def recording_callback(stop_at=None):
    """Return a callback of scikit-learn's protocol that records tasks, and stops the fit at a count of iterations."""

    class Recorder:
        def __init__(self):
            self.begun, self.ended, self.life = [], [], []

        def setup(self, estimator, context):
            self.life.append("setup")

        def teardown(self, estimator, context):
            self.life.append("teardown")

        def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
            self.begun.append(context.task_name)

        def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
            self.ended.append(context.task_name)
            return stop_at is not None and self.ended.count("EM iteration") >= stop_at

    return Recorder()


def test_scikit_learns_callbacks_see_restarts_and_iterations(blobs):
    pytest.importorskip("sklearn.callback")
    recorder = recording_callback()
    model = GaussianMixture(3, n_init=2, random_state=0).set_callbacks(recorder).fit(blobs)
    assert_same_bits(model, GaussianMixture(3, n_init=2, random_state=0).fit(blobs))
    assert recorder.life == ["setup", "teardown"]
    assert sorted(recorder.begun) == sorted(recorder.ended)
    assert recorder.begun.count("restart") == 2
    assert recorder.begun.count("fit") == 1
    assert recorder.begun.count("EM iteration") >= 2 * min(model.n_iter_, 1)


def test_scikit_learns_callbacks_can_stop_a_fit(blobs):
    pytest.importorskip("sklearn.callback")
    start = explicit_start(blobs, 3, "full") | {"tol": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # who stopped it knows that it did not converge
        model = GaussianMixture(**start).set_callbacks(recording_callback(stop_at=4)).fit(blobs)
    assert (model.n_iter_, model.converged_) == (4, False)
    with pytest.warns(match="did not converge"):
        four = GaussianMixture(**start, max_iter=4).fit(blobs)
    assert_same_bits(model, four)


def test_an_exception_of_a_callback_is_raised(blobs):
    pytest.importorskip("sklearn.callback")
    recorder = recording_callback()
    recorder.on_fit_task_end = lambda *args, **kwargs: 1 / 0
    model = GaussianMixture(3, random_state=0).set_callbacks(recorder)
    with pytest.raises(ZeroDivisionError):
        model.fit(blobs)
    assert recorder.life == ["setup", "teardown"]


def test_the_course_of_every_restart_is_kept(blobs):
    model = GaussianMixture(4, n_init=3, init_params="random", random_state=0, max_iter=30).fit(blobs)
    assert len(model.restarts_) == 3
    (kept,) = [restart for restart in model.restarts_ if restart.kept]
    assert kept.lower_bounds == model.lower_bounds_
    assert kept.converged == model.converged_
    for restart in model.restarts_:
        assert (np.diff(restart.lower_bounds) > -1e-12).all()
        assert restart.converged == (restart.lower_bounds[-1] - restart.lower_bounds[-2] < model.tol)
    assert len({tuple(restart.lower_bounds) for restart in model.restarts_}) == 3
    (only,) = GaussianMixture(2, random_state=0).fit(blobs).restarts_
    assert only.kept
