"""The profile of the Wan decoder: candidates that decode the same, rows that come back, errors by distance from a seam."""

import dataclasses
import runpy
import sys
from pathlib import Path
from typing import get_args

import diffusers
import pytest
import torch
from safetensors.torch import save_file

from oasis import timings
from oasis.configs import VAEConfig
from oasis.model.wan_decoder import WAN_MEAN, WAN_STD, WanDecoder
from oasis.timing import decoder
from oasis.timing.decoder import Candidate
from oasis.timing.found import Setting

DOOR = Path(__file__).parents[2] / "benchmarks" / "profile_decoder.py"
STREAMED = Candidate(way="streamed", width=2, tile=(3, 3), overlap=1, vae=None, device="cpu", dtype="float32")


def test_every_way_has_a_row_that_refers_to_the_first_and_comes_back(tmp_path: Path) -> None:
    ways = [dataclasses.replace(STREAMED, way=way) for way in get_args(decoder.Way)[:4]]
    found = decoder.profile(ways, [(2, 1, 2)], Setting(rounds=1), memory=False)
    assert [row.subject for row in found.rows] == ["diffusers", "streamed", "whole", "tiles 3x3 sharing 1"]
    assert {(row.case, row.frames, row.what) for row in found.rows} == {("2x1x2", 5, "decoder")}
    assert {row.baseline for row in found.rows} == {"diffusers"} and found.rows[0].ratio == 1
    found.write(tmp_path / "rows.csv")
    assert timings.read(tmp_path / "rows.csv")[0] == found.rows


def test_graphs_are_refused_on_the_processor() -> None:
    with pytest.raises(ValueError, match="CUDA graphs need a CUDA device"):
        decoder.decoding(dataclasses.replace(STREAMED, way="graphed"), (2, 1, 2))


def test_diffusers_decodes_with_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    clips: list[torch.Tensor] = []
    plain = diffusers.AutoencoderKLWan.decode
    monkeypatch.setattr(diffusers.AutoencoderKLWan, "decode", lambda *a, **k: clips.append(plain(*a, **k)[0]))
    candidate = dataclasses.replace(STREAMED, way="diffusers")
    decoder.decoding(candidate, (2, 2, 2))()
    mean, std = (torch.tensor(values)[:, None, None, None] for values in (WAN_MEAN, WAN_STD))
    z = (decoder.latents(candidate, (2, 2, 2)) - mean) / std
    # Twice the bound of the decoder's own tests: latents are normalised and back in float32.
    assert (clips[0] - decoder.decoder(candidate).decode(z).clamp(-1, 1)).abs().max() < 2e-5


def test_errors_are_told_by_distance_from_the_seam() -> None:
    bands = decoder.seam_errors(STREAMED, (1, 3, 5))  # tiles at 0 and 2 share one column: a seam at 20 of 40 pixels
    assert [(band.start, band.stop) for band in bands] == [(0, 8), (8, 16), (16, 24)]
    assert all(0 < band.mean <= band.most for band in bands)
    assert decoder.seam_errors(STREAMED, (1, 3, 3)) == []


def test_the_door_says_first_that_weights_are_random(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "rows.csv"
    small = ["--latents", "2x1x4", "--width", "2", "--tile", "3x3", "--overlap", "1", "--rounds", "1", "--no-memory"]
    assert run(monkeypatch, *small, "--device", "cpu", "--csv", str(out)) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("RANDOM WEIGHTS, random latents; base width 2\n")
    assert "s per latent frame" in printed and "pixels from a seam" in printed
    assert timings.read(out)[1]["weights"] == "RANDOM WEIGHTS"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--latents", "2x3"], "--latents is '2x3'"),
        (["--tile", "8"], "--tile is '8'"),
        (["--overlap", "4"], "tiles of 8 cannot share 4"),
        (["--width", "0"], "--width is 0"),
        (["--vae", "none.safetensors"], "none.safetensors: no such file"),
    ],
)
def test_wrong_input_is_one_sentence(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "rows.csv"
    assert run(monkeypatch, "--width", "2", *arguments, "--device", "cpu", "--csv", str(out)) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not out.exists()


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", [DOOR.name, *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(DOOR), run_name="__main__")
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_weights_of_a_file_are_used(tmp_path: Path) -> None:
    other = WanDecoder(VAEConfig(kind="wan", channels=16, width=2, blocks=2)).requires_grad_(False)
    save_file(other.state_dict(), tmp_path / "vae.safetensors")
    found = decoder.decoder(dataclasses.replace(STREAMED, vae=tmp_path / "vae.safetensors"))
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in found.state_dict().items())
