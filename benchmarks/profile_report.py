"""Time and memory of a leaderboard of a million rows: synthetic scores of 100 methods, 10 data sets, 100 clips, 10 measures."""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from oasis import measures, results
from oasis.report.board import rows, statistics
from oasis.results import Score

MEASURES = [
    "psnr@rgb",
    "psnr@y",
    "ssim@rgb",
    "ssim@y",
    "lpips@alex",
    "dists@pyiqa",
    "ewarp@dis-full-occ-x1000",
    "ewarp_excess@dis-full-occ-x1000",
    "sharpness@laplacian",
    "boundary@cut",
]


def write_rows(root: Path, methods: int, datasets: int, clips: int) -> None:
    """Write score files and cards of methods that differ a little, over clips that differ a lot."""
    (root / "results" / "measured").mkdir(parents=True)
    (root / "methods").mkdir()
    for number in range(methods):
        card = {"name": f"method-{number:03d}", "title": f"Method {number}", "venue": "", "link": "", "parameters": number}
        card |= {"kind": "published", "ran_by": "nobody: the rows are synthetic", "note": ""}
        (root / "methods" / f"{card['name']}.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    clip_values = np.random.default_rng(0).random((datasets, clips, len(MEASURES)))
    for method in range(methods):
        for dataset in range(datasets):
            noise = np.random.default_rng((method, dataset)).random((clips, len(MEASURES)))
            values = 0.8 * clip_values[dataset] + 0.1 * noise + 0.1 * method / methods
            path = root / "results" / "measured" / f"method-{method:03d}-set-{dataset}.csv"
            name, place = f"method-{method:03d}", f"set-{dataset}"
            results.write(path, _scores(name, place, values), {"method": name, "dataset": place})


def _scores(method: str, dataset: str, values: np.ndarray) -> list[Score]:
    return [
        Score(
            method=method,
            dataset=dataset,
            clip=f"{clip:03d}",
            measure=measure,
            version=measures.find(measure).version,
            status="ok",
            value=float(values[clip, column]),
            frames=32,
            align="none",
            output_sha256=f"{hash((method, dataset, clip)) & (2**64 - 1):064x}",
            reference_sha256=f"{clip:064x}",
            reason="",
        )
        for clip in range(values.shape[0])
        for column, measure in enumerate(MEASURES)
    ]


def timed(name: str, work: Callable[[], Any]) -> Any:
    """Run `work`, print how long it took and the most memory that the process had until then, and return its result."""
    start, cpu = time.perf_counter(), time.process_time()
    result = work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name:12} {time.perf_counter() - start:7.1f} s {time.process_time() - cpu:7.1f} s of CPU {peak:7.0f} MiB at most")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", type=int, default=100, help="(%(default)s)")
    parser.add_argument("--datasets", type=int, default=10, help="(%(default)s)")
    parser.add_argument("--clips", type=int, default=100, help="(%(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_rows(root, args.methods, args.datasets, args.clips)
        total = args.methods * args.datasets * args.clips * len(MEASURES)
        print(f"{total} rows in {args.methods * args.datasets} files")
        loaded = timed("load", lambda: rows.load(root / "results", root / "methods"))
        timed("summary", lambda: statistics.summary(loaded.scores))
        timed("comparisons", lambda: statistics.comparisons(loaded.scores))


if __name__ == "__main__":
    main()
