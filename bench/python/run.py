"""Time gaussmix beside other libraries: same rows, same start, same number of iterations, in turn, medians.

Every figure of another library is a ratio of two times of one round, and the likelihoods are compared. Run it from the
root of the repository as ``python -m bench.python.run --short``; bench/README.md says what it measures.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from bench.python import tables
from bench.python.calls import calls, compare_call
from bench.python.clusters import compare_cluster
from bench.python.iterations import compare
from bench.python.machine import describe, dgemm
from bench.python.memory import compare_memory
from bench.python.plots import save_plots
from bench.python.results import Results
from bench.python.scaling import COVARIANCE_TYPES, compare_precision, grow, scale_threads
from bench.python.seeds import compare_seeds
from bench.python.sizes import FULL, SHORT, TINY, Sizes
from bench.python.streams import compare_stream

PARTS = ("iterations", "calls", "seeds", "memory", "threads", "growth", "precision", "streams", "clusters")


def measure(results: Results, sizes: Sizes, parts: list[str], repeats: int) -> Iterator[str]:
    """Run the parts one after the other, put what they find into results, and say what has been done."""
    for problem in sizes.iterations if "iterations" in parts else []:
        results.iterations.append(compare(problem, repeats, sizes.target))
        yield problem.name
    for call in calls(sizes.calls) if "calls" in parts and sizes.calls else []:
        results.calls.append(compare_call(call, repeats))
        yield call.name
    for problem in sizes.seeded if "seeds" in parts else []:
        results.seeds.append(compare_seeds(problem, sizes.seeds))
        yield f"{sizes.seeds} seeds, {problem.name}"
    for problem, names in sizes.memory if "memory" in parts else []:
        results.memory.append(compare_memory(problem, names))
        yield f"memory, {problem.name}"
    for problem in sizes.threads if "threads" in parts else []:
        results.threads.append(scale_threads(problem, repeats, sizes.target))
        yield f"threads, {problem.name}"
    for kind in COVARIANCE_TYPES if "growth" in parts else []:
        for variable, values in sizes.growth.items():
            results.growth.append(grow(kind, variable, sizes.base, values, repeats, sizes.target))
        yield f"growth, {kind}"
    for problem in sizes.precision if "precision" in parts else []:
        results.precision.append(compare_precision(problem, repeats, sizes.target))
        yield f"precision, {problem.name}"
    for stream in sizes.streams if "streams" in parts else []:
        results.streams.append(compare_stream(stream))
        yield f"streams, {stream.name}"
    for problem in sizes.clusters if "clusters" in parts else []:
        for workers in sizes.workers:
            results.clusters.append(compare_cluster(problem, workers, sizes.blocks, repeats))
            yield f"cluster of {workers}, {problem.name}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="small problems only, under two minutes")
    parser.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure; all")
    parser.add_argument("--repeats", type=int, help="rounds; 3, in the short mode 1")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all figures")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw them")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")

    sizes = TINY if arguments.tiny else SHORT if arguments.short else FULL
    repeats = arguments.repeats or (1 if arguments.short or arguments.tiny else 3)
    start = time.perf_counter()
    results = Results(describe(), dgemm(sizes.gemm))
    for done in measure(results, sizes, arguments.parts, repeats):
        results.minutes = (time.perf_counter() - start) / 60
        print(f"{results.minutes:5.1f} min  {done}", flush=True)
        if arguments.json:  # what there is so far: a library may end the process
            arguments.json.write_text(json.dumps(results.as_dict(), indent=1))
    results.dgemm_after = dgemm(sizes.gemm)

    text = tables.markdown(results)
    print(f"\n{text}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results.as_dict(), indent=1))
    if arguments.markdown:
        arguments.markdown.write_text(text)
    for path in save_plots(results, arguments.plots) if arguments.plots else []:
        print(path)


if __name__ == "__main__":
    main()
