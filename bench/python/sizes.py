"""What is run: everything, a selection of under two minutes, and one that only shows that nothing crashes."""

from __future__ import annotations

from typing import NamedTuple

from bench.python.machine import cores
from bench.python.problems import Problem
from bench.python.streams import StreamProblem

TYPES = ("full", "tied", "diag", "spherical")
WORKERS = tuple(sorted({1, cores()}))


class Sizes(NamedTuple):
    """What a mode runs.

    Attributes
    ----------
    iterations, threads, precision : list of Problem
        Problems of these parts.
    seeded : list of Problem
        What is fitted with the defaults.
    seeds : int
        From so many seeds.
    memory : list of (Problem, tuple of str)
        Problems, and the libraries measured; none means all.
    base : Problem
        What the growth departs from.
    growth : dict of str to tuple of int
        The values of n, d and k.
    clusters : list of Problem
        Problems of the cluster.
    workers : tuple of int
        How many worker processes it has.
    blocks : tuple of int
        Into how many blocks their rows are cut.
    calls : float
        Share of the rows of the calls; 0 leaves them out.
    gemm : int
        Rows of the matrices that NumPy multiplies.
    streams : list of StreamProblem
        Rows in batches.
    target : float
        Seconds that the timed iterations of a fit take about; few enough drown in what a fit costs once.
    """

    iterations: list[Problem]
    threads: list[Problem]
    precision: list[Problem]
    seeded: list[Problem]
    seeds: int
    memory: list[tuple[Problem, tuple[str, ...]]]
    base: Problem
    growth: dict[str, tuple[int, ...]]
    clusters: list[Problem]
    workers: tuple[int, ...]
    blocks: tuple[int, ...]
    calls: float
    gemm: int
    streams: list[StreamProblem]
    target: float


FULL = Sizes(
    iterations=[
        *(Problem(1_000_000, 2, 8, kind) for kind in TYPES),
        *(Problem(200_000, 10, 16, kind) for kind in TYPES),
        Problem(100_000, 32, 32),
        Problem(100_000, 32, 32, data="apart"),
        Problem(100_000, 32, 32, "diag"),
        Problem(50_000, 64, 64),
        Problem(50_000, 64, 64, data="apart"),
        Problem(20_000, 128, 32),
        Problem(20_000, 128, 32, data="apart"),
        Problem(10_000, 41, 110),
        Problem(10_000, 41, 110, data="apart"),
        Problem(1_000_000, 16, 64, "diag"),
        Problem(569, 30, 2, data="breast cancer"),
        Problem(1_797, 41, 10, data="digits"),
        Problem(1_797, 41, 110, "diag", data="digits"),
        Problem(273_280, 3, 16, data="pixels"),
        Problem(50_000, 64, 32, data="patches"),
    ],
    # n K d of 1e5, 1e6, 1e7 and 1e8
    threads=[
        Problem(3_125, 4, 8),
        Problem(31_250, 4, 8),
        Problem(39_062, 16, 16),
        Problem(97_656, 32, 32),
        Problem(3_125, 4, 8, "diag"),
        Problem(31_250, 4, 8, "diag"),
        Problem(39_062, 16, 16, "diag"),
        Problem(97_656, 32, 32, "diag"),
        Problem(97_656, 32, 32, data="apart"),
    ],
    precision=[
        Problem(1_000_000, 2, 8),
        Problem(200_000, 10, 16),
        Problem(50_000, 64, 32),
        Problem(50_000, 64, 32, data="apart"),
        Problem(200_000, 32, 32, "diag"),
    ],
    seeded=[
        *(Problem(10_000, 10, 5, kind) for kind in TYPES),
        *(Problem(100_000, 4, 8, kind) for kind in TYPES),
        Problem(50_000, 16, 16, data="apart"),
        Problem(569, 30, 4, data="breast cancer"),
        Problem(569, 30, 4, "diag", data="breast cancer"),
        Problem(1_797, 41, 10, data="digits"),
        Problem(1_797, 41, 10, "diag", data="digits"),
        Problem(1_797, 41, 110, data="digits"),
        Problem(100_000, 3, 8, data="pixels"),
        Problem(10_000, 64, 8, data="patches"),
    ],
    seeds=8,
    memory=[
        (Problem(200_000, 16, 32), ()),
        (Problem(1_000_000, 16, 64), ("gaussmix", "scikit-learn", "oneDAL")),
    ],
    base=Problem(20_000, 16, 16),
    growth={
        "n": (5_000, 10_000, 20_000, 40_000, 80_000),
        "d": (8, 16, 32, 64, 128),
        "k": (4, 8, 16, 32, 64),
    },
    clusters=[Problem(200_000, 16, 16), Problem(50_000, 64, 32)],
    workers=WORKERS,
    blocks=(2, 16, 128, 512),
    calls=1.0,
    gemm=2048,
    streams=[
        StreamProblem(1_000_000, 2, 5, data=2.0),
        StreamProblem(1_000_000, 8, 8, data=1.0),
        StreamProblem(1_000_000, 10, 16, data=0.5),
        StreamProblem(1_000_000, 16, 16, "diag", data=1.0),
        StreamProblem(1_000_000, 4, 3, "tied", data=1.0),
        StreamProblem(1_000_000, 9, 16, data="small patches"),
    ],
    target=0.3,
)

SHORT = Sizes(
    iterations=[
        *(Problem(20_000, 3, 8, kind) for kind in TYPES),
        Problem(5_000, 32, 16),
        Problem(5_000, 32, 16, data="apart"),
        Problem(1_797, 41, 10, data="digits"),
    ],
    threads=[Problem(3_125, 4, 8), Problem(31_250, 4, 8), Problem(39_062, 16, 16)],
    precision=[Problem(20_000, 16, 16)],
    seeded=[Problem(5_000, 8, 4)],
    seeds=2,
    memory=[(Problem(100_000, 8, 16), ("gaussmix", "scikit-learn"))],
    base=Problem(5_000, 8, 8),
    growth={"n": (2_500, 5_000, 10_000), "d": (8, 16, 32), "k": (8, 16, 32)},
    clusters=[],
    workers=WORKERS,
    blocks=(),
    calls=0.1,
    gemm=1024,
    streams=[StreamProblem(100_000, 8, 8, data=1.0)],
    target=0.1,
)

TINY = Sizes(
    iterations=[*(Problem(300, 2, 2, kind) for kind in TYPES), Problem(300, 41, 2, "diag", data="digits")],
    threads=[Problem(300, 2, 2)],
    precision=[Problem(300, 2, 2)],
    seeded=[Problem(300, 2, 2)],
    seeds=2,
    memory=[(Problem(300, 2, 2), ("gaussmix",))],
    base=Problem(300, 2, 2),
    growth={"n": (300, 600), "d": (2, 4), "k": (2, 4)},
    clusters=[Problem(300, 2, 2)],
    workers=(1,),
    blocks=(3,),
    calls=0.005,
    gemm=64,
    streams=[StreamProblem(2_000, 2, 2, data=2.0)],
    target=0.002,
)
