"""Rows that are read block by block on one machine, the next block while this one is computed on."""

from __future__ import annotations

import errno
import glob
import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count, repeat, zip_longest
from numbers import Real
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from gaussmix._passes import tree_reduce
from gaussmix._progress import Meter

__all__ = ["BlockSource", "ReadAhead", "open_source"]

T = TypeVar("T")
Block = tuple[Any, Any]  # rows, and their weights or None

# Bytes of a block, where it is for us to choose: large beside what a pass over it costs once, small beside memory.
BLOCK_BYTES = 2**25
_END: Any = object()
_ENDINGS = (".npy", ".parquet", ".pq")


class ReadAhead(Generic[T]):
    """Blocks, each read in a thread while the one before it is used: at most two are there at a time.

    A context in which they are iterated. At its end the iterator is closed where it was iterated. A read that is under
    way is waited for, but not after a KeyboardInterrupt: it ends by itself.

    Parameters
    ----------
    blocks : iterable
        It is iterated in one thread, which is not the calling one.

    Raises
    ------
    ValueError
        If reading a block raises an exception; it names the block.
    """

    def __init__(self, blocks: Iterable[T]) -> None:
        self._blocks = blocks
        self._iterator: Iterator[T] | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="gaussmix-reader")

    def __enter__(self) -> Self:
        return self

    def __iter__(self) -> Iterator[T]:
        following = self._reader.submit(self._read)
        for index in count():
            try:
                block = following.result()
            except MemoryError:
                raise
            except Exception as error:
                raise ValueError(f"Block {index} cannot be read: {type(error).__name__}: {error}") from error
            if block is _END:
                return
            following = self._reader.submit(self._read)
            yield block

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._reader.submit(self._close)
        self._reader.shutdown(wait=kind is None or not issubclass(kind, KeyboardInterrupt))

    def _read(self) -> Any:
        if self._iterator is None:
            self._iterator = iter(self._blocks)
        return next(self._iterator, _END)

    def _close(self) -> None:
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()


class BlockSource:
    """Blocks of rows that can be iterated again and again.

    Parameters
    ----------
    blocks : callable
        Returns an iterator over pairs of rows and weights; weights may be None.
    feature_names : sequence of str, default=None
        Names of the columns.
    meter : Meter, default=None
        Is told how many rows have been computed on.
    """

    def __init__(
        self,
        blocks: Callable[[], Iterator[Block]],
        feature_names: Sequence[str] | None = None,
        meter: Meter | None = None,
    ) -> None:
        self.feature_names = feature_names
        self.meter = meter
        self._blocks = blocks

    def reduce(self, per_block: Callable[[int, Any, Any], T], merge: Callable[[T, T], T]) -> T:
        """Call `per_block` on all blocks in their order, and merge what it returns by a tree of fixed shape."""
        with ReadAhead(self._blocks()) as blocks:
            return tree_reduce(self._parts(blocks, per_block), merge)

    def _parts(self, blocks: Iterable[Block], per_block: Callable[[int, Any, Any], T]) -> Iterator[T]:
        if self.meter is not None:
            self.meter.begin_pass()
        for index, (X, sample_weight) in enumerate(blocks):
            yield per_block(index, X, sample_weight)
            if self.meter is not None:
                self.meter.step(len(X))
        if self.meter is not None:
            self.meter.end_pass()


def open_source(source: Any, sample_weight: Any, block_rows: int | None) -> BlockSource:
    """Return the blocks of whatever :func:`gaussmix.chunked.fit` takes.

    Raises
    ------
    TypeError
        If it is nothing of that.
    ValueError
        If it is not 2-D, or the weights are not given in the form that fits the rows.
    FileNotFoundError
        If there is no such file.
    ImportError
        If the package that reads it is missing.
    """
    if callable(source):
        return BlockSource(partial(_called, source, sample_weight))
    paths = _paths(source)
    if paths and all(path.endswith(".npy") for path in paths):
        return BlockSource(partial(_npy, paths, _weight_paths(sample_weight, len(paths)), block_rows))
    if paths and all(path.endswith((".parquet", ".pq")) for path in paths):
        return _parquet(paths, sample_weight, block_rows)
    if paths:
        raise TypeError(
            "Only files that end in .npy, .parquet or .pq are opened here; open others (Zarr, HDF5) and pass the array."
        )
    if type(source).__module__.partition(".")[0] in ("dask", "dask_expr"):
        return _dask(source, sample_weight)
    if hasattr(source, "tocsr"):
        raise TypeError("Sparse data was passed for X, but dense data is required; pass blocks of it as dense arrays.")
    shape = getattr(source, "shape", None)
    if shape is not None and len(shape) != 2:
        raise ValueError(f"Expected 2D array, got {len(shape)}D array instead: the source has the shape {shape}.")
    if shape is not None and _is_frame(source):
        return BlockSource(partial(_frame, source, sample_weight, block_rows))
    if shape is not None and hasattr(source, "__getitem__"):
        return BlockSource(partial(_slices, source, sample_weight, _rows_of_blocks(source, block_rows)))
    if hasattr(source, "keys"):
        raise TypeError(f"A {type(source).__name__} holds arrays by name: pass one of them, source[name].")
    if isinstance(source, Iterator):
        raise TypeError("An iterator can be gone through only once; pass a callable that returns a new one each time.")
    if isinstance(source, Iterable):
        return BlockSource(partial(_called, source.__iter__, sample_weight))
    raise TypeError(
        "source should be a callable that returns an iterator over blocks, a list of blocks, files (.npy, .parquet) or "
        f"a 2-D array that can be sliced (NumPy, Zarr, HDF5, dask), but got {type(source).__name__}."
    )


