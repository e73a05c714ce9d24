"""Many mixtures fitted to the same rows: which run side by side, what is noted of each, and which is the best.

Small fits run side by side, one thread each and the long ones first, so that no processor idles at the end; large ones
run one after another on all threads. As a fit has the same bits at any number of threads, this choice changes the time
and nothing else.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._dispatch import core, model
from gaussmix._mixture import CovarianceType, GaussianMixture
from gaussmix._progress import Bar
from gaussmix._validation import Rows

__all__ = ["Best", "Candidate", "Fold", "Sweep"]

# Multiply-adds of an EM iteration from which on one fit keeps all threads busy: some 50 ms on one of them.
LARGE = 1e9

FAILED = dict.fromkeys(["aic", "bic", "icl", "cv", "log_likelihood"], np.nan) | {
    "n_parameters": 0,
    "n_iter": 0,
    "converged": False,
}


class Candidate(NamedTuple):
    """A mixture to fit; among equals the lowest rank wins."""

    rank: int
    covariance_type: CovarianceType
    n_components: int

    def work(self, shape: tuple[int, int]) -> float:
        """Return about how many multiply-adds an EM iteration takes."""
        n, d = shape
        return float(n) * self.n_components * d * (d if self.covariance_type == "full" else 1)


class Best(NamedTuple):
    """The best candidate so far; the key orders by criterion, then number of parameters, then rank."""

    key: tuple[float, int, int]
    candidate: Candidate
    estimator: GaussianMixture


class Fold(NamedTuple):
    """Indices of the rows to fit and of those held out, and the total weight of the latter."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    weight: float


class Ended(NamedTuple):
    """A candidate, what is noted of it by name of the column, and its model; None if it has failed."""

    candidate: Candidate
    record: dict[str, Any]
    estimator: GaussianMixture | None


Accept = Callable[[Ended], None]


