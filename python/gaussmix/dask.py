"""Fits of rows that lie on the workers of a Dask cluster.

The rows stay where they are. In each iteration the model goes out, every worker makes the statistics of its blocks with
the compiled core, and these come back through a tree of merges. The shape of the tree depends on the blocks alone, so
that the bits of a fit do not depend on the number of workers, nor on one that dies on the way.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import partial
from itertools import chain, repeat
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted, validate_data

import gaussmix._mixture as in_memory
from gaussmix._block_fit import Plan, fit_blocks
from gaussmix._dispatch import FITTED, core, model, threads, threads_at_most
from gaussmix._passes import Tree, check_block, grow
from gaussmix._seeding import Seeding

try:
    import dask
    import distributed
    from dask.system import CPU_COUNT
    from dask.utils import is_dataframe_like

    from gaussmix._collections import as_array, feature_names, futures, futures_of_blocks, to_rows, weight_blocks
except ImportError as error:  # pragma: no cover
    raise ImportError("gaussmix.dask needs Dask: pip install 'gaussmix[dask]'") from error

__all__ = ["GaussianMixture"]

T = TypeVar("T")
# Results that a task merges, and blocks of a task that are no neighbours, whose results it cannot merge.
_FAN_IN = 8
_LOST = (
    "Rows are lost, and cannot be made anew: the client was closed by which they were persisted, or a worker died that "
    "alone had them, as after Client.scatter. Persist them again."
)
# Tasks of a pass: enough to even out workers of different speed, few enough for the scheduler.
_RUNS_A_THREAD = 8
_RUNS_AT_LEAST = 16
# Bytes of a task's blocks, if it takes more than one.
_RUN_BYTES = 2**26


class GaussianMixture(in_memory.GaussianMixture):
    """Gaussian mixture fitted to Dask collections, which stay on the workers.

    Parameters, attributes and methods are those of :class:`gaussmix.GaussianMixture`, and so are the numbers: from the
    same start a fit differs by rounding. The methods also take dask arrays and frames of numeric columns; lengths of
    blocks may be unknown. `predict`, `predict_proba` and `score_samples` then return dask arrays that are computed when
    they are needed, `score`, `aic`, `bic` and `icl` compute at once. They run on the :class:`distributed.Client` in
    use, or else on Dask's own threads. Everything that is not of Dask goes the way of the parent class.

    During a fit the workers keep the rows. Where no start is given, ``init_params="kmeans"`` and ``"k-means++"`` find
    it by k-means|| [1]_, the others on a sample of the rows. With the same blocks and the same instruction set on all
    workers the bits do not depend on the number of workers and threads.

    Parameters
    ----------
    n_components : int, default=1
        Number of components K. This and all others are described at :class:`gaussmix.GaussianMixture`; `n_threads`
        bounds the threads of one block, which share those of its worker (`nthreads`).

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Weights of the components. This and all others are described at :class:`gaussmix.GaussianMixture`.

    See Also
    --------
    gaussmix.GaussianMixture : The same for rows in memory.

    References
    ----------
    .. [1] Bahmani, Moseley, Vattani, Kumar, Vassilvitskii (2012), "Scalable k-means++".

    Examples
    --------
    >>> import dask.array as da
    >>> from gaussmix.dask import GaussianMixture
    >>> X = da.random.default_rng(0).normal(size=(10_000, 2), chunks=(1_000, 2))
    >>> X = da.concatenate([X, X + 10])
    >>> gm = GaussianMixture(n_components=2, random_state=0).fit(X)
    >>> gm.means_[:, 0].round().astype(int)
    array([10,  0])
    >>> gm.predict(X)
    dask.array<_call, shape=(20000,), dtype=int64, chunksize=(1000,), chunktype=numpy.ndarray>
    """

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Estimate the parameters by EM.

        Parameters
        ----------
        X : dask array, dask dataframe or array-like of shape (n_samples, n_features)
            Rows. The workers keep them during the fit; what does not fit into their memory they write to disk. Without
            a :class:`distributed.Client` the blocks are computed anew in each pass.
        y : Ignored
            Not used.
        sample_weight : dask array, dask series, array-like of shape (n_samples,) or number, default=None
            Weights of the rows, by keyword. Where the lengths of blocks are unknown they need as many blocks.

        Returns
        -------
        self : GaussianMixture
            The fitted estimator.

        Raises
        ------
        TypeError
            If X or the weights are another Dask collection, such as a delayed object or a bag, or blocks are sparse.
        RuntimeError
            If persisted rows are lost, with a client that was closed or a worker that alone had them, or the client is
            asynchronous.
        ValueError
            As :meth:`gaussmix.GaussianMixture.fit`; for what is wrong with rows or weights, with the number of the
            block. Blocks without rows are skipped.
        KeyboardInterrupt
            On Ctrl-C, after the model so far has been set.
        """
        super().fit(X, y, sample_weight=sample_weight)
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Fit, and return the labels of the rows: the same as ``fit(X).predict(X)``.

        Parameters
        ----------
        X : dask array, dask dataframe or array-like of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Not used.
        sample_weight : dask array, dask series or array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        labels : dask array or ndarray of shape (n_samples,)
            Component of the largest responsibility.

        Raises
        ------
        ValueError
            As `fit`.
        """
        return self.fit(X, sample_weight=sample_weight).predict(X)

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Take one batch of a stream, which must be in memory: see :meth:`gaussmix.GaussianMixture.partial_fit`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Not used.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, by keyword.

        Returns
        -------
        self : GaussianMixture
            As of :meth:`gaussmix.GaussianMixture.partial_fit`.

        Raises
        ------
        TypeError
            If X or the weights are a Dask collection.
        ValueError
            As :meth:`gaussmix.GaussianMixture.partial_fit`.
        """
        if dask.is_dask_collection(X) or dask.is_dask_collection(sample_weight):
            raise TypeError("partial_fit takes one batch in memory: pass X.compute(), or call fit for all rows.")
        super().partial_fit(X, y, sample_weight=sample_weight)
        return self

    def predict(self, X: Any) -> Any:
        """Return the component of the largest responsibility for each row.

        Parameters
        ----------
        X : dask array, dask dataframe or array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : dask array or ndarray of shape (n_samples,)
            Labels 0 ... n_components - 1.

        Raises
        ------
        NotFittedError
            If there is no model yet.
        ValueError
            If X has other features. Values are checked when the labels are computed.
        """
        return self._lazy("predict", X) if dask.is_dask_collection(X) else super().predict(X)

    def predict_proba(self, X: Any) -> Any:
        """Return the responsibilities, P(component k | row n).

        Parameters
        ----------
        X : dask array, dask dataframe or array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        responsibilities : dask array or ndarray of shape (n_samples, n_components)
            Rows sum to 1.

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.
        """
        return self._lazy("predict_proba", X) if dask.is_dask_collection(X) else super().predict_proba(X)

    def score_samples(self, X: Any) -> Any:
        """Return the log-density of each row.

        Parameters
        ----------
        X : dask array, dask dataframe or array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_prob : dask array or ndarray of shape (n_samples,)
            log p(x), in nats.

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.
        """
        return self._lazy("score_samples", X) if dask.is_dask_collection(X) else super().score_samples(X)

    def icl(self, X: Any, *, sample_weight: Any = None) -> float:
        """Return the integrated completed likelihood, BIC - 2 sum(w log max_k r_nk); the lower the better.

        Parameters
        ----------
        X : dask array, dask dataframe or array-like of shape (n_samples, n_features)
            Rows.
        sample_weight : dask array, dask series or array-like of shape (n_samples,), default=None
            Weights of the rows; their sum is n.

        Returns
        -------
        icl : float
            See :meth:`gaussmix.GaussianMixture.icl`.

        Raises
        ------
        NotFittedError, ValueError
            As `score`.
        """
        if not dask.is_dask_collection(X):
            return super().icl(X, sample_weight=sample_weight)
        score, certainty, total = self._means(X, sample_weight, with_certainty=True)
        return core.icl(score, certainty, self._n_parameters(), total)

    def _fit(self, X: Any, sample_weight: Any) -> Any:
        """Fit, and warn."""
        if not dask.is_dask_collection(X):
            return super()._fit(X, sample_weight)
        source = Collection(X, sample_weight, keep=True)
        seeding: Seeding = "k-means||" if self.init_params in ("kmeans", "k-means++") else "reservoir"
        try:
            self._warn(fit_blocks(self, source, Plan(seeding=seeding)))
        finally:
            source.release()
        return X

    def _score(self, X: Any, sample_weight: Any) -> tuple[float, float]:
        if not dask.is_dask_collection(X):
            return super()._score(X, sample_weight)
        score, _, total = self._means(X, sample_weight, with_certainty=False)
        return score, total

    def _means(self, X: Any, sample_weight: Any, *, with_certainty: bool) -> tuple[float, float, float]:
        """Return the weighted means of the log-density and of log max_k r_nk over all rows, and the total weight."""
        self._check_features(X)
        sums = Collection(X, sample_weight).reduce(partial(_sums, self._in_memory(), with_certainty), np.add)
        if not sums[2] > 0:
            raise ValueError("There are no rows with a positive weight in X.")
        return float(sums[0] / sums[2]), float(sums[1] / sums[2]), float(sums[2])

    def _lazy(self, method: str, X: Any) -> Any:
        """Return what a method gives for each block, as a dask array."""
        self._check_features(X)
        rows = as_array(X)
        of_rows = rows.dtype if rows.dtype in (np.float32, np.float64) else np.float64
        dtype = np.dtype(np.int64) if method == "predict" else np.result_type(of_rows, np.asarray(self.means_).dtype)
        estimator = dask.delayed(self._in_memory(), pure=False)
        if method == "predict_proba":
            chunks = (rows.chunks[0], (len(self.weights_),))
            return rows.map_blocks(_call, estimator, method, chunks=chunks, dtype=dtype, meta=np.empty((0, 0), dtype))
        return rows.map_blocks(_call, estimator, method, drop_axis=1, dtype=dtype, meta=np.empty(0, dtype))

    def _check_features(self, X: Any) -> None:
        """Check that there is a model, and that X has its columns; values are checked where they are."""
        check_is_fitted(self)
        rows = X._meta if is_dataframe_like(X) else np.empty((0, as_array(X).shape[1]))
        validate_data(self, rows, reset=False, skip_check_array=True)

    def _in_memory(self) -> in_memory.GaussianMixture:
        """Return what workers need of this estimator to predict."""
        k = len(self.weights_)
        lean = in_memory.GaussianMixture(k, covariance_type=self.covariance_type, n_threads=self.n_threads)
        for name in (*FITTED, "n_features_in_"):
            setattr(lean, name, getattr(self, name))
        return lean


