"""Score outputs of published methods, as project pages show them: refused first where they are not aligned, then by a policy.

The clips are web encodes (H.264, some cropped or resized by the page): good for testing the harness, not for reproducing
papers.
"""

import argparse
import tempfile
from pathlib import Path

from oasis import files, results
from oasis.cards import load
from oasis.measures import find
from oasis.score.request import Request, plan
from oasis.score.run import run

FULL = "psnr@rgb,psnr@y,ssim@rgb,ssim@y,sharpness@laplacian,ewarp_excess@dis-full-occ-x1000"
BLIND = "sharpness@laplacian,ewarp@dis-output-full-occ-x1000"
# Case: reference, whether it is ground truth, native size, and the policy of each method that needs one.
CASES: dict[str, tuple[str, bool, str, dict[str, str]]] = {
    "reds4_015": ("gt.mp4", True, "1280x720", {"bicubic": "as-is"}),
    "vid4_calendar": ("gt.mkv", True, "720x576", {}),
    "vimeo7_data2": ("gt.mp4", True, "448x256", {}),
    "udm10_003": (
        "OASIS-page-LQ.mp4",
        False,
        "1272x720",
        {
            "OASIS-page-SeedVR": "crop:left=0,top=0,width=1264,height=720",
            "OASIS-page-SeedVR2": "crop:left=0,top=0,width=1264,height=720",
            "OASIS-page-OASIS": "crop:left=0,top=0,width=1264,height=720",
            "OASIS-page-VEnhancer": "unregistered",
            "StreamDiffVSR": "resize:width=1272,height=720",
            "bicubic": "resize:width=1272,height=720;as-is",
        },
    ),
    "spmcs_hitachi": (
        "input.mp4",
        False,
        "960x540",
        {
            "FlashVSR-Full": "crop:left=32,top=14,width=896,height=512",
            "SeedVR2-7B": "crop:left=0,top=6,width=960,height=528",
        },
    ),
    "oasis_real_2": ("input.mp4", False, "1024x512", {}),
}
CARD = """name: peers
title: one clip of a project page
aliases: []
task: synthetic
has_gt: true
scale: 1
clips: {{names: [{clip}], count: 1, frames: null, total_frames: null}}
frame_name: null
hr_size: {size}
lr_size: null
layouts: []
lq_recipe: as the project page shows it
source: shared test data
licence: not stated
protocol_classic: {{}}
anchors: []
traps: []
sha256: {{}}
uncertain: [licence]
"""


def main() -> None:
    """Score every method of every case twice, and write one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the cases: CASE/METHOD.mp4")
    parser.add_argument("--out", type=Path, default=Path("reports/results/peers.csv"), help="table to write (%(default)s)")
    args = parser.parse_args()
    rows = [row for case in CASES for row in _case(args.data / case)]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(args.out, "case,method,measure,without_policy,policy,value,status,reason\n" + "".join(rows))
    print(args.out)


def _case(folder: Path) -> list[str]:
    reference, has_gt, size, policies = CASES[folder.name]
    lines = []
    for path in sorted(folder.iterdir()):
        if path.name in (reference, "input.mp4", "gt.mp4", "gt.mkv"):
            continue
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            for part, source in (("outputs", path), ("reference", folder / reference)):
                (root / part).mkdir()
                (root / part / f"{folder.name}{source.suffix}").symlink_to(source.resolve())
            card = root / "card.yaml"
            card.write_text(CARD.format(clip=folder.name, size=size))
            load(card)
            before = _score(root, card, has_gt, "none")
            after = _score(root, card, has_gt, policies[path.stem]) if path.stem in policies else before
        refused = {row.measure: row.status != "ok" for row in before}
        for row in after:
            value = "" if row.value is None else f"{row.value:.{find(row.measure).digits}f}"
            verdict = "refused" if refused[row.measure] else "scored"
            reason = row.reason.replace('"', "'")
            lines.append(f'{folder.name},{path.stem},{row.measure},{verdict},"{row.align}",{value},{row.status},"{reason}"\n')
        print(f"{folder.name} {path.stem}: {before[0].status} -> {after[0].status} {before[0].reason[:150]}", flush=True)
    return lines


def _score(root: Path, card: Path, has_gt: bool, policy: str) -> list[results.Score]:
    reference = {"gt": root / "reference"} if has_gt else {"lq": root / "reference"}
    request = Request(
        outputs=root / "outputs", dataset=str(card), metrics=FULL if has_gt else BLIND, align=policy, method="peer", **reference
    )
    run(plan(request), root / f"out-{policy[:4]}")
    return results.read(root / f"out-{policy[:4]}" / "scores.csv")[0]


if __name__ == "__main__":
    main()
