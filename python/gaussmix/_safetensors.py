"""The container of model files, safetensors: reading within bounds, and writing whole or not at all.

What the arrays mean is for `io` to know.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import re
import secrets
import stat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

MAX_HEADER = 2**24
MAX_ENTRIES = 1024
MAX_RANK = 8
# Of a header with as many entries as there may be, each tensor with 23 at most.
MAX_TOKENS = 32 * MAX_ENTRIES
# Strings, and the marks without which there is no second value. One that nothing ends goes on to the end.
TOKEN = re.compile(rb'"(?:[^"\\]++|\\.?)*+"?|[{\[,:]', re.DOTALL)
DTYPES: dict[str, np.dtype[Any]] = {"F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "I64": np.dtype("<i8")}


class ModelFileError(ValueError):
    """A file does not hold a model that can be read.

    It is not of this format, of a newer version, damaged, or its numbers are not those of a mixture.
    """


class Contents(NamedTuple):
    """What a file holds: strings, and arrays by name."""

    metadata: dict[str, str]
    tensors: dict[str, NDArray[Any]]


def serialize(tensors: dict[str, NDArray[Any]], metadata: dict[str, str]) -> bytes:
    """Return a file, with the strings of its header in order: safetensors writes them in another each time."""
    file = save(tensors, metadata)
    length = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER:
        raise ValueError(
            "The header would be longer than 16 MiB, which is more than a model file may have: the names of the "
            "features are too long, or a checkpoint has too many restarts."
        )
    return len(text).to_bytes(8, "little") + text + file[8 + length :]


def replace_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file whole or not at all: a new one beside it, flushed to the disk, takes its place."""
    target = os.path.realpath(os.fspath(path))  # a symbolic link goes on pointing to the file
    try:
        old = os.stat(target)
    except FileNotFoundError:
        old = None
    if old is not None and not stat.S_ISREG(old.st_mode):
        code = errno.EISDIR if stat.S_ISDIR(old.st_mode) else errno.EINVAL
        raise OSError(code, os.strerror(code), os.fspath(path))
    folder = os.path.dirname(target)
    fresh = os.path.join(folder, f".gaussmix-{secrets.token_hex(8)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    # Nobody else's until it has the group that it should.
    descriptor = os.open(fresh, flags, 0o666 if old is None else 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if old is not None and os.name == "posix":
                _copy_permissions(old, file.fileno())
            os.fsync(file.fileno())
        os.replace(fresh, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise
    if os.name == "posix":
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _copy_permissions(old: os.stat_result, descriptor: int) -> None:
    """Give an open file the permissions and the group of an old one.

    Where it may not have the group, its own gets no more than all others had, of whom it was one.
    """
    mode = old.st_mode & 0o777
    try:
        os.fchown(descriptor, -1, old.st_gid)
    except OSError:
        mode &= 0o707 | (mode & 0o7) << 3
    os.fchmod(descriptor, mode)


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a file whose size is the one that its header states, and no larger."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ModelFileError("it is not a file.")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(8)
        length = int.from_bytes(head, "little")
        if len(head) < 8 or length > size - 8:
            raise ModelFileError("the file is shorter than its header says.")
        if length > MAX_HEADER:
            raise ModelFileError("the header is longer than 16 MiB.")
        text = file.read(length)
        header = _header(text)
        try:
            end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
            if size != 8 + length + end:
                raise ModelFileError("the file is not as long as its header says.")
        except (KeyError, IndexError, TypeError) as error:
            raise ModelFileError("a tensor lacks its dtype, shape or two data_offsets.") from error
        return head + text + file.read(size - 8 - length)


def parse_json(text: str | bytes, more: int = 0) -> Any:
    """Return what a JSON text says, if no key is there twice.

    Objects take many times as much memory as their text: one of more tokens than a header and `more` is not parsed.
    """
    coded = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if next(itertools.islice(TOKEN.finditer(coded), MAX_TOKENS + more, None), None) is not None:
        raise ModelFileError("the header has too many entries.")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a key is there twice")
        return found

    try:
        return json.loads(text if isinstance(text, str) else text.decode(), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"the header is not valid: {error}.") from error


def _header(text: bytes) -> dict[str, Any]:
    """Return a header, a flat object of objects that have the keys of a tensor."""
    header = parse_json(text)
    if not isinstance(header, dict) or not all(isinstance(entry, dict) for entry in header.values()):
        raise ModelFileError("the header is not of the form that safetensors has.")
    metadata = header.get("__metadata__", {})
    if not all(isinstance(value, str) for value in metadata.values()):
        raise ModelFileError("the metadata are not strings.")
    tensors = [entry for name, entry in header.items() if name != "__metadata__"]
    if max(len(tensors), len(metadata)) > MAX_ENTRIES:
        raise ModelFileError("the header has too many entries.")
    for entry in tensors:
        if set(entry) != {"dtype", "shape", "data_offsets"}:
            raise ModelFileError("a tensor has other keys than dtype, shape and data_offsets.")
        if not isinstance(entry["dtype"], str) or entry["dtype"] not in DTYPES:
            raise ModelFileError("a tensor has a dtype other than F64, F32 and I64.")
        if not isinstance(entry["shape"], list) or len(entry["shape"]) > MAX_RANK:
            raise ModelFileError(f"a tensor has a shape that is no list, or has more than {MAX_RANK} dimensions.")
    return header


def parse(content: bytes) -> Contents:
    """Return what the bytes of a file hold, as safetensors reads them."""
    if len(content) < 8:
        raise ModelFileError("the file is too short.")
    length = int.from_bytes(content[:8], "little")
    if length > min(len(content) - 8, MAX_HEADER):
        raise ModelFileError("the file is shorter than its header says, or the header is longer than 16 MiB.")
    header = _header(content[8 : 8 + length])
    try:
        entries: list[tuple[str, Any]] = deserialize(content)  # type: ignore[no-untyped-call]
        tensors = {
            name: np.ndarray(tuple(entry["shape"]), DTYPES[entry["dtype"]], buffer=entry["data"])
            for name, entry in entries
        }
    except (SafetensorError, ValueError) as error:
        raise ModelFileError(f"{error}.") from error
    native = {name: array.astype(array.dtype.newbyteorder("="), copy=False) for name, array in tensors.items()}
    return Contents(header.get("__metadata__", {}), native)
