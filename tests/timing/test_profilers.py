"""The three profilers, small, from request to file and back."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from little import checkpoint, moving
from torch import Tensor

from oasis import sections, timings, video
from oasis.grid import Grid
from oasis.model import fp8
from oasis.model.oasis import Oasis
from oasis.scaling import growth
from oasis.timing import attention, model, pipeline, trends
from oasis.timing.found import Setting
from oasis.timing.phases import TOTAL
from oasis.timing.routings import THIRDS, shares
from oasis.upscale import Tiling

ONCE = Setting(rounds=2)


def test_attention_has_a_baseline_growth_and_crossover_and_its_rows_come_back(tmp_path: Path) -> None:
    grids = [Grid(2, 8, 8), Grid(4, 8, 8)]
    routed = [shares("frame=1,global=1", 2)]
    request = attention.Request(grids=grids, heads=2, d=16, routings=routed, memory=False, setting=ONCE)
    found = attention.profile(request)
    subjects = ["dense", "1 frame + 1 global", *attention.PROBES]
    assert [(row.subject, row.case) for row in found.rows] == [(s, str(grid)) for grid in grids for s in subjects]
    assert {row.baseline for row in found.rows} == {"dense"} and found.rows[0].ratio == 1
    assert any("attention" in name for name in found.kernels["dense"])
    fits = trends.growths(found, ["2x8x8", "4x8x8"])
    assert fits["dense"] == growth([128, 256], [row.p50 for row in found.rows if row.subject == "dense"])
    assert set(trends.crossovers(found, ["2x8x8", "4x8x8"])) == {"1 frame + 1 global (folded)"}
    assert trends.growths(found, ["2x8x8"]) == {}
    found.write(tmp_path / "rows.csv")
    rows, about = timings.read(tmp_path / "rows.csv")
    assert rows == found.rows and about["kernels"] == found.kernels and about["harness_overhead"] > 0
    assert all(row.subject in found.table() for row in rows)


def test_ordered_tokens_are_a_backend_of_attention_and_of_networks(tmp_path: Path) -> None:
    routed = [shares("window-2x2=2,frame=1", 3)]
    request = attention.Request(
        grids=[Grid(2, 4, 6)], heads=3, d=8, routings=routed, backends=["folded", "ordered"], memory=False, setting=ONCE
    )
    assert [row.backend for row in attention.profile(request).rows][1:3] == ["folded", "ordered"]
    with pytest.raises(ValueError, match="this routing has none"):
        attention.profile(dataclasses.replace(request, routings=[shares("frame", 3)]))
    network = model.made(model.Network(model="random-tiny", layers=1, routing=THIRDS, backend="ordered"))
    assert network.dit.backend == "ordered"


def test_a_network_s_phases_are_rows_and_give_amdahl_s_ceiling(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model")
    found = model.profile(
        model.Request(model=str(folder), clips=[(5, 16, 24)], routings=["frame"], memory=False, setting=Setting(rounds=3))
    )
    dense, routed = dict.fromkeys(row.subject for row in found.rows)
    rows = {(row.subject, row.phase): row for row in found.rows}
    assert dense.endswith("dense") and routed.endswith("frame")
    assert rows[dense, TOTAL].frames == 5 and rows[routed, TOTAL].baseline == dense
    whole, part = rows[dense, TOTAL].p50, rows[dense, "dit/self-attention"].p50
    assert trends.ceilings(found)[f"{dense} on 5x16x24"] == pytest.approx(whole / (whole - part))
    assert trends.frame_rates(found, io=True)[f"{dense} on 5x16x24"] == pytest.approx(5 / whole)
    inside = sum(row.p50 for (name, phase), row in rows.items() if name == dense and phase.startswith("dit/"))
    assert inside == pytest.approx(rows[dense, "dit"].p50, rel=0.9)
    assert found.tokens == {"5x16x24": 2 * 8 * 12}
    found.write(tmp_path / "rows.csv")
    assert timings.read(tmp_path / "rows.csv")[0] == found.rows


def test_a_network_as_graphs_is_timed_beside_the_others_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oasis.model.graphed.capture", without_sections)
    folder = str(checkpoint(tmp_path / "model"))
    request = model.Request(model=folder, clips=[(5, 16, 24)], routings=["frame"], graph=True, memory=False, setting=ONCE)
    found = model.profile(request)
    totals = [(row.subject, row.baseline) for row in found.rows if row.phase == TOTAL]
    dense = f"{folder} dense"
    assert totals == [(f"{folder} {name}", dense) for name in ("dense", "frame", "dense graph", "frame graph")]
    assert {row.phase for row in found.rows if row.subject == f"{folder} dense graph"} == {TOTAL, "decoder", "bicubic"}
    assert set(trends.ceilings(found)) == {f"{folder} {name} on 5x16x24" for name in ("dense", "frame (folded)")}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_every_backend_and_form_of_a_network_is_timed_on_cuda() -> None:
    fp8_runs = torch.cuda.get_device_capability() >= fp8.CAPABILITY
    request = model.Request(
        model="random-tiny",
        layers=1,
        clips=[(5, 16, 24), (1, 16, 24)],
        routings=[THIRDS],
        backends=["folded", "flex", "ordered", "varlen"],
        fp8=fp8_runs,
        graph=True,
        memory=False,
        setting=Setting(rounds=2, device="cuda", dtype="bfloat16"),
    )
    totals = [row for row in model.profile(request).rows if row.phase == TOTAL]
    assert len(totals) == 2 * 5 * 2 * (1 + fp8_runs) and all(row.p50 > 0 for row in totals)


def without_sections(network: Oasis) -> Oasis:
    """Stand in for a capture, which hides the sections inside the step."""

    def step(lq: Tensor) -> Tensor:
        with sections.unheard():
            return network.latents(lq)

    network.graphed = step
    return network


def test_fewer_layers_are_for_random_weights_only() -> None:
    short = model.made(model.Network(model="random-tiny", layers=1, routing=THIRDS))
    assert len(short.dit.blocks) == 1 and len(set(short.dit.patterns[0])) == 3
    for name, layers in (("tiny", 1), ("random-tiny", 0), ("random-x", 1)):
        with pytest.raises(ValueError, match="layers is"):
            model.made(model.Network(model=name, layers=layers))


def test_the_pipeline_is_timed_as_decode_network_encode(tmp_path: Path) -> None:
    folder, clip = checkpoint(tmp_path / "model"), tmp_path / "in.mkv"
    video.write(clip, moving(7, 16, 24), fps=25)
    networks = model.Request(model=str(folder), routings=["frame"], memory=False, setting=ONCE)
    found = pipeline.profile(pipeline.Request(networks=networks, clip=clip, suffix=".mkv", tiling=Tiling.of(5, 16, 24)))
    assert [row.phase for row in found.rows] == [TOTAL, "decode", "network", "encode"] * 2
    assert {row.case for row in found.rows} == {"7x16x24"} and {row.frames for row in found.rows} == {7}
    with_io, without = (trends.frame_rates(found, io=io) for io in (True, False))
    assert list(with_io) == list(without) and all(without[name] > with_io[name] for name in with_io)


def test_pipeline_phases_lie_side_by_side() -> None:
    shown = {TOTAL: 10.0, "encode": 9.0, "encode/network": 7.0, "encode/network/decode": 1.0}
    found = pipeline.in_order(lambda function: shown)(lambda: None)
    assert found == {TOTAL: 10.0, "decode": 1.0, "network": 6.0, "encode": 2.0}
    assert list(pipeline.each("decode", iter(np.arange(3)))) == [0, 1, 2]


def test_a_setting_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="allowed: float32"):
        Setting(dtype="int8")