class Sweep:
    """Fits candidates, and keeps what is noted of each and the model of the best.

    Parameters
    ----------
    make : callable
        Makes the estimator of a candidate.
    rows : Rows
        Checked rows.
    weights : ndarray of shape (n_samples,) or None
        Checked weights of the rows.
    folds : list of Fold
        Empty without cross-validation.
    criterion : {"aic", "bic", "icl", "cv"}
        What is compared.
    n_threads : int
        Threads at most, the calling one included.
    bar : Bar
        What shows the progress.

    Attributes
    ----------
    records : dict of Candidate to dict
        What is known of each candidate that has ended, by name of the column.
    best : Best or None
        The best of them; None as long as all have failed.
    """

    def __init__(
        self,
        make: Callable[[Candidate], GaussianMixture],
        rows: Rows,
        weights: NDArray[np.float64] | None,
        folds: list[Fold],
        criterion: str,
        n_threads: int,
        bar: Bar,
    ) -> None:
        self.records: dict[Candidate, dict[str, Any]] = {}
        self.best: Best | None = None
        self._make, self._rows, self._weights, self._folds = make, rows, weights, folds
        self._criterion, self._n_threads, self._bar = criterion, n_threads, bar
        self._cancelled = threading.Event()
        self._lock = threading.Lock()

    def run(self, candidates: list[Candidate]) -> None:
        """Fit all candidates.

        Raises
        ------
        KeyboardInterrupt
            On Ctrl-C; candidates that have ended are kept.
        """
        self._fit(candidates, self._accept)

    def run_until_turned(self, candidates: list[Candidate], patience: int) -> None:
        """Fit each type by size, until `patience` sizes in a row have brought nothing better.

        Sizes that were tried ahead, to keep the threads busy, are dropped if they lie beyond that one: the results do
        not tell how many threads there are.

        Raises
        ------
        KeyboardInterrupt
            On Ctrl-C; candidates that have ended are kept, but for those that were tried together at the end.
        """
        waiting: dict[CovarianceType, deque[Candidate]] = {}
        for candidate in candidates:
            waiting.setdefault(candidate.covariance_type, deque()).append(candidate)
        lowest, stale = dict.fromkeys(waiting, np.inf), dict.fromkeys(waiting, 0)
        while waiting:
            ahead = max(1, self._n_threads // len(waiting))
            heads = {kind: [queue.popleft() for _ in range(min(ahead, len(queue)))] for kind, queue in waiting.items()}
            ended: list[Ended] = []
            self._fit([candidate for head in heads.values() for candidate in head], ended.append)
            for kind, head in heads.items():
                for one in sorted((one for one in ended if one.candidate in head), key=lambda one: one.candidate):
                    self._accept(one)
                    better = one.record[self._criterion] < lowest[kind]
                    lowest[kind] = one.record[self._criterion] if better else lowest[kind]
                    stale[kind] = 0 if better else stale[kind] + 1
                    if stale[kind] == patience:
                        waiting[kind].clear()
                        break
            waiting = {kind: queue for kind, queue in waiting.items() if queue}

    def _accept(self, ended: Ended) -> None:
        """Note a candidate; its model stays only while it is the best, as all together may not fit into memory."""
        candidate, record, estimator = ended
        self.records[candidate] = record
        if estimator is not None:
            key = record[self._criterion], record["n_parameters"], candidate.rank
            if self.best is None or key < self.best.key:
                self.best = Best(key, candidate, estimator)

    def _fit(self, candidates: list[Candidate], accept: Accept) -> None:
        """Fit candidates and hand each to `accept`, one at a time."""
        shape = self._rows.shape
        by_work = sorted(candidates, key=lambda candidate: -candidate.work(shape))
        for candidate in by_work:
            if candidate.work(shape) >= LARGE:
                self._evaluate(candidate, self._n_threads, accept)
        self._side_by_side(deque(c for c in by_work if c.work(shape) < LARGE), accept)

    def _side_by_side(self, waiting: deque[Candidate], accept: Accept) -> None:
        """Work off a queue on all threads.

        The calling thread takes its part: one thread starts no other, and Ctrl-C, which Python delivers to the main
        thread alone, is seen between the iterations of what is fitted here. The other threads are then told to stop,
        which they do at their next iteration.
        """

        def work() -> None:
            while waiting and not self._cancelled.is_set():
                try:
                    candidate = waiting.popleft()
                except IndexError:  # another thread has taken the last one
                    return
                self._evaluate(candidate, 1, accept)

        helpers = [threading.Thread(target=work) for _ in range(min(self._n_threads, len(waiting)) - 1)]
        try:
            for helper in helpers:
                helper.start()
            work()
            self._join(helpers)
        except BaseException:
            self._cancelled.set()
            self._join(helpers)
            raise

    @staticmethod
    def _join(helpers: list[threading.Thread]) -> None:
        for helper in helpers:
            while helper.is_alive():  # in steps, since on Windows Ctrl-C waits for the end of each
                helper.join(0.1)

    def _evaluate(self, candidate: Candidate, n_threads: int, accept: Accept) -> None:
        """Fit a candidate; whatever it raises becomes its record."""
        started = time.perf_counter()
        estimator: GaussianMixture | None = None
        try:
            estimator = self._fitted(candidate, self._rows, self._weights, n_threads)
            record = self._criteria(estimator, n_threads)
            if self._folds:
                record["cv"] = self._held_out(candidate, n_threads)
            error = ""
        except Exception as reason:
            if self._cancelled.is_set():
                return
            estimator, record, error = None, FAILED.copy(), f"{type(reason).__name__}: {reason}"
        record |= {"fit_time": time.perf_counter() - started, "error": error}
        with self._lock:
            accept(Ended(candidate, record, estimator))
            self._bar.step(f"{candidate.covariance_type}, K={candidate.n_components}")

    def _fitted(
        self, candidate: Candidate, rows: Rows, weights: NDArray[np.float64] | None, n_threads: int
    ) -> GaussianMixture:
        """Return the candidate fitted to checked rows, without a warning."""
        estimator = self._make(candidate)
        weights = estimator._check_enough(rows, weights)
        if estimator._fit_rows(rows, weights, n_threads, cancelled=self._cancelled.is_set):
            raise core.Stopped
        return estimator

    def _criteria(self, estimator: GaussianMixture, n_threads: int) -> dict[str, Any]:
        """Return what `aic`, `bic`, `icl` and `score` of the estimator return, from two passes instead of five."""
        data = self._rows.data(self._weights)
        mixture = model(estimator)
        score, certainty = mixture.score(data, n_threads), mixture.certainty(data, n_threads)
        p, n = mixture.n_parameters, self._rows.total(self._weights)
        return {
            "aic": core.aic(score, p, n),
            "bic": core.bic(score, p, n),
            "icl": core.icl(score, certainty, p, n),
            "log_likelihood": score,
            "n_parameters": p,
            "n_iter": estimator.n_iter_,
            "converged": estimator.converged_,
        }

    def _held_out(self, candidate: Candidate, n_threads: int) -> float:
        """Return minus the mean log-likelihood of all rows that are held out."""
        total = 0.0
        for train, test, weight in self._folds:
            estimator = self._fitted(candidate, *self._part(train), n_threads)
            if weight > 0:
                rows, weights = self._part(test)
                total += weight * model(estimator).score(rows.data(weights), n_threads)
        return -total / sum(fold.weight for fold in self._folds)

    def _part(self, chosen: NDArray[np.int64]) -> tuple[Rows, NDArray[np.float64] | None]:
        return self._rows.take(chosen), None if self._weights is None else self._weights[chosen]
