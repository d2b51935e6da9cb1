"""The pipeline for users of diffusers: the pixels of `oasis upscale`, in every form that goes in and comes out."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from einops import rearrange
from little import checkpoint, moving
from PIL import Image

from oasis import video
from oasis.cli import main
from oasis.model.checkpoint import load
from oasis.pipeline import OasisPipeline
from oasis.routing import FRAME, GLOBAL, RoutingTable
from oasis.upscale import Tiling

CLIP = moving(6, 12, 20)
ARRAY = rearrange(CLIP, "t c h w -> t h w c").numpy()
IMAGES = [Image.fromarray(frame) for frame in ARRAY]


@pytest.fixture
def pipe(tmp_path: Path) -> OasisPipeline:
    return OasisPipeline.from_pretrained(checkpoint(tmp_path / "model"))


@pytest.mark.parametrize("model", ["tiny", "tiny-routed"])
def test_it_gives_the_pixels_of_the_command(model: str, tmp_path: Path) -> None:
    clip = torch.cat([moving(5, 16, 16) // 3, 160 + moving(4, 16, 16, seed=1) // 3])  # a cut, which both find
    video.write(tmp_path / "in.mkv", iter(clip), 25)
    assert main(["upscale", str(tmp_path / "in.mkv"), str(tmp_path / "out.mkv"), "--model", model, "--device", "cpu"]) == 0
    expected = torch.stack(list(video.stream(tmp_path / "out.mkv")))
    found = OasisPipeline.from_pretrained(model)(clip, output_type="pt").frames[0]
    assert torch.equal((found * 255).round().to(torch.uint8), expected)
    assert torch.equal(found, expected.float() / 255)


@pytest.mark.parametrize(
    "form",
    [
        IMAGES,
        tuple(IMAGES),
        ARRAY,
        ARRAY[:, ::-1][:, ::-1],
        ARRAY.astype(np.float64) / 255,
        CLIP.float() / 255,
        CLIP.double() / 255,
        (CLIP.float() / 255 + 0.4 / 255).clamp(max=1),
        (CLIP.float() / 255 - 0.4 / 255).clamp(min=0),
    ],
)
def test_every_form_of_a_video_is_the_same_video(pipe: OasisPipeline, form: Any) -> None:
    assert torch.equal(pipe(form, output_type="pt").frames, pipe(CLIP, output_type="pt").frames)


def test_frames_come_out_as_diffusers_gives_them(pipe: OasisPipeline) -> None:
    clip = pipe(IMAGES, output_type="pt").frames
    assert clip.shape == (1, 6, 3, 48, 80) and clip.dtype == torch.float32 and clip.min() >= 0 and clip.max() <= 1
    array = pipe(IMAGES, output_type="np").frames
    assert array.shape == (1, 6, 48, 80, 3) and array.dtype == np.float32
    assert np.array_equal(array, rearrange(clip, "b t c y x -> b t y x c").numpy())
    images = pipe(IMAGES).frames[0]
    assert len(images) == 6 and all(isinstance(image, Image.Image) and image.size == (80, 48) for image in images)
    assert np.array_equal(np.stack([np.asarray(image) for image in images]), (array[0] * 255).round().astype(np.uint8))


def test_tiles_may_be_chosen(pipe: OasisPipeline) -> None:
    small = pipe(CLIP, output_type="pt", tiling=Tiling.of(5, 8, 8)).frames
    assert small.shape == (1, 6, 3, 48, 80) and not torch.equal(small, pipe(CLIP, output_type="pt").frames)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_it_computes_in_the_dtype_asked_for(pipe: OasisPipeline, tmp_path: Path, dtype: torch.dtype) -> None:
    other = OasisPipeline.from_pretrained(tmp_path / "model", torch_dtype=dtype)
    assert other.dtype == dtype and other.device == torch.device("cpu")
    expected, found = pipe(CLIP, output_type="pt").frames, other(CLIP, output_type="pt").frames
    assert (found - expected).abs().mean() < (0.02 if dtype == torch.bfloat16 else 1e-3)
    assert other.to("cpu", torch.float32).dtype == torch.float32
    assert other.to(dtype=torch.float64) is other and other.dtype == torch.float64


def test_a_saved_pipeline_is_the_same_pipeline(pipe: OasisPipeline, tmp_path: Path) -> None:
    digest = load(tmp_path / "model").weights_sha256
    table = RoutingTable(model="little", weights_sha256=digest, patterns={"G": GLOBAL, "F": FRAME}, layers=("GF", "FF"))
    table.save(tmp_path / "table.json")
    routed = OasisPipeline.from_pretrained(str(tmp_path / "model"), routing=tmp_path / "table.json")
    routed.save_pretrained(tmp_path / "saved")
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {"config.json", "model.safetensors", "routing.json"}
    again = OasisPipeline.from_pretrained(tmp_path / "saved", routing=tmp_path / "saved" / "routing.json")
    expected = routed(CLIP, output_type="pt").frames
    assert torch.equal(again(CLIP, output_type="pt").frames, expected)
    assert not torch.equal(pipe(CLIP, output_type="pt").frames, expected)
    half = routed.to(torch.bfloat16)
    half.save_pretrained(tmp_path / "half")
    kept = RoutingTable.load(tmp_path / "half" / "routing.json")
    assert kept.weights_sha256 == load(tmp_path / "half").weights_sha256 != digest
    with pytest.raises(ValueError, match="the routing table is for weights"):
        OasisPipeline.from_pretrained(tmp_path / "half", routing=table)


def test_the_routed_tiny_model_keeps_its_routing_when_saved(tmp_path: Path) -> None:
    OasisPipeline.from_pretrained("tiny-routed").save_pretrained(tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["trained"] is True
    again = OasisPipeline.from_pretrained(tmp_path / "saved", routing=str(tmp_path / "saved" / "routing.json"))
    assert any(pattern != GLOBAL for pattern in again.model.dit.patterns[0])


def test_weights_that_were_not_trained_warn(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="new: these weights were not trained for super-resolution"):
        OasisPipeline.from_pretrained(checkpoint(tmp_path / "new", trained=False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        OasisPipeline.from_pretrained(checkpoint(tmp_path / "old"))


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ([], "allowed: a list of at least one PIL image"),
        ([1, 2], "allowed: a list of at least one PIL image"),
        ([IMAGES[0], IMAGES[1].convert("RGBA")], r"frame 1 of mode RGBA and size \(20, 12\); allowed: RGB, all of \(20, 12\)"),
        ([IMAGES[0], IMAGES[1].resize((8, 8))], r"frame 1 of mode RGB and size \(8, 8\); allowed: RGB, all of \(20, 12\)"),
        (ARRAY[0], r"ndarray of shape \(12, 20, 3\); allowed: a list of RGB images"),
        (ARRAY[:0], r"shape \(0, 12, 20, 3\); allowed"),
        (ARRAY[..., :1], r"shape \(6, 12, 20, 1\); allowed"),
        (CLIP[None], r"Tensor of shape \(1, 6, 3, 12, 20\); allowed"),
        (torch.from_numpy(ARRAY), r"Tensor of shape \(6, 12, 20, 3\); allowed"),
        (ARRAY.astype(np.int16), "dtype int16; allowed: uint8, or floats"),
        (CLIP.float(), r"floats that are not in \[0, 1\]"),
        (CLIP.float() / 255 + torch.nan, r"floats that are not in \[0, 1\]"),
        (CLIP.float() / 255 - 1e-3, r"floats that are not in \[0, 1\]"),
    ],
)
def test_what_is_no_video_is_refused(pipe: OasisPipeline, form: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pipe(form)


def test_unknown_names_and_output_types_are_refused(pipe: OasisPipeline) -> None:
    with pytest.raises(ValueError, match="output_type is 'latent'; allowed: pil, np, pt"):
        pipe(CLIP, output_type="latent")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"model 'someone/model' is unknown; allowed: tiny, "):
        OasisPipeline.from_pretrained("someone/model")
