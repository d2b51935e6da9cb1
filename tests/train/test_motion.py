from pathlib import Path

import numpy as np
import pytest
import torch

from oasis import weights
from oasis.data import builtin
from oasis.metrics import flow
from oasis.train import motion as moves
from oasis.train.losses import warped_difference_loss
from oasis.train.motion import Motion, cut, mirror, motion_of


def by_dis(first: torch.Tensor, second: torch.Tensor) -> np.ndarray:
    """Another estimate in place of RAFT, whose weights a test cannot have."""
    return flow.dis(*((image[0].mean(0) * 255).byte().numpy() for image in (first, second)))


@pytest.fixture(scope="module")
def clip() -> builtin.BuiltinClip:
    return builtin.make("china-pan", frames=4, height=64, width=96)


def difference(hr: torch.Tensor, motion: Motion) -> float:
    return float(warped_difference_loss(hr, torch.zeros_like(hr), Motion(*(part[None] for part in motion))))


def test_a_built_in_clip_has_its_exact_motion(clip: builtin.BuiltinClip) -> None:
    found = motion_of(clip.name, clip)
    assert np.array_equal(found.flow, clip.flow) and np.array_equal(found.seen, ~clip.occluded)


def test_another_clip_is_estimated_or_refused(clip: builtin.BuiltinClip) -> None:
    with pytest.raises(ValueError, match=r"^mine: the warped difference loss cannot be used .* no RAFT \(raft_large"):
        motion_of("mine", clip.hr)
    found = motion_of("mine", clip.hr, by_dis)
    assert found.flow.shape == (3, 64, 96, 2) and found.seen.shape == (3, 64, 96)
    both = found.seen & torch.from_numpy(~clip.occluded)
    assert both.double().mean() > 0.5
    assert (found.flow - torch.from_numpy(clip.flow))[both].norm(dim=-1).median() < 0.3
    assert motion_of("mine", clip.hr[:1], by_dis).flow.shape == (0, 64, 96, 2)


def test_raft_needs_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OASIS_WEIGHTS", str(tmp_path))
    with pytest.raises(weights.Missing, match="raft_large_torchvision weights"):
        moves.raft()


def ramp(frames: int, height: int, width: int) -> tuple[torch.Tensor, Motion]:
    """A plane of brightness under an affine motion: it stays a plane, which sampling and averaging leave exact."""
    matrix = torch.tensor([[0.02, -0.03], [0.01, 0.04]], dtype=torch.float64)
    shift = torch.tensor([0.7, -0.4], dtype=torch.float64)
    rows, columns = (torch.arange(length, dtype=torch.float64) for length in (height, width))
    points = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    back = torch.linalg.inv(torch.eye(2, dtype=torch.float64) + matrix)
    planes, source = [], points
    for _ in range(frames):
        planes.append(source @ torch.tensor([0.05, -0.02], dtype=torch.float64))
        source = (source - shift) @ back.T  # where each point was a frame ago, again and again
    flow = (points @ matrix.T + shift).expand(frames - 1, -1, -1, -1)
    return torch.stack(planes).expand(1, 3, -1, -1, -1), Motion(flow, torch.ones(flow.shape[:-1], dtype=torch.bool))


def test_crops_take_their_motion_along() -> None:
    clip, whole = ramp(4, 24, 30)
    nothing = pytest.approx(1e-3, rel=1e-9)  # Charbonnier's error of 0
    assert difference(clip, whole) == nothing
    part = cut(whole, first=1, frames=3, top=4, left=6, height=16, width=20)
    crop = clip[:, :, 1:4, 4:20, 6:26]
    assert difference(crop, part) == nothing
    assert difference(crop, cut(whole, first=1, frames=3, top=4, left=0, height=16, width=20)) > 2e-3
    assert difference(crop.flip(-1), mirror(part)) == nothing
    assert difference(crop.flip(-1), part) > 2e-3
    half = cut(whole, first=1, frames=3, top=4, left=6, height=8, width=10, halve=True)
    reduced = torch.nn.functional.avg_pool3d(crop, (1, 2, 2))
    assert half.flow.shape == (2, 8, 10, 2)
    assert difference(reduced, half) == nothing
    assert difference(reduced, half._replace(flow=2 * half.flow)) > 2e-3


def test_a_halved_point_is_seen_if_all_four_are() -> None:
    seen = torch.ones(1, 2, 4, dtype=torch.bool)
    seen[0, 1, 2] = False
    half = cut(Motion(torch.ones(1, 2, 4, 2), seen), first=0, frames=2, top=0, left=0, height=1, width=2, halve=True)
    assert half.seen.tolist() == [[[True, False]]]
    assert torch.equal(half.flow, torch.full((1, 1, 2, 2), 0.5))


@pytest.mark.parametrize("beyond", [{"first": 3}, {"top": 33}, {"left": 33}, {"halve": True}])
def test_a_crop_beyond_the_clip_is_refused(clip: builtin.BuiltinClip, beyond: dict[str, int]) -> None:
    inside = {"first": 0, "frames": 2, "top": 0, "left": 0, "height": 32, "width": 64}
    with pytest.raises(ValueError, match="does not lie in a clip of 4 frames of 96x64"):
        cut(motion_of(clip.name, clip), **(inside | beyond))