def _paths(source: Any) -> list[str]:
    """Return the names of files, if that is what the source is; folders and patterns stand for the files in them.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    if isinstance(source, str | os.PathLike):
        return _files(os.fspath(source))
    if isinstance(source, list | tuple) and source and all(isinstance(path, str | os.PathLike) for path in source):
        return [file for path in source for file in _files(os.fspath(path))]
    return []


def _files(path: str) -> list[str]:
    """Return the files that a path stands for, sorted by name."""
    if os.path.isdir(path):
        found = sorted(os.path.join(path, name) for name in os.listdir(path) if name.endswith(_ENDINGS))
        return found or [path]
    if os.path.exists(path):
        return [path]
    found = sorted(glob.glob(path, recursive=True))
    if not found:
        raise FileNotFoundError(errno.ENOENT, "there is no such file", path)
    return found


def _require(module: str, extra: str = "chunked") -> Any:
    """Return an optional module."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"Reading this needs {package}: pip install {package}, or pip install 'gaussmix[{extra}]'."
        ) from error


def _called(blocks: Callable[[], Iterable[Any]], sample_weight: Any) -> Iterator[Block]:
    """Yield the blocks of an iterator: rows, or pairs of rows and weights, or with weights from another one."""
    if sample_weight is not None:
        if isinstance(sample_weight, Real):
            yield from zip(blocks(), repeat(sample_weight))
            return
        weights = sample_weight() if callable(sample_weight) else sample_weight
        for X, w in zip_longest(blocks(), weights, fillvalue=_END):
            if X is _END or w is _END:
                raise ValueError(f"sample_weight has {'fewer' if w is _END else 'more'} blocks than the rows.")
            yield X, w
        return
    for block in blocks():
        X, w = block if isinstance(block, tuple) and len(block) == 2 else (block, None)
        yield X, w


