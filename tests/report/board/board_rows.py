"""A small folder of reports, as `oasis score` and people would fill it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from oasis import results
from oasis.results import Score

CLIPS = tuple(f"{number:03d}" for number in range(8))


def score(**more: Any) -> Score:
    """Return a good row of a data set without a card."""
    row = {
        "method": "one",
        "dataset": "own-set",
        "clip": "000",
        "measure": "psnr@y",
        "status": "ok",
        "value": 30.0,
        "frames": 32,
        "align": "none",
        "output_sha256": "a" * 64,
        "reference_sha256": "b" * 64,
        "reason": "",
    }
    row |= {"version": 1} | more
    if row["status"] != "ok":
        row |= {"value": None, "frames": 0, "reason": row["reason"] or "the output is cut off"}
    return Score(**row)


def of_values(method: str, values: Sequence[float | None], **more: Any) -> list[Score]:
    """Return a row for every clip, a failed one for None."""
    return [
        score(method=method, clip=clip, value=value, status="failed" if value is None else "ok", **more)
        for clip, value in zip(CLIPS, values, strict=False)
    ]


def card(root: Path, name: str, **more: Any) -> Path:
    """Write a card and return its path."""
    folder = root / "methods"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{len(list(folder.iterdir()))}.yaml"
    said = {"name": name, "title": name.title(), "venue": "", "link": "", "parameters": None, "kind": "classic"}
    path.write_text(yaml.safe_dump(said | {"ran_by": "a test", "note": ""} | more), encoding="utf-8")
    return path


def scores(
    root: Path, name: str, rows: Sequence[Score], *, kind: str = "measured", fingerprint: Mapping[str, Any] | None = None
) -> Path:
    """Write a score file and return its path."""
    folder = root / "results" / kind
    folder.mkdir(parents=True, exist_ok=True)
    said = {"method": rows[0].method, "dataset": rows[0].dataset, **(fingerprint or {})}
    results.write(folder / name, rows, said)
    return folder / name


def reported(root: Path, *lines: str) -> None:
    """Write rows of printed numbers."""
    folder = root / "results" / "reported"
    folder.mkdir(parents=True, exist_ok=True)
    head = "method,venue,dataset,metric,value,higher_is_better,protocol,source"
    (folder / "published.csv").write_text("\n".join([head, *lines, ""]), encoding="utf-8")


def board(root: Path, methods: Mapping[str, Sequence[float | None]], **more: Any) -> Path:
    """Write a card and a score file for each method, and return the folder."""
    (root / "results").mkdir(parents=True, exist_ok=True)
    (root / "methods").mkdir(exist_ok=True)
    for name, values in methods.items():
        card(root, name)
        scores(root, f"{name}.csv", of_values(name, values, **more))
    return root