def _call(X: NDArray[Any], estimator: in_memory.GaussianMixture, method: str) -> NDArray[Any]:
    """Call a method of an estimator on a block, which may have no rows."""
    with threads_at_most(_threads_of_a_task()):
        # Of no rows, one tells the shape and dtype.
        result: NDArray[Any] = getattr(estimator, method)(X if len(X) else np.zeros((1, X.shape[1]), X.dtype))
    return result[: len(X)]


def _sums(
    estimator: in_memory.GaussianMixture, with_certainty: bool, index: int, X: Any, sample_weight: Any
) -> NDArray[np.float64]:
    """Return the sums of w log p(x), of w log max_k r_nk and of w over a block."""
    X, weights = check_block(index, X, sample_weight, estimator.n_features_in_)
    total = float(len(X)) if weights is None else float(weights.sum())
    if total == 0:
        return np.zeros(3)
    data, n = core.Data([X], weights), threads(estimator.n_threads)
    certainty = model(estimator).certainty(data, n) if with_certainty else 0.0
    return np.array([total * model(estimator).score(data, n), total * certainty, total])


class Collection:
    """The blocks of Dask collections: a :class:`gaussmix._passes.Source`.

    Small blocks are computed on in runs, one task a run: a task costs the scheduler a millisecond or more. Blocks that
    lie on workers already stay there, and only those of one worker make a run. The tree of merges is that of the
    blocks all the same: a task merges what is next to each other, and hands on the rest.

    Parameters
    ----------
    X : dask.array.Array or dask.dataframe.DataFrame of shape (n_samples, n_features)
        Rows; the number of rows may be unknown.
    sample_weight : dask collection, array-like of shape (n_samples,) or number, default=None
        Weights of the rows.
    keep : bool, default=False
        Whether the workers keep the blocks that they have not been told to keep, for many passes; what does not fit
        into their memory they write to disk. Without a :class:`distributed.Client` the blocks are computed anew in each
        pass.

    Raises
    ------
    TypeError, ValueError
        As :func:`gaussmix._collections.as_array`, :func:`gaussmix._collections.weight_blocks`.
    """

    def __init__(self, X: Any, sample_weight: Any = None, *, keep: bool = False) -> None:
        self.feature_names: Sequence[str] | None = feature_names(X)
        rows = as_array(X)
        self._dtype, self._weighted = rows.dtype, sample_weight is not None
        self._kept: Sequence[distributed.Future] = []
        workers = _threads_of_workers()
        n_threads = None if workers is None else sum(workers.values())
        blocks, weights = list(rows.to_delayed().ravel()), list(weight_blocks(sample_weight, rows))
        self._n_blocks = len(blocks)
        known: Sequence[distributed.Future] = []
        if n_threads is None and futures(X):
            raise RuntimeError(_LOST)
        if n_threads is not None:
            lying = futures_of_blocks(X, rows)
            known = [future for future in lying if future is not None]
            parts = X.to_delayed() if known and is_dataframe_like(X) else blocks
            blocks = [part if future is None else future for part, future in zip(parts, lying, strict=True)]
            if keep:
                # What is made stays where it is made; weights, which are small, come to their rows.
                made = [None if future is not None else part for part, future in zip(parts, lying, strict=True)]
                made, weights = dask.persist(made, weights)
                self._kept = distributed.futures_of([made, weights])
                blocks = [future if block is None else block for block, future in zip(made, lying, strict=True)]
                known = distributed.futures_of(blocks)
        size = _blocks_a_run(len(blocks), np.max(rows.chunks[0]) * rows.shape[1] * rows.dtype.itemsize, n_threads)
        places = _places(known) if known else {}
        self._n_workers = len(workers or ()) or 1
        self._runs = [
            (place, indices, [blocks[i] for i in indices], [weights[i] for i in indices])
            for place, indices in _runs([places.get(block.key) for block in blocks], size)
        ]

    def reduce(self, per_block: Callable[[int, Any, Any], T], merge: Callable[[T, T], T]) -> T:
        """Call `per_block` where the blocks are, and merge what it returns as :func:`tree_reduce` does."""
        # Each function is one key of the graph: a model is sent once, and workers have it from each other.
        on_block, merge_two = (dask.delayed(f, pure=False, traverse=False) for f in (per_block, merge))
        n_blocks = self._n_blocks
        reduce_run, merge_trees = (
            dask.delayed(partial(f, n_blocks), pure=False, traverse=False) for f in (_reduce_run, _merge_trees)
        )
        parts = []
        beside = Counter(place for place, *_ in self._runs)
        beside[None] = -(-beside[None] // self._n_workers)
        for place, indices, run, of_run in self._runs:
            # Small blocks are moved to an idle worker otherwise, and then there are two of each.
            where = {} if place is None else {"workers": [place], "allow_other_workers": True}
            with dask.annotate(**where):
                parts.append(
                    reduce_run(
                        on_block,
                        merge_two,
                        self._dtype,
                        beside[place],
                        indices,
                        run,
                        of_run if self._weighted else None,
                    )
                )
        while len(parts) > 1:
            parts = [merge_trees(merge_two, *parts[i : i + _FAN_IN]) for i in range(0, len(parts), _FAN_IN)]
        # A large model is a large graph, which Dask warns of.
        with _lost(), dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GB"}):
            (tree,) = parts[0].compute(optimize_graph=False)
        result: T = tree.value
        return result

    def release(self) -> None:
        """Let the workers forget the blocks that they have kept.

        At once: an error's traceback, whose frames refer to them, may wait long for the garbage collector.
        """
        for future in self._kept:
            future.release()
        self._kept, self._runs = [], []


@contextmanager
def _lost() -> Iterator[None]:
    """Say what it means that futures are cancelled."""
    try:
        yield
    except CancelledError as error:
        raise RuntimeError(_LOST) from error


def _threads_of_workers() -> dict[str, int] | None:
    """Return the threads of each worker, or None if there is no cluster."""
    try:
        client = distributed.get_client()
    except ValueError:
        return None
    if client.asynchronous:
        raise RuntimeError(
            "The client in use is asynchronous: fit and score wait for the cluster and need one that is not."
        )
    found: dict[str, int] = client.nthreads()
    return found


def _blocks_a_run(n_blocks: int, block_bytes: float, n_threads: int | None) -> int:
    """Return how many blocks a task takes: a power of two; one, if their bytes are not known (NaN)."""
    tasks = max(_RUNS_A_THREAD * (CPU_COUNT if n_threads is None else n_threads), _RUNS_AT_LEAST)
    size = 1
    while n_blocks > size * tasks and 2 * size * block_bytes <= _RUN_BYTES:
        size *= 2
    return size


def _runs(places: Sequence[str | None], size: int) -> Iterator[tuple[str | None, Sequence[int]]]:
    """Yield where each task runs, and its blocks: at most `size` that are in one place, neighbours as far as may be."""
    window = size
    while window < size * len(set(places)) and size > 1:
        window *= 2
    for first in range(0, len(places), window):
        at: dict[str | None, list[int]] = {}
        for i in range(first, min(first + window, len(places))):
            at.setdefault(places[i], []).append(i)
        for place, own in at.items():
            step = size if own[-1] - own[0] < len(own) else min(size, _FAN_IN)
            yield from ((place, own[i : i + step]) for i in range(0, len(own), step))


def _places(futures: Sequence[distributed.Future]) -> dict[Any, str]:
    """Return a worker that has each block, by its key, once all have been made."""
    with _lost():
        distributed.wait(futures)
    found = distributed.get_client().who_has(futures)
    return {key: min(workers) for key, workers in found.items() if workers}


def _reduce_run(
    n_blocks: int,
    per_block: Callable[[int, Any, Any], T],
    merge: Callable[[T, T], T],
    dtype: np.dtype[Any],
    n_tasks: int,
    indices: Sequence[int],
    blocks: list[Any],
    weights: list[Any] | None,
) -> list[Tree[T]]:
    """Return what blocks give, with neighbours merged."""
    with threads_at_most(_threads_of_a_task(n_tasks)):
        given = repeat(None) if weights is None else weights  # a list of None costs Dask time
        found = (
            Tree(i, 0, per_block(i, to_rows(X, dtype), w)) for i, X, w in zip(indices, blocks, given, strict=False)
        )
        return grow(found, merge, n_blocks)


def _merge_trees(n_blocks: int, merge: Callable[[T, T], T], *parts: list[Tree[T]]) -> list[Tree[T]]:
    """Merge the results of other tasks."""
    trees = sorted(chain(*parts), key=lambda tree: tree.first)
    # The earlier of two may change in a merge, and other tasks may ask for it again when a worker has died.
    return grow((copy.deepcopy(tree) if tree.is_left else tree for tree in trees), merge, n_blocks)


def _threads_of_a_task(n_tasks: int = 1) -> int:
    """Return the threads that this task may use: those of its worker, shared with the tasks that run there.

    These are the ones that run now, or the `n_tasks` that its pass will have there, if they are more: the first one of
    them is to leave room for the others. The bits do not depend on it. Dask's own scheduler runs a task on each
    processor.
    """
    try:
        worker = distributed.get_worker()
    except ValueError:
        return 1
    return max(1, int(worker.state.nthreads) // max(1, n_tasks, len(worker.state.executing)))