def _rows_of_blocks(array: Any, block_rows: int | None) -> int:
    """Return the rows of a block: whole chunks of the file, where it has some."""
    if block_rows is None:
        block_rows = max(1, BLOCK_BYTES // max(1, array.shape[1] * array.dtype.itemsize))
        chunks = getattr(array, "chunks", None)
        if chunks and isinstance(chunks[0], int):
            block_rows = max(1, block_rows // chunks[0]) * chunks[0]
    return block_rows


def _slices(array: Any, sample_weight: Any, block_rows: int) -> Iterator[Block]:
    """Yield copies of parts of an array, of which only these are read."""
    n = array.shape[0]
    one = sample_weight is None or isinstance(sample_weight, Real)
    if not one and len(sample_weight) != n:
        raise ValueError(f"sample_weight has {len(sample_weight)} entries, and there are {n} rows.")
    for first in range(0, n, block_rows):
        part = slice(first, min(first + block_rows, n))
        yield np.array(array[part]), sample_weight if one else np.array(sample_weight[part])


def _is_frame(source: Any) -> bool:
    """Tell whether rows are a frame of pandas or polars."""
    return hasattr(source, "iloc") or type(source).__module__.partition(".")[0] == "polars"


def _frame(frame: Any, sample_weight: Any, block_rows: int | None) -> Iterator[Block]:
    """Yield parts of a frame, which are frames."""
    n, d = frame.shape
    one = sample_weight is None or isinstance(sample_weight, Real)
    weights = sample_weight if one else np.asarray(sample_weight)
    if not one and weights.shape != (n,):
        raise ValueError(f"sample_weight has the shape {weights.shape}, and there are {n} rows.")
    step = block_rows or max(1, BLOCK_BYTES // (8 * max(1, d)))
    for first in range(0, n, step):
        part = slice(first, first + step)
        rows = frame.iloc[part] if hasattr(frame, "iloc") else frame[part]
        yield rows, weights if one else weights[part]


def _weight_paths(sample_weight: Any, count: int) -> list[Any]:
    """Return the file of weights for each file of rows, or the one number for all, or None."""
    if sample_weight is None or isinstance(sample_weight, Real):
        return [sample_weight] * count
    paths = _paths(sample_weight)
    if len(paths) != count:
        raise ValueError("sample_weight should be a .npy file for each file of rows, or a number.")
    return paths


def _npy(paths: list[str], weights: list[Any], block_rows: int | None) -> Iterator[Block]:
    for path, of_file in zip(paths, weights, strict=True):
        array = np.load(path, mmap_mode="r")
        if array.ndim != 2:
            raise ValueError(f"{path!r} should hold a 2-D array, but its shape is {array.shape}.")
        of_rows = np.load(of_file, mmap_mode="r") if isinstance(of_file, str) else of_file
        yield from _slices(array, of_rows, _rows_of_blocks(array, block_rows))


def _parquet(paths: list[str], sample_weight: Any, block_rows: int | None) -> BlockSource:
    parquet = _require("pyarrow.parquet")
    if not (sample_weight is None or isinstance(sample_weight, str | Real)):
        raise ValueError("sample_weight should be the name of a column of the Parquet files, or a number.")
    schemas = [parquet.read_schema(path) for path in paths]
    column = sample_weight if isinstance(sample_weight, str) else None
    if column is not None and column not in schemas[0].names:
        raise ValueError(f"sample_weight: there is no column {sample_weight!r} in {paths[0]!r}.")
    index = _index_columns(schemas[0])
    names = [name for name in schemas[0].names if name != column and name not in index]
    for path, schema in zip(paths, schemas, strict=True):
        if schema.names != schemas[0].names:
            raise ValueError(f"the columns of {path!r} are not those of {paths[0]!r}.")
        others = [name for name in names if not _is_number(schema.field(name).type)]
        if others:
            raise ValueError(f"the rows should have numeric columns, but these of {path!r} are not: {others}.")
    single = all(str(schema.field(name).type) == "float" for schema in schemas for name in names)
    dtype = np.dtype(np.float32 if single else np.float64)
    rows = block_rows or max(1, BLOCK_BYTES // (max(1, len(names)) * dtype.itemsize))

    def blocks() -> Iterator[Block]:
        for path in paths:
            with parquet.ParquetFile(path) as file:
                if file.schema_arrow.names != schemas[0].names:
                    raise ValueError(f"the columns of {path!r} are not those of {paths[0]!r}.")
                for batch in file.iter_batches(batch_size=rows):
                    X: NDArray[Any] = np.empty((batch.num_rows, len(names)), dtype=dtype)
                    for j, name in enumerate(names):
                        X[:, j] = batch.column(name).to_numpy(zero_copy_only=False)
                    yield X, sample_weight if column is None else batch.column(column).to_numpy(zero_copy_only=False)

    return BlockSource(blocks, names)


def _index_columns(schema: Any) -> set[str]:
    """Return the columns in which pandas and Dask keep the index of a frame, which is no feature."""
    kept = (schema.pandas_metadata or {}).get("index_columns", [])
    return {name for name in kept if isinstance(name, str)} | {"__null_dask_index__"}


def _is_number(arrow_type: Any) -> bool:
    """Tell whether a type of Arrow is of real numbers, truth values among them."""
    types = importlib.import_module("pyarrow.types")
    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal)
    return any(test(arrow_type) for test in tests)


def _dask(collection: Any, sample_weight: Any) -> BlockSource:
    """Return the partitions of a dask collection, computed in this process: a large one, or several small ones.

    What was persisted on a cluster comes from there.
    """
    dask = _require("dask", extra="dask")
    _require("dask.array", extra="dask")
    collections = importlib.import_module("gaussmix._collections")  # needs Dask, which not everybody has
    rows = collections.as_array(collection)
    parts = rows.to_delayed().ravel()
    weights = collections.weight_blocks(sample_weight, rows)
    # Each call of compute costs as much as a small partition; of unknown lengths each may be a large one. Rows of
    # integers are computed on as float64.
    row_bytes = rows.shape[1] * max(8, rows.dtype.itemsize)
    largest = np.nan_to_num(np.max(rows.chunks[0]), nan=np.inf)
    at_once = int(max(1, BLOCK_BYTES // max(1, largest * row_bytes)))
    futures = collections.futures([collection, sample_weight])
    scheduler = futures[0].client.get if futures else "threads"

    def blocks() -> Iterator[Block]:
        for first in range(0, len(parts), at_once):
            chosen = slice(first, first + at_once)
            computed = dask.compute(list(parts[chosen]), list(weights[chosen]), scheduler=scheduler)
            yield from zip(*computed, strict=True)

    return BlockSource(blocks, collections.feature_names(collection))
