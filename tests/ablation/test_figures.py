from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from oasis import ablations
from oasis.ablation.figures import differences, draw
from oasis.ablations import Ablation

DENSE = Ablation(
    study="routing",
    model="m",
    arm="dense",
    rule="uniform:pattern=global",
    control=0,
    seed=None,
    steps=0,
    attention_flops_ratio=1.0,
    kl_total=0.0,
    seconds_ratio=1.0,
    lq="standard",
    clip="a",
    measure="psnr@y",
    value=30.0,
)


def rows(measure: str = "psnr@y", step: float = 1.0) -> list[Ablation]:
    """Two clips; random is worse than dense by 1 and 3 before training, by 0 and 2 with both seeds after."""
    found = []
    for clip, loss in (("a", 1.0), ("b", 3.0)):
        for seed, steps, gain in ((None, 0, 0.0), (0, 5, 1.0), (1, 5, 1.0)):
            dense = replace(DENSE, clip=clip, seed=seed, steps=steps, measure=measure, value=30.0 + (seed or 0))
            other = {"arm": "random-0", "control": 1, "attention_flops_ratio": 0.4, "kl_total": 9.0, "seconds_ratio": 0.7}
            found += [dense, replace(dense, **other, value=dense.value - step * (loss - gain))]
    return found


@pytest.mark.parametrize(("measure", "step"), [("psnr@y", 1.0), ("gmsd@pyiqa", -1.0)])
def test_differences_are_paired_by_clip_and_seed_and_positive_where_better(measure: str, step: float) -> None:
    found = differences(pd.DataFrame(rows(measure, step))).set_index(["arm", "trained"])
    assert found.loc[("dense", 0), "difference"] == found.loc[("dense", 1), "difference"] == 0
    before, after = found.loc[("random-0", 0)], found.loc[("random-0", 1)]
    assert (before["difference"], before["low"], before["high"]) == (-2, -3, -1)
    assert (after["difference"], after["low"], after["high"]) == (-1, -2, 0)
    assert (before["clips"], before["seeds"], after["seeds"]) == (2, 1, 2)


def test_measures_that_are_best_at_zero_count_by_their_distance_to_it() -> None:
    table = pd.DataFrame(rows("ewarp_excess@true-flow-x1000"))
    table["value"] = table["arm"].map({"dense": 2.0, "random-0": -3.0})
    found = differences(table).set_index(["arm", "trained"])
    assert found.loc[("random-0", 0), "difference"] == found.loc[("random-0", 1), "difference"] == -1


def test_rows_come_back_and_pictures_are_equal_each_time(tmp_path: Path) -> None:
    path = tmp_path / "routing.csv"
    ablations.write(path, rows(), {"frames": 5})
    assert ablations.read(path)[0] == rows() and ablations.read(path)[1]["frames"] == 5
    written = list(draw(path))
    assert [each.name for each in written] == [
        "routing-differences.csv",
        *(f"routing-{name}.{kind}" for name in ("standard", "kl") for kind in ("png", "svg")),
    ]
    first = {each: each.read_bytes() for each in written}
    assert first == {each: each.read_bytes() for each in draw(path)}
    assert min(Image.open(tmp_path / "routing-standard.png").size) > 100


@pytest.mark.parametrize(
    ("change", "said"),
    [({"control": 2}, "control is 2"), ({"steps": 3}, "seed is None after 3 steps"), ({"kl_total": -1.0}, "kl_total -1.0")],
)
def test_what_cannot_be_is_refused(change: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(DENSE, **change)
