"""Fits to rows that are larger than memory: files, and whatever can be read block by block again and again.

It is the EM of :class:`gaussmix.GaussianMixture`; the statistics of each iteration are added up block by block.
"""

from __future__ import annotations

import os
from numbers import Integral
from typing import Any

from gaussmix._block_fit import Plan, fit_blocks
from gaussmix._mixture import GaussianMixture
from gaussmix._progress import Meter
from gaussmix._seeding import Seeding
from gaussmix._sources import open_source

__all__ = ["fit"]


def fit(
    source: Any,
    n_components: int = 1,
    *,
    sample_weight: Any = None,
    seeding: Seeding = "reservoir",
    sample_size: int | None = None,
    block_rows: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 10,
    resume: bool = True,
    progress: bool = False,
    **params: Any,
) -> GaussianMixture:
    r"""Fit a Gaussian mixture to rows that need not fit into memory.

    The rows are read once an iteration, the next block while this one is computed on: what is in memory is these two,
    and what the source itself keeps of a third. From the same start the numbers are those of
    :meth:`gaussmix.GaussianMixture.fit` to rounding, whatever the blocks are; with the same blocks and instruction set
    they are the same to the last bit, at any number of threads. All is computed in float64, also where rows are
    float32.

    Parameters
    ----------
    source : callable, list, path or array-like
        One of these, all with float or integer columns:

        - a callable that returns an iterator over blocks, each time the same: arrays of shape (n_samples, n_features),
          or pairs of rows and weights. It is called, and iterated, in a thread of its own;
        - a list of blocks, or any other iterable that can be gone through again; blocks may be pandas or polars frames;
        - a .npy or Parquet file, a list of them, or a folder or pattern (``"rows/*.npy"``), which stands for its files
          in the order of their names (Parquet needs pyarrow; all columns but those of the weights and of the index of
          pandas are features, and should be numeric);
        - a 2-D array of which slices can be read: :class:`numpy.memmap`, HDF5 (h5py), Zarr; or a frame;
        - a dask array or dataframe, which is computed partition by partition: in this process, or if any of it was
          persisted on a cluster, there.
    n_components : int, default=1
        Number of components K.
    sample_weight : default=None
        Weights of the rows, in the form in which the rows are: a callable or an iterable of blocks of weights, a list
        of .npy files, the name of a column of the Parquet files, or an array; for rows of Dask a dask array or series,
        or an array. For all of these also one number.
    seeding : {"reservoir", "k-means||"}, default="reservoir"
        How a start is made, where no `means_init` is given. "reservoir": the mixture fitted to a random sample of the
        rows in memory, in at most 100 iterations; EM on all rows then needs few passes. "k-means||": the rows nearest
        to each of K centres, that are chosen in 7 passes over all rows [1]_; for clusters so small that a sample may
        miss them.
    sample_size : int, default=None
        Rows of that sample; None: 200 K, at least 20,000.
    block_rows : int, default=None
        Rows of a block, where they are read from files or an array; None: 32 MiB, in whole chunks of the file.
    checkpoint : path, default=None
        Where the course of the fit is kept, in a model file as :func:`gaussmix.load` reads it.
    checkpoint_every : int, default=10
        Iterations between two writes. It is also written on Ctrl-C and other errors.
    resume : bool, default=True
        Go on from `checkpoint`, if it is there: after one pass that makes sure that all rows are the same, the fit ends
        with the bits that it would have had, on the same instruction set. A fit that has ended is returned as it is;
        but if it ended for want of iterations, and there is one start (`n_init` 1, or `means_init`), it goes on with a
        larger `max_iter`, and has the bits of a fit that had it from the beginning. False begins anew.
    progress : bool, default=False
        Draw a line on stderr: rows done, rows a second, time left.
    **params
        The other parameters of :class:`gaussmix.GaussianMixture`. `init_params` says how the fit to the sample is
        started; `max_iter` counts iterations over all rows.

    Returns
    -------
    estimator : GaussianMixture
        Fitted. `n_iter_` and `lower_bounds_` are those of the passes over all rows.

    Raises
    ------
    ValueError
        As :meth:`gaussmix.GaussianMixture.fit`. If a block is not valid or cannot be read, or is not as long as in the
        first pass; the message names the block, from 0. If the checkpoint is of another fit (the message says what
        differs), or damaged (:class:`gaussmix.ModelFileError`). If `warm_start` is set: there is no earlier fit.
    TypeError
        If `source` is nothing of the above, or sparse, or an iterator, which can be gone through only once.
    ImportError
        If the package that reads the source is missing.
    OSError
        If there is no file of the rows, or there can be none at `checkpoint`; that is known before the first pass.
    KeyboardInterrupt
        On Ctrl-C. The iterations that have been done are in `checkpoint`, to go on from.

    Warns
    -----
    ConvergenceWarning, UserWarning
        As :meth:`gaussmix.GaussianMixture.fit`; also if `checkpoint` cannot be written any more, as on a full disk, or
        was begun by another version or with another instruction set.

    References
    ----------
    .. [1] Bahmani, Moseley, Vattani, Kumar, Vassilvitskii (2012), "Scalable k-means++".

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import chunked
    >>> def blocks():
    ...     rng = np.random.default_rng(0)
    ...     for _ in range(10):
    ...         yield rng.normal(rng.choice([-4, 4], size=(1000, 1)))
    >>> gm = chunked.fit(blocks, 2, random_state=0)
    >>> np.sort(gm.means_.ravel()).round(1)
    array([-4.,  4.])
    """
    if seeding not in ("reservoir", "k-means||"):
        raise ValueError(f"seeding should be 'reservoir' or 'k-means||', but got {seeding!r}.")
    for name, value in (("sample_size", sample_size), ("block_rows", block_rows)):
        if value is not None:
            _check_positive(name, value)
    _check_positive("checkpoint_every", checkpoint_every)
    if not isinstance(checkpoint, str | os.PathLike | None):
        raise TypeError(f"checkpoint should be a path, but got {checkpoint!r}.")
    estimator = GaussianMixture(n_components, **params)
    estimator._validate_params()
    if estimator.warm_start:
        raise ValueError(
            "warm_start has no earlier fit to go on from here; pass weights_init, means_init and precisions_init of a "
            "model, or a checkpoint."
        )
    blocks = open_source(source, sample_weight, block_rows)
    meter = Meter(estimator.max_iter) if progress else None
    blocks.meter = meter
    try:
        plan = Plan(seeding, sample_size, checkpoint, checkpoint_every, resume, meter)
        estimator._warn(fit_blocks(estimator, blocks, plan))
    finally:
        if meter is not None:
            meter.close()
    return estimator


def _check_positive(name: str, value: Any) -> None:
    if not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} should be an integer of at least 1, but got {value!r}.")
