from pathlib import Path

import pytest
import torch

import oasis
from oasis import routings
from oasis.model import load_model
from oasis.routings import Routing
from oasis.suite import verdict
from oasis.suite.methods import methods
from oasis.suite.routings import BUDGETS, Routed, choose
from oasis.suite.settings import Settings
from oasis.suite.state import Bench

HEADS = Path(oasis.__file__).parent / "assets" / "tiny" / "heads.csv"


@pytest.fixture(scope="module")
def routed() -> dict[str, Routed]:
    return {each.name: each for each in choose(HEADS)}


def test_every_rule_is_there_once_and_controls_are_known(routed: dict[str, Routed]) -> None:
    rules = [each.rule.name for each in routed.values()]
    assert rules == ["budget", "threshold", "quota", *["random"] * 3, *["uniform"] * 2, *["budget"] * len(BUDGETS)]
    assert {name for name, each in routed.items() if each.control} == {
        *("random-0", "random-1", "random-2", "uniform-frame", "uniform-window-8x8")
    }


def test_rules_are_compared_at_the_cost_of_their_controls(routed: dict[str, Routed]) -> None:
    cost = routed["quota"].ratio
    assert [routed[f"random-{seed}"].ratio for seed in range(3)] == [cost] * 3
    assert routed["random-0"].heads == routed["quota"].heads
    assert all(0.95 * cost < routed[name].ratio < 1.001 * cost for name in ("budget", "threshold"))
    for ratio in BUDGETS:
        assert routed[f"budget-{ratio}"].ratio <= ratio
    assert all(routed["budget"].kl_total <= each.kl_total for each in routed.values() if each.ratio <= routed["budget"].ratio)


def test_the_built_in_model_is_benched_with_its_trained_routed_weights_too(tmp_path: Path) -> None:
    bench = Bench(Settings(), load_model("tiny"), tmp_path, tmp_path)
    *_, dense, routed = methods(bench, [])
    assert (dense.name, routed.name) == ("oasis-tiny-dense", "oasis-tiny-trained-routed")
    lq = torch.randint(0, 256, (5, 3, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    first, second = (torch.stack(list(method.open()(lq))) for method in (dense, routed))
    assert first.shape == second.shape == (5, 3, 96, 96) and not torch.equal(first, second)


def _row(**changes: object) -> Routing:
    fields: dict[str, object] = dict(
        model="m",
        rule="quota:global=1,frame=1",
        control=0,
        heads="G=1,F=1",
        attention_flops_ratio=0.4,
        kl_total=1.5,
        seconds_ratio=1.25,
        measure="psnr@y",
        quality=30.0,
        quality_dense=30.1,
        clips=4,
    )
    return Routing(**{**fields, **changes})  # type: ignore[arg-type]


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    rows = [_row(), _row(control=1, seconds_ratio=1 / 3)]
    routings.write(tmp_path / "rows.csv", rows, {"machine": "x"})
    assert routings.read(tmp_path / "rows.csv") == (rows, {"format": 1, "kind": "routings", "machine": "x"})


@pytest.mark.parametrize(
    "wrong", [{"control": 2}, {"attention_flops_ratio": 1.1}, {"seconds_ratio": 0.0}, {"kl_total": -1.0}, {"clips": 0}]
)
def test_rows_that_nothing_measured_has_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="allowed"):
        _row(**wrong)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    routings.write(tmp_path / "rows.csv", [_row()], {})
    text = (tmp_path / "rows.csv").read_text().replace('"kind": "routings"', '"kind": "costs"')
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(ValueError, match="not a file of routings of format 1"):
        routings.read(tmp_path / "rows.csv")


def test_the_verdict_follows_the_controls(routed: dict[str, Routed]) -> None:
    def said(quota: float, control: float | None) -> str:
        quality = {name: {"psnr@y": 30.0 if name != "quota" else quota} for name in routed}
        quality["random-1"] = {"psnr@y": control}
        lines = {line.split()[0].rstrip(":"): line for line in verdict.lines(list(routed.values()), quality, 4)}
        return lines["quota"]

    assert said(30.2, 30.1) == "quota beats its controls: psnr@y 30.2000 (best control random-1 30.1000)"
    assert said(30.1, 30.1).startswith("quota does NOT beat its controls: psnr@y 30.1000 (best control random-1")
    assert said(30.2, None) == "quota: psnr@y has no value for it or a control, so nothing is said"
