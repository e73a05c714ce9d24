"""Build the native benchmarks, run them, and write their results as tables: ``python -m bench.cpp.run``."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from pathlib import Path
from typing import Any

LAYOUTS = ["overlapping", "apart", "one narrow"]
PEERS = {"armadillo": "Armadillo", "opencv": "OpenCV", "vlfeat": "VLFeat"}
NAME = re.compile(r"(?P<what>\w+)(?:<(?P<types>[^>]+)>)?/n:(?P<n>\d+)/d:(?P<d>\d+)/K:(?P<k>\d+)/layout:(?P<layout>\d)")


def build(folder: Path) -> Path:
    """Configure and build the program; return its path."""
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DGAUSSMIX_BENCH=ON", "-DCMAKE_CXX_FLAGS=-march=native"]
    subprocess.run(["cmake", "-S", ".", "-B", str(folder), "-G", "Ninja", *options], check=True)
    subprocess.run(["cmake", "--build", str(folder), "--target", "gaussmix_bench"], check=True)
    return folder / "bench" / "cpp" / "gaussmix_bench"


def parse(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the results with what their names say: what was timed, types, sizes and layout."""
    rows = []
    for result in results:
        match = NAME.match(result["name"])
        if match is None or result.get("error_occurred") or result.get("run_type") == "aggregate":
            continue
        types = [part.strip().rsplit("::", 1)[-1] for part in (match["types"] or "").split(",")]
        sizes = {key: int(match[key]) for key in ("n", "d", "k", "layout")}
        rows.append({**result, "what": match["what"], "types": types, **sizes})
    return rows


def kernels_table(rows: list[dict[str, Any]]) -> list[str]:
    """Return a table of everything but the other libraries, a line each."""
    lines = [
        "| what | types | n x d, K | components | ms | rows/s | GFLOP/s | of DGEMM | MB above the data |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row["what"] in PEERS or row["what"] == "gaussmix_fit":
            continue
        flops, share = (f"{row[key]:.3g}" if key in row else "" for key in ("dense_gflops", "share_of_dgemm"))
        lines.append(
            f"| {row['what']} | {', '.join(row['types'])} | {row['n']:,} x {row['d']}, {row['k']} "
            f"| {LAYOUTS[row['layout']]} | {row['real_time']:.3g} | {row['items_per_second']:.3g} | {flops} | {share} "
            f"| {row['bytes_above_data'] / 1e6:.3g} |"
        )
    return lines


def peers_table(rows: list[dict[str, Any]]) -> list[str]:
    """Return a table of the other libraries: their times by ours, and their likelihoods less ours."""
    lines = [
        "| n x d, K, type | components | gaussmix ms | " + " | ".join(PEERS.values()) + " |",
        "|---|---|---|" + "---|" * len(PEERS),
    ]
    for ours in (row for row in rows if row["what"] == "gaussmix_fit"):
        cells = []
        for peer in PEERS:
            types = [""] if peer == "vlfeat" and ours["types"] == ["Diagonal"] else ours["types"]
            same = [r for r in rows if r["what"] == peer and r["types"] == types]
            same = [r for r in same if all(r[key] == ours[key] for key in ("n", "d", "k", "layout"))]
            if not same:
                cells.append("")
                continue
            difference = same[0]["log_likelihood"] - ours["log_likelihood"]
            note = "" if abs(difference) < 1e-6 else f" ({difference:+.1g} nats)"
            cells.append(f"{same[0]['real_time'] / ours['real_time']:.3g}{note}")
        size = f"{ours['n']:,} x {ours['d']}, {ours['k']}, {ours['types'][0].lower()}"
        layout, time = LAYOUTS[ours["layout"]], ours["real_time"]
        lines.append(f"| {size} | {layout} | {time:.3g} | " + " | ".join(cells) + " |")
    return lines


def machine_line(context: dict[str, Any]) -> str:
    """Return in one line what a reader of the times wants to know."""
    speed = f"DGEMM {float(context['dgemm_gflops']):.0f} GFLOP/s by {context['dgemm_library']}"
    processors = f"{context['processor']}, {context['num_cpus']} processors, {context['threads']} threads"
    made_with = f"compiler {context.get('compiler', 'unknown')}, {context['libraries']}"
    return f"{processors}, {context['eigen_simd']}; {speed}; {made_with}; {context['date'][:10]}"


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=Path("build/bench"), help="where to build (build/bench)")
    parser.add_argument("--filter", default=".", help="regular expression of the benchmarks to run; all")
    parser.add_argument("--markdown", type=Path, help="write the tables there, not to the terminal")
    arguments, others = parser.parse_known_args()
    program, out = build(arguments.build), arguments.build / "results.json"
    options = [f"--benchmark_filter={arguments.filter}", f"--benchmark_out={out}", "--benchmark_out_format=json"]
    subprocess.run([str(program), *options, *others], check=True)
    results = json.loads(out.read_text())
    rows = parse(results["benchmarks"])
    text = "\n".join([machine_line(results["context"]), "", *kernels_table(rows), "", *peers_table(rows), ""])
    if arguments.markdown:
        arguments.markdown.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
