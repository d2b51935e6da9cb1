import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from oasis.metrics.dover import views


def formula(t: int, height: int, width: int, shift: int = 5) -> np.ndarray:
    """Return frame t of the formula video of the shared outputs."""
    y, x, c = np.ogrid[:height, :width, :3]
    return np.abs((3 * x + 5 * y + 7 * t + 40 * c + ((x * y) >> shift)) % 510 - 255).astype(np.uint8)


@given(frames=st.integers(1, 700), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_technical_frames_are_every_second_one_from_the_segments_start_or_behind_it(frames: int, seed: int) -> None:
    numbers = views.frame_numbers(frames, 3, 32, np.random.RandomState(seed))
    assert numbers.shape == (3, 32)
    assert ((numbers >= 0) & (numbers < frames)).all()
    assert ((np.diff(numbers) - 2) % frames == 0).all()
    behind = numbers[:, 0] - frames // 3 * np.arange(3)
    assert (behind >= 0).all()
    assert (behind <= max(0, frames // 3 - 65)).all()


@given(height=st.integers(32, 700), width=st.integers(32, 700), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_every_fragment_lies_in_its_cell_and_in_the_frame(height: int, width: int, seed: int) -> None:
    corners = views.fragment_corners(height, width, 2, torch.Generator().manual_seed(seed))
    assert corners.shape == (2, 49, 2)
    for axis, side in enumerate((height, width)):
        cell = side // 7
        place = corners[..., axis].reshape(2, 7, 7).swapaxes(1, 2 - axis)
        behind = place - np.minimum(cell * np.arange(7), side - 32)
        assert ((behind >= 0) & (behind <= max(0, cell - 33))).all()
        assert place.max() + 32 <= side


def test_frames_equal_the_authors(shared: Callable[[str], Path]) -> None:
    cases = json.loads(shared("golden/dover/frame_sampler.json").read_text())["cases"]
    for case in cases:
        random = np.random.RandomState(case["np_seed"])
        technical = views.frame_numbers(case["num_frames"], 3, 32, random)
        aesthetic = views.frame_numbers(case["num_frames"], 32, 1, random)
        assert technical.flatten().tolist() == case["technical"]
        assert aesthetic.flatten().tolist() == case["aesthetic"]
    assert len(cases) == 20


def test_fragments_equal_the_authors(shared: Callable[[str], Path]) -> None:
    enlarged = load_file(shared("golden/dover/fragments_upsampled.safetensors"))["case5_frame0"].transpose(1, 2, 0)
    for case in json.loads(shared("golden/dover/fragments.json").read_text())["cases"]:
        groups = max(1, case["T"] // case["aligned"])
        random = torch.Generator().manual_seed(case["torch_manual_seed"])
        corners = views.fragment_corners(case["H"], case["W"], groups, random).reshape(groups, 7, 7, 2)
        rnd_h, rnd_w = (np.array(case[name]).transpose(2, 0, 1) for name in ("rnd_h", "rnd_w"))
        assert np.array_equal(corners[..., 0], np.array(case["hgrids"])[:, None] + rnd_h)
        assert np.array_equal(corners[..., 1], np.array(case["wgrids"]) + rnd_w)
        shown = [views.View((), tuple((y, x) for y, x in group)) for group in corners.reshape(groups, 49, 2).tolist()]
        frames = [shown[t // case["aligned"]].of(formula(t, case["H"], case["W"])) for t in range(case["T"])]
        if case["upsampled"]:
            assert np.abs(frames[0].astype(int) - enlarged).max() <= 1
        else:
            planes = np.ascontiguousarray(np.stack(frames).transpose(3, 0, 1, 2))
            assert hashlib.sha256(planes.tobytes()).hexdigest() == case["sha256_uint8_CTHW"]


def test_whole_frames_are_resized_as_the_authors_pinned_version_does(shared: Callable[[str], Path]) -> None:
    expected = load_file(shared("golden/dover/aesthetic_resize.safetensors"))
    cases = json.loads(shared("golden/dover/aesthetic_resize.json").read_text())["cases"]
    for number, case in enumerate(cases):
        wanted = expected[f"case{number}_antialias_false"].transpose(1, 2, 3, 0)
        for t, frame in enumerate(wanted):
            found = views.resized(formula(t, case["H"], case["W"], shift=3), case["out"][0])
            assert np.abs(found.astype(int) - frame).max() <= 1


def test_a_draw_has_three_technical_views_and_an_aesthetic_one(shared: Callable[[str], Path]) -> None:
    config = json.loads(shared("golden/dover/full_size/config.json").read_text())
    *technical, aesthetic = views.draw(100, 360, 640, seed=42)
    assert [view.branch for view in technical] == ["technical"] * 3
    assert [number for view in technical for number in view.frames] == config["frame_indices"]["technical"]
    assert (aesthetic.branch, list(aesthetic.frames)) == ("aesthetic", config["frame_indices"]["aesthetic"])
    cells = np.stack(np.meshgrid(np.arange(7) * 51, np.arange(7) * 91, indexing="ij"), axis=-1)
    steps = np.stack([config["rnd_h"], config["rnd_w"]], axis=-1).transpose(2, 0, 1, 3)
    assert np.array_equal([view.corners for view in technical], (cells + steps).reshape(3, 49, 2))


def test_small_frames_are_enlarged_and_smaller_ones_refused() -> None:
    technical, *_ = views.draw(1, 32, 50, seed=0)
    assert technical.of(formula(0, 32, 50)).shape == (224, 224, 3)
    with pytest.raises(ValueError, match="fragments of 32x32 pixels, and the frames are 50x31"):
        views.draw(1, 31, 50, seed=0)
