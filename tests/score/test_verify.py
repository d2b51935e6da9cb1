from pathlib import Path
from typing import Any

import pytest

from oasis import results
from oasis.results import Score
from oasis.score import verify

PRINT: dict[str, Any] = {
    "dataset": "UDM10",
    "card_sha256": "c",
    "clips": "all",
    "lq_sha256": {"000": "l0", "001": "l1"},
    "environment": {"packages": {"torch": "2.15"}, "device": "cpu"},
    "weights": {},
}


def rows(method: str, **more: object) -> list[Score]:
    common = {
        "dataset": "UDM10",
        "version": 1,
        "status": "ok",
        "value": 30.0,
        "frames": 32,
        "align": "none",
        "output_sha256": method,
        "reference_sha256": "g",
        "reason": "",
    }
    return [
        Score(**{**common, "method": method, "clip": clip, "measure": measure, **more})  # type: ignore[arg-type]
        for clip in ("000", "001")
        for measure in ("psnr@y", "ssim@y")
    ]


def found(tmp_path: Path, one: tuple[list[Score], dict], two: tuple[list[Score], dict]) -> list[verify.Reason]:
    for name, (scores, fingerprint) in (("a.csv", one), ("b.csv", two)):
        results.write(tmp_path / name, scores, fingerprint)
    return verify.verify(tmp_path / "a.csv", tmp_path / "b.csv")


def test_two_methods_under_one_protocol_are_comparable(tmp_path: Path) -> None:
    assert found(tmp_path, (rows("a"), PRINT), (rows("b", value=20.0), PRINT)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dataset": "REDS4"}, "the data sets are REDS4 and UDM10"),
        ({"version": 2}, "the definition of the measure changed for psnr@y, ssim@y"),
        ({"align": "crop:left=0,top=0,width=1264,height=720"}, "other pixels or frames"),
        ({"reference_sha256": "h"}, "the decoded ground truth differs for 000, 001"),
        ({"frames": 29}, "another number of frames"),
        ({"status": "failed", "value": None, "reason": "cut off"}, "rows without a value for the clips 000, 001"),
        ({"measure": "psnr@rgb"}, "measures only in the first: psnr@y, ssim@y; only in the second: psnr@rgb"),
        ({"clip": "002"}, "clips only in the first: 000, 001; only in the second: 002"),
    ],
)
def test_a_difference_is_named(tmp_path: Path, change: dict, said: str) -> None:
    reasons = found(tmp_path, (rows("a"), PRINT), (rows("b", **change), PRINT))
    assert verify.verdict(reasons) == "different"
    assert any(reason.kind == "different" and said in reason.text for reason in reasons)


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"lq_sha256": {"000": "l0", "001": "other"}}, "different", "the low-quality input differs for 001"),
        ({"lq_sha256": {}}, "unknown", "the second result did not record the low-quality input"),
        ({"clips": "first 1 of 10"}, "different", "clips: all and first 1 of 10"),
        ({"weights": {"alexnet": "x"}}, "different", "weights.alexnet: None and x"),
        ({"environment": {"packages": {"torch": "2.11"}, "device": "cpu"}}, "caution", "packages.torch: 2.15 and 2.11"),
    ],
)
def test_a_difference_of_the_fingerprint_is_named(tmp_path: Path, change: dict, kind: str, said: str) -> None:
    reasons = found(tmp_path, (rows("a"), PRINT), (rows("b"), PRINT | change))
    assert verify.verdict(reasons) == {"caution": "comparable"}.get(kind, kind)
    assert [reason.kind for reason in reasons if said in reason.text] == [kind]
