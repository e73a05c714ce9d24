"""Passes over rows that come in blocks: what files and clusters share.

Whoever has the blocks offers one thing, :meth:`Source.reduce`: call a function on every block, and merge the results
by :func:`tree_reduce`'s fixed tree over the indices of the blocks. A pass of EM is then the compiled core on each block
and a merge of statistics, and its bits do not depend on who computes a block, nor on the order in which results arrive.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from numbers import Real
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array
from sklearn.utils.validation import _get_feature_names

from gaussmix._dispatch import core, threads
from gaussmix._validation import FLOATS

__all__ = ["Parameters", "Passes", "Sample", "Source", "Survey", "Tree", "grow", "survey", "tree_reduce"]

T = TypeVar("T")
Rows = NDArray[Any]
Weights = NDArray[np.float64]
Names = tuple[str, ...]

# Rows that the first pass draws from at a time, at least: at few columns their keys take more room than they do.
_DRAWN_ROWS = 2**14


class Source(Protocol):
    """Rows in blocks, which can be gone through any number of times.

    Attributes
    ----------
    feature_names : sequence of str or None
        Names of the columns, where the source has them.
    """

    feature_names: Sequence[str] | None

    def reduce(self, per_block: Callable[[int, Any, Any], T], merge: Callable[[T, T], T]) -> T:
        """Call `per_block` on all blocks, and merge what it returns as :func:`tree_reduce` does.

        Parameters
        ----------
        per_block : callable
            Takes the index of a block, from 0, its rows, an array-like of shape (n_samples, n_features), and their
            weights, of shape (n_samples,), one number for all of them, or None. It checks them, and can be pickled.
        merge : callable
            Merges the result of earlier blocks, which it may change, with that of the blocks next to them. It can be
            pickled.

        Returns
        -------
        result : object
            What is left when all are merged.

        Raises
        ------
        ValueError
            If there is no block, or one cannot be read.
        """


class Tree(NamedTuple, Generic[T]):
    """What neighbouring blocks have been merged to: 2**level of them from `first`, but for those past the last one."""

    first: int
    level: int
    value: T

    @property
    def is_left(self) -> bool:
        """Whether it is the earlier one of the two that are merged next."""
        return not self.first >> self.level & 1


def grow(trees: Iterable[Tree[T]], merge: Callable[[T, T], T], end: int | None = None) -> list[Tree[T]]:
    """Merge neighbours, then neighbours of these, as far as both are there.

    What is merged with what is known from the places of the blocks alone; a last one without a neighbour goes up as it
    is. Of trees without a gap at most one a level, of which there are log2(n), is kept at a time.

    Parameters
    ----------
    trees : iterable of Tree
        Trees, or blocks, which are trees of level 0, in their order.
    merge : callable
        Takes an earlier part and the one after it, and returns both in one; it may change the earlier one.
    end : int, default=None
        Number of all blocks, if that is known: then all of them become one tree.

    Returns
    -------
    grown : list of Tree
        What is left, in order.
    """
    grown: list[Tree[T]] = []
    for tree in trees:
        while True:
            first, level, value = tree
            if tree.is_left:
                if first == 0 or end is None or first + 2**level < end:
                    break
                tree = Tree(first, level + 1, value)
            elif grown and grown[-1][:2] == (first - 2**level, level):
                before = grown.pop()
                tree = Tree(before.first, level + 1, merge(before.value, value))
            else:
                break
        grown.append(tree)
    return grown


class NoBlocksError(ValueError):
    """A source has no blocks."""


def tree_reduce(parts: Iterable[T], merge: Callable[[T, T], T]) -> T:
    """Merge neighbours, then neighbours of these, until one is left; a last one without a neighbour goes up as it is.

    Parameters
    ----------
    parts : iterable
        Parts in their order.
    merge : callable
        As :func:`grow` takes it.

    Returns
    -------
    whole : object
        All of them merged.

    Raises
    ------
    NoBlocksError
        If there are no parts.
    """
    waiting = grow((Tree(i, 0, part) for i, part in enumerate(parts)), merge)
    if not waiting:
        raise NoBlocksError("The source has no blocks of rows.")
    whole = waiting.pop().value
    while waiting:
        whole = merge(waiting.pop().value, whole)
    return whole


class Parameters(NamedTuple):
    """A mixture as it is kept: what the compiled class takes and gives."""

    covariance_type: str
    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]
    precisions_cholesky: NDArray[np.float64]

    @classmethod
    def of(cls, covariance_type: str, mixture: core.Mixture) -> Parameters:
        """Return those of a compiled mixture."""
        return cls(covariance_type, *mixture.arrays())

    def mixture(self) -> core.Mixture:
        """Return the compiled mixture."""
        return core.mixtures[self.covariance_type](*self[1:])


class _Model:
    """A compiled mixture that goes to the blocks: made once in each process, of what densities need.

    Covariances are not among that; the factors stand in for them, which are half of what there would be to send.
    """

    def __init__(self, covariance_type: str, mixture: core.Mixture) -> None:
        self.covariance_type, self.mixture = covariance_type, mixture

    def __reduce__(self) -> tuple[Any, ...]:
        weights, means, _, factors = self.mixture.arrays()
        return _restored_model, (self.covariance_type, weights, means, factors)


def _restored_model(covariance_type: str, weights: Weights, means: Rows, factors: Rows) -> _Model:
    return _Model(covariance_type, core.mixtures[covariance_type](weights, means, factors, factors))


class Moments(NamedTuple):
    """Statistics as they travel: what the compiled class takes."""

    counts: NDArray[np.float64]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]
    log_likelihood: float
    total_weight: float

    @classmethod
    def of(cls, statistics: core.Statistics) -> Moments:
        """Return those of compiled statistics."""
        return cls(*(getattr(statistics, name) for name in cls._fields))


class _Sums:
    """Compiled statistics that are merged in place, and travel as their moments."""

    def __init__(self, covariance_type: str, statistics: core.Statistics) -> None:
        self._type, self.statistics = covariance_type, statistics

    def merge(self, other: _Sums) -> _Sums:
        """Add those of other rows to these."""
        self.statistics.merge(other.statistics)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # As bytes: messages of many small arrays, which pickle would send one by one, take several times as long.
        moments = Moments.of(self.statistics)
        counts, means, covariances = (array.tobytes() for array in moments[:3])
        return _sums_of_bytes, (self._type, moments.means.shape, counts, means, covariances, *moments[3:])

    def __deepcopy__(self, memo: Any) -> _Sums:
        return _sums_of(self._type, Moments.of(self.statistics))


def _sums_of(covariance_type: str, moments: Moments) -> _Sums:
    return _Sums(covariance_type, core.statistics[covariance_type](*moments))


def _sums_of_bytes(
    covariance_type: str, shape: tuple[int, int], counts: bytes, means: bytes, covariances: bytes, *others: float
) -> _Sums:
    arrays = (np.frombuffer(counts), np.frombuffer(means).reshape(shape), np.frombuffer(covariances))
    return _sums_of(covariance_type, Moments(*arrays, *others))


class Sample(NamedTuple):
    """Rows drawn without replacement, in order of the blocks, and what decides whether they stay in the sample."""

    rows: NDArray[Any]
    weights: NDArray[np.float64]
    keys: NDArray[np.float64]

    def largest(self, count: int) -> Sample:
        """Return the rows with the `count` largest keys, in the order in which they are."""
        if len(self.keys) <= count:
            return self
        kept = np.sort(np.argpartition(-self.keys, count - 1)[:count])
        return Sample(*(array[kept] for array in self))

    def estimate(self, size: int) -> Sample:
        """Return at most `size` rows with weights whose sums estimate those of all rows without bias.

        This is priority sampling (Duffield, Lund and Thorup, 2007, "Priority sampling for estimation of arbitrary
        subset sums"): with keys w / u, and t the key after the last that stays, a row counts max(w, t).
        """
        if len(self.keys) <= size:
            return self
        order = np.argsort(-self.keys, kind="stable")
        kept, threshold = np.sort(order[:size]), self.keys[order[size]]
        weights = np.maximum(self.weights[kept], threshold)
        return Sample(self.rows[kept], weights, self.keys[kept])


def merge_samples(count: int, a: Sample, b: Sample) -> Sample:
    """Return the rows of both with the `count` largest keys."""
    # float32 rows stay so as long as all are.
    return Sample(*(np.concatenate(pair) for pair in zip(a, b, strict=True))).largest(count)


class Survey(NamedTuple):
    """What the first pass finds.

    Attributes
    ----------
    first : int
        Index of the first block.
    rows : tuple of int
        Rows of each block.
    n_features : int
        Columns.
    positive : int
        Rows with a positive weight.
    total_weight : float
        Sum of the weights.
    single : bool
        Whether all blocks are float32.
    weighted : bool
        Whether rows have weights.
    sample : Sample
        A random sample of the rows with a weight, and one row beyond it, which tells what a row counts.
    names : tuple of str or None
        Names of the columns, if blocks are frames.
    checksums : tuple of bytes
        What tells each block from others, if that was asked for.
    """

    first: int
    rows: tuple[int, ...]
    n_features: int
    positive: int
    total_weight: float
    single: bool
    weighted: bool
    sample: Sample
    names: Names | None
    checksums: tuple[bytes, ...]

    @property
    def n_samples(self) -> int:
        """Rows in all blocks."""
        return sum(self.rows)

    def digest(self) -> str:
        """Return what tells these rows and blocks from others, if there are checksums."""
        return hashlib.sha256(b"".join(self.checksums)).hexdigest()


def generator(seed: int, purpose: int, index: int) -> np.random.Generator:
    """Return the random numbers of a block for a purpose."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, purpose, index))))


def check_block(index: int, X: Any, sample_weight: Any, n_features: int | None = None) -> tuple[Rows, Weights | None]:
    """Check a block as the rows of a fit in memory are checked.

    Floats are not copied, but for arrays at odd addresses, as they come over a network or from a file: the core has no
    use for these.

    Raises
    ------
    ValueError
        If it is not a 2-D array of finite numbers with `n_features` columns, or a weight is negative or not finite.
        The message names the block.
    TypeError
        If it is sparse.
    """
    try:
        X = check_array(X, dtype=list(FLOATS), ensure_min_samples=0, input_name="X", estimator="GaussianMixture")
        X = np.require(X, requirements=["ALIGNED"])
        if n_features is not None and X.shape[1] != n_features:
            raise ValueError(
                f"X has {X.shape[1]} features, but GaussianMixture is expecting {n_features} features as input."
            )
        if sample_weight is None:
            return X, None
        if isinstance(sample_weight, Real):
            sample_weight = np.full(len(X), sample_weight, dtype=np.float64)
        # scikit-learn's check of weights refuses a block in which all are zero.
        weights: Weights = check_array(
            sample_weight,
            dtype=np.float64,
            order="C",
            ensure_2d=False,
            allow_nd=True,
            ensure_min_samples=0,
            input_name="sample_weight",
        )
        if weights.shape != (len(X),):
            raise ValueError(f"sample_weight.shape == {weights.shape}, expected {(len(X),)}!")
        if (weights < 0).any():
            raise ValueError("Negative values in data passed to `sample_weight`; weights must be zero or positive.")
        return X, np.require(weights, requirements=["ALIGNED"])
    except TypeError as error:
        raise TypeError(f"Block {index}: {error}") from error
    except ValueError as error:
        raise ValueError(f"Block {index}: {error}") from error


def _names(index: int, X: Any) -> Names | None:
    """Return the names of a block's columns, if it is a frame that has some."""
    try:
        names = _get_feature_names(X)
    except TypeError as error:
        raise ValueError(f"Block {index}: {error}") from error
    return None if names is None else tuple(names)


def _check_names(index: int, names: Names | None, expected: Names | None) -> None:
    """Check that columns are those of other blocks; where one side has no names, their places count."""
    if names is not None and expected is not None and names != expected:
        raise ValueError(
            f"Block {index}: the feature names should match those of the other blocks, in their order: expected "
            f"{list(expected)}, but got {list(names)}."
        )


def survey(source: Source, size: int, seed: int, checksums: bool = False) -> Survey:
    """Go through all rows once: check and count them, and draw a sample.

    Parameters
    ----------
    source : Source
        The rows.
    size : int
        Rows of the sample.
    seed : int
        Names its random numbers.
    checksums : bool, default=False
        Whether to find what tells each block from others.

    Returns
    -------
    found : Survey
        What the rows are.

    Raises
    ------
    ValueError
        If a block is not valid, or does not fit to those before it.
    """
    found: Survey = source.reduce(_SurveyBlock(size + 1, seed, checksums), partial(_merge_surveys, size + 1))
    return found


class _SurveyBlock:
    """Surveys blocks, and remembers the keys it has seen: rows that others have beaten already are not kept.

    What is drawn does not depend on that. It spares the tree of merges a whole sample a level.
    """

    def __init__(self, count: int, seed: int, checksums: bool) -> None:
        self._count, self._seed, self._checksums = count, seed, checksums
        self._largest = np.empty(0)

    def __call__(self, index: int, X: Any, sample_weight: Any) -> Survey:
        names = _names(index, X)
        X, weights = check_block(index, X, sample_weight)
        with np.errstate(over="ignore"):  # a sum that overflows is refused once all are known
            total = float(len(X)) if weights is None else float(weights.sum())
        return Survey(
            first=index,
            rows=(len(X),),
            n_features=X.shape[1],
            positive=len(X) if weights is None else int(np.count_nonzero(weights)),
            total_weight=total,
            single=X.dtype == np.float32 or len(X) == 0,
            weighted=weights is not None,
            sample=self._draw(generator(self._seed, 0, index), X, weights),
            names=names,
            checksums=(_checksum(X, weights),) if self._checksums else (),
        )

    def _draw(self, random: np.random.Generator, X: Rows, weights: Weights | None) -> Sample:
        """Return the rows of a block that may be among those with the largest keys."""
        drawn = [Sample(X[:0], np.empty(0), np.empty(0))]
        step = max(_DRAWN_ROWS, self._count)
        for first in range(0, len(X), step):
            part = X[first : first + step]
            of_part = np.ones(len(part)) if weights is None else weights[first : first + step]
            chosen = np.flatnonzero(of_part)
            with np.errstate(over="ignore"):
                keys = of_part[chosen] / (1 - random.random(len(chosen)))
            keys = np.minimum(keys, np.finfo(np.float64).max)
            # A block that is computed twice counts once. Threads may lose each other's keys here, which only means
            # that more rows are kept; but each must judge by the keys that it has found itself.
            largest = np.unique(np.concatenate([self._largest, keys]))[-self._count :]
            self._largest = largest
            kept = keys >= largest[0] if len(largest) == self._count else np.ones(len(keys), dtype=bool)
            drawn.append(Sample(part[chosen[kept]], of_part[chosen[kept]], keys[kept]))
        return Sample(*(np.concatenate(arrays) for arrays in zip(*drawn, strict=True)))


def _checksum(X: Rows, weights: Weights | None) -> bytes:
    """Return what tells a block from others."""
    digest = hashlib.blake2b(f"{X.shape} {X.dtype} {weights is None}".encode(), digest_size=16)
    for array in (X, weights):
        if array is not None:
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.digest()


def _merge_surveys(count: int, a: Survey, b: Survey) -> Survey:
    if a.n_features != b.n_features:
        raise ValueError(
            f"Block {b.first}: X has {b.n_features} features, but GaussianMixture is expecting {a.n_features} features "
            "as input."
        )
    if a.weighted != b.weighted:
        raise ValueError(f"Block {b.first}: either all blocks have a sample_weight, or none has one.")
    _check_names(b.first, b.names, a.names)
    return Survey(
        first=a.first,
        rows=a.rows + b.rows,
        n_features=a.n_features,
        positive=a.positive + b.positive,
        total_weight=a.total_weight + b.total_weight,
        single=a.single and b.single,
        weighted=a.weighted,
        sample=merge_samples(count, a.sample, b.sample),
        names=b.names if a.names is None else a.names,
        checksums=a.checksums + b.checksums,
    )


class _Part(NamedTuple, Generic[T]):
    """The result of neighbouring blocks, None if none of their rows has a weight; and the rows of each."""

    value: T | None
    rows: tuple[int, ...]


def _on_block(
    function: Callable[[int, Rows, Weights | None], T],
    n_features: int,
    names: Names | None,
    index: int,
    X: Any,
    sample_weight: Any,
) -> _Part[T]:
    _check_names(index, _names(index, X), names)
    X, weights = check_block(index, X, sample_weight, n_features)
    if len(X) == 0 or (weights is not None and not weights.any()):
        return _Part(None, (len(X),))
    try:
        return _Part(function(index, X, weights), (len(X),))
    except ValueError as error:  # numbers that overflow
        raise ValueError(f"Block {index}: {error}") from error


def _merge_parts(merge: Callable[[T, T], T], a: _Part[T], b: _Part[T]) -> _Part[T]:
    if a.value is None or b.value is None:
        value = b.value if a.value is None else a.value
    else:
        value = merge(a.value, b.value)
    return _Part(value, a.rows + b.rows)


class Passes:
    """What the EM loop of the core asks for: statistics, likelihoods and badly explained rows of all blocks.

    Parameters
    ----------
    source : Source
        The rows.
    found : Survey
        What the first pass found.
    covariance_type : {"full", "tied", "diag", "spherical"}
        Type of the mixtures.
    n_threads : int or None
        Threads for each block, at most; None is asked where the block is.
    """

    def __init__(self, source: Source, found: Survey, covariance_type: str, n_threads: int | None) -> None:
        self.found = found
        self.n_threads = n_threads
        self._source, self._type = source, covariance_type

    def run(self, function: Callable[[int, Rows, Weights | None], T], merge: Callable[[T, T], T]) -> T | None:
        """Call a function on all blocks that have a row with a weight, and merge; None if there is none.

        Raises
        ------
        ValueError
            If a block is not valid, or not as long as it was in the first pass.
        """
        on_block = partial(_on_block, function, self.found.n_features, self.found.names)
        try:
            part: _Part[T] = self._source.reduce(on_block, partial(_merge_parts, merge))
        except NoBlocksError:  # there were some in the first pass
            part = _Part(None, ())
        if part.rows != self.found.rows:
            pairs = enumerate(zip(part.rows, self.found.rows, strict=False))
            different = next((i for i, (now, then) in pairs if now != then), min(len(part.rows), len(self.found.rows)))
            now, then = (dict(enumerate(rows)).get(different, "no") for rows in (part.rows, self.found.rows))
            raise ValueError(
                f"Block {different}: it has {now} rows in this pass, and had {then} in the first one. The source must "
                "give the same rows each time; if it is a callable, by a new iterator."
            )
        return part.value

    def accumulate(self, mixture: core.Mixture, about: NDArray[np.float64] | None = None) -> core.Statistics:
        """Return the statistics of all rows: the E-step.

        Parameters
        ----------
        mixture : core.Mixture
            The model.
        about : ndarray of shape (n_components, n_features), default=None
            Points near the new means, about which moments cannot cancel; without, the core chooses.

        Returns
        -------
        statistics : core.Statistics
            Counts, means and covariances under its responsibilities, and its log-likelihood.
        """
        sums = self.run(partial(_accumulate, _Model(self._type, mixture), self.n_threads, about), _Sums.merge)
        assert sums is not None  # the first pass found rows with a weight
        return sums.statistics

    def score(self, mixture: core.Mixture) -> float:
        """Return the mean log-likelihood of the mixture."""
        sums = self.run(partial(_score, _Model(self._type, mixture), self.n_threads), np.add)
        assert sums is not None
        return float(sums[0] / sums[1])

    def worst_rows(self, mixture: core.Mixture, count: int) -> NDArray[np.float64]:
        """Return the rows with a weight that the mixture explains worst, the worst first."""
        draw = partial(_worst_rows, _Model(self._type, mixture), self.n_threads, count)
        worst = self.run(draw, partial(merge_samples, count))
        if worst is None:
            return np.empty((0, self.found.n_features))
        return np.asarray(worst.rows[np.argsort(-worst.keys, kind="stable")], dtype=np.float64)

    def partition(self, centres: NDArray[np.float64]) -> core.Statistics:
        """Return the statistics of the rows by their nearest centre; one without rows shares those of its neighbour."""
        sums = self.run(partial(_partition, self._type, centres, self.n_threads), _Sums.merge)
        assert sums is not None
        return core.statistics[self._type](*_share(Moments.of(sums.statistics), centres, self._type))


def check_squares(squared: NDArray[np.float64]) -> None:
    """Check that squares have not overflown."""
    if not np.isfinite(squared).all():
        raise ValueError("The squares of the data overflow; scale the input data.")


def nearest(centres: NDArray[np.float64], X: Rows, n_threads: int | None) -> NDArray[np.int64]:
    """Return the nearest centre of each row: the label in a mixture of equal spheres.

    Their size is that at which most centres are apart, so that no digit of a distance is lost beside the constants.
    """
    k = len(centres)
    with np.errstate(over="ignore"):
        squared = ((centres - np.median(centres, axis=0)) ** 2).sum(axis=1)
    check_squares(squared)
    size = np.median(squared) or squared.mean() or 1.0
    mixture = core.mixtures["spherical"](np.full(k, 1 / k), centres, np.full(k, size), np.full(k, size**-0.5))
    return mixture.labels(core.Data([X], None), False, threads(n_threads))


def _accumulate(
    model: _Model,
    n_threads: int | None,
    about: NDArray[np.float64] | None,
    index: int,
    X: Rows,
    sample_weight: Weights | None,
) -> _Sums:
    rows = core.Data([X], sample_weight)
    return _Sums(model.covariance_type, model.mixture.accumulate(rows, threads(n_threads), about))


def _score(
    model: _Model, n_threads: int | None, index: int, X: Rows, sample_weight: Weights | None
) -> NDArray[np.float64]:
    """Return the log-likelihood of a block, and its weight."""
    total = float(len(X)) if sample_weight is None else math.fsum(sample_weight)
    score = model.mixture.score(core.Data([X], sample_weight), threads(n_threads))
    return np.array([total * score, total])


def _worst_rows(
    model: _Model, n_threads: int | None, count: int, index: int, X: Rows, sample_weight: Weights | None
) -> Sample:
    log_prob = model.mixture.log_densities(core.Data([X], None), False, threads(n_threads))
    places = np.arange(len(X)) if sample_weight is None else np.flatnonzero(sample_weight)
    weights = np.ones(len(places)) if sample_weight is None else sample_weight[places]
    worst = Sample(places[:, None], weights, -log_prob[places]).largest(count)
    return Sample(X[worst.rows[:, 0]], worst.weights, worst.keys)


def _partition(
    covariance_type: str,
    centres: NDArray[np.float64],
    n_threads: int | None,
    index: int,
    X: Rows,
    sample_weight: Weights | None,
) -> _Sums:
    labels = nearest(centres, X, n_threads)
    weighted = labels if sample_weight is None else labels[sample_weight > 0]
    # Centres without rows in this block are left out, as they would take a share of others' rows.
    present = np.unique(weighted)
    places = np.zeros(len(centres), dtype=np.int32)
    places[present] = np.arange(len(present))
    data = core.Data([X], sample_weight)
    found = Moments.of(
        core.statistics[covariance_type].of_labels(data, centres[present], places[labels], threads(n_threads))
    )
    counts, means = np.zeros(len(centres)), centres.copy()
    counts[present], means[present] = found.counts, found.means
    matrices = found.covariances
    if covariance_type != "tied":
        matrices = np.zeros((len(centres), found.covariances.shape[1]))
        matrices[present] = found.covariances
    return _sums_of(covariance_type, Moments(counts, means, matrices, 0.0, found.total_weight))


def _share(moments: Moments, centres: NDArray[np.float64], covariance_type: str) -> Moments:
    """Give components without rows a part of those of the component with the nearest centre."""
    counts, means, matrices = (np.array(array) for array in moments[:3])
    owners = np.arange(len(counts))
    full = np.flatnonzero(counts)
    for c in np.flatnonzero(counts == 0):
        owners[c] = full[np.argmin(((centres[full] - centres[c]) ** 2).sum(axis=1))]
    counts = (counts / np.bincount(owners, minlength=len(counts)).clip(1))[owners]
    return Moments(counts, means[owners], matrices if covariance_type == "tied" else matrices[owners], *moments[3:])
