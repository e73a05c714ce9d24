"""The time of an iteration on a Dask cluster of this machine, beside the same rows in memory and in Spark."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from bench.python.peers.gaussmix import arguments
from bench.python.peers.peer import Fit
from bench.python.problems import Array, Problem
from bench.python.timing import seconds_an_iteration
from gaussmix import GaussianMixture

ITERATIONS = 4  # timed beyond the first


@dataclass(frozen=True)
class Cluster:
    """Median milliseconds of an iteration.

    Attributes
    ----------
    problem : str
        Its name.
    workers : int
        Worker processes of one thread each; local threads of Spark.
    in_memory : float
        Of a fit in memory on as many threads.
    dask : dict of int to float
        Of a fit on the cluster, for each number of blocks.
    spark : float or None
        Of Spark's `pyspark.ml.clustering.GaussianMixture`, which draws its own start.
    reasons : dict of str to str
        Why there are none.
    """

    problem: str
    workers: int
    in_memory: float
    dask: dict[int, float]
    spark: float | None
    reasons: dict[str, str] = field(default_factory=dict)


def compare_cluster(problem: Problem, workers: int, blocks: tuple[int, ...], repeats: int) -> Cluster:
    """Time an iteration in memory, on a cluster of so many workers, and in Spark, one after the other."""
    X = problem.rows()
    given = arguments(problem, problem.start(X))
    reasons = {
        name: "not installed"
        for name, module in (("dask", "distributed"), ("spark", "pyspark"))
        if importlib.util.find_spec(module) is None
    }
    if "spark" not in reasons and shutil.which("java") is None:
        reasons["spark"] = "there is no Java"
    if problem.covariance_type != "full":
        reasons["spark"] = "has full covariances only"

    def median(fit: Fit) -> float:
        return 1e3 * float(np.median([seconds_an_iteration(fit, ITERATIONS) for _ in range(repeats)]))

    in_memory = median(lambda m: GaussianMixture(**given, max_iter=m, n_threads=workers).fit(X))
    dask: dict[int, float] = {}
    if "dask" not in reasons:
        with local_cluster(workers):
            dask = {count: median(_fit_dask(X, given, count)) for count in blocks}
    spark = None
    if "spark" not in reasons:
        with _spark_fit(X, problem.k, workers) as fit:
            spark = median(fit)
    return Cluster(problem.name, workers, in_memory, dask, spark, reasons)


@contextmanager
def local_cluster(workers: int) -> Iterator[None]:
    """Start worker processes of one thread each on this machine."""
    import distributed

    with (
        distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster),
    ):
        yield


def _fit_dask(X: Array, given: dict[str, object], blocks: int) -> Fit:
    """Return the fit of rows that lie on the workers already."""
    import dask.array as da

    from gaussmix.dask import GaussianMixture as OnCluster

    rows = da.from_array(X, chunks=(-(-len(X) // blocks), -1)).persist()
    return lambda iterations: OnCluster(**given, max_iter=iterations).fit(rows)


@contextmanager
def _spark_fit(X: Array, k: int, threads: int) -> Iterator[Fit]:
    """Start Spark on this machine, with the rows in its memory, and give its fit."""
    import pandas
    from pyspark.ml.clustering import GaussianMixture as OfSpark
    from pyspark.ml.feature import VectorAssembler
    from pyspark.sql import SparkSession

    settings = {
        "spark.driver.memory": "4g",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.log.level": "ERROR",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
    }
    builder = SparkSession.builder.master(f"local[{threads}]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    try:
        names = [f"x{j}" for j in range(X.shape[1])]
        columns = session.createDataFrame(pandas.DataFrame(X, columns=names)).repartition(threads)
        rows = VectorAssembler(inputCols=names, outputCol="features").transform(columns).select("features").cache()
        rows.count()
        yield lambda iterations: OfSpark(k=k, tol=0.0, maxIter=iterations, seed=0).fit(rows)
    finally:
        session.stop()
