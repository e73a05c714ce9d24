"""Many mixtures fitted to the same rows: what runs side by side, what is noted of each, and which is the best.

Small fits run side by side, one thread each and the long ones first, so that no processor idles at the end; large ones
run one after another on all threads. As a fit has the same bits at any number of threads, this choice changes the time
and nothing else.

Candidates do not share a pass over the rows. What they could share are the features of the rows, d (d + 1) / 2
multiplications of the 4 K D flops of a row in a pass (D features, K components): 1 % at K = 25, 0.2 % at K = 110.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._dispatch import core, model, n_parameters
from gaussmix._mixture import CovarianceType, GaussianMixture
from gaussmix._progress import Bar
from gaussmix._validation import Rows

__all__ = ["Best", "Candidate", "Fold", "Sweep"]

# Multiply-adds of an EM iteration from which on one fit keeps all threads busy: tens of milliseconds on one of them.
LARGE = 1e9

FAILED = dict.fromkeys(["aic", "bic", "icl", "cv", "log_likelihood"], np.nan) | {
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
        shape = self._rows.shape
        by_work = sorted(candidates, key=lambda candidate: -candidate.work(shape))
        for candidate in by_work:
            if candidate.work(shape) >= LARGE:
                self._evaluate(candidate, self._n_threads)
        self._side_by_side(deque(candidate for candidate in by_work if candidate.work(shape) < LARGE))

    def run_until_turned(self, candidates: list[Candidate], patience: int) -> None:
        """Fit each type by size, until `patience` sizes in a row have brought it nothing better.

        At a time as many sizes of a type are fitted as this will take at least: none is fitted in vain, and the results
        do not tell how many threads there are.

        Raises
        ------
        KeyboardInterrupt
            On Ctrl-C; candidates that have ended are kept.
        """
        waiting: dict[CovarianceType, deque[Candidate]] = {}
        for candidate in candidates:
            waiting.setdefault(candidate.covariance_type, deque()).append(candidate)
        while waiting:
            needed = {kind: min(patience - self._stale(kind), len(queue)) for kind, queue in waiting.items()}
            self.run([waiting[kind].popleft() for kind, n in needed.items() for _ in range(n)])
            waiting = {kind: queue for kind, queue in waiting.items() if queue and self._stale(kind) < patience}

    def _stale(self, kind: CovarianceType) -> int:
        """Return how many sizes of a type have come after its best."""
        curve = [
            self.records[candidate][self._criterion]
            for candidate in sorted(self.records)
            if candidate.covariance_type == kind
        ]
        return len(curve) - 1 - int(np.argmin(np.nan_to_num(curve, nan=np.inf))) if curve else 0

    def _side_by_side(self, waiting: deque[Candidate]) -> None:
        """Work off a queue on all threads, which share in what is not enough for one each.

        The calling thread takes its part: one thread starts no other, and Ctrl-C, which Python delivers to the main
        thread alone, is seen between the iterations of what is fitted here. The other threads are then told to stop,
        which they do at their next iteration.
        """
        each = max(1, self._n_threads // max(1, len(waiting)))

        def work() -> None:
            while waiting and not self._cancelled.is_set():
                try:
                    candidate = waiting.popleft()
                except IndexError:  # another thread has taken the last one
                    return
                self._evaluate(candidate, each)

        workers = [threading.Thread(target=work) for _ in range(min(self._n_threads, len(waiting)) - 1)]
        try:
            for worker in workers:
                worker.start()
            work()
            self._join(workers)
        except BaseException:
            self._cancelled.set()  # also for a thread that is just being started, and cannot be joined yet
            self._join(workers)
            raise

    @staticmethod
    def _join(workers: list[threading.Thread]) -> None:
        for worker in workers:
            while worker.is_alive():  # in steps, since on Windows Ctrl-C waits for the end of each
                worker.join(0.1)

    def _evaluate(self, candidate: Candidate, n_threads: int) -> None:
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
        size = n_parameters(candidate.covariance_type, candidate.n_components, self._rows.shape[1])
        record |= {"n_parameters": size, "fit_time": time.perf_counter() - started, "error": error}
        with self._lock:
            self._note(candidate, record, estimator)
            self._bar.step(f"{candidate.covariance_type}, K={candidate.n_components}")

    def _note(self, candidate: Candidate, record: dict[str, Any], estimator: GaussianMixture | None) -> None:
        """Keep the record; a model is kept only while it is the best, as all together may not fit into memory."""
        self.records[candidate] = record
        if estimator is not None:
            key = record[self._criterion], record["n_parameters"], candidate.rank
            if self.best is None or key < self.best.key:
                self.best = Best(key, candidate, estimator)

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
