import pytest
import torch
from torch import Tensor

from oasis.data import builtin
from oasis.metrics.warping import sample
from oasis.train.losses import charbonnier, frame_difference_loss, gradient_loss, latent_loss, warped_difference_loss
from oasis.train.motion import Motion, motion_of


def moving(frames: int = 4, height: int = 6, width: int = 7, batch: int = 2) -> tuple[Tensor, Tensor, Motion]:
    generator = torch.Generator().manual_seed(3)
    clips = torch.randn(2, batch, 3, frames, height, width, generator=generator, dtype=torch.float64)
    flow = 1.5 * torch.randn(batch, frames - 1, height, width, 2, generator=generator, dtype=torch.float64)
    seen = torch.rand(batch, frames - 1, height, width, generator=generator) < 0.7
    return clips[0], clips[1], Motion(flow, seen)


def plain_loss(predicted: Tensor, target: Tensor, motion: Motion, eps: float) -> float:
    """Written out, point by point."""
    height, width = predicted.shape[-2:]
    values = []
    for b, t, y, x in motion.seen.nonzero().tolist():
        dx, dy = motion.flow[b, t, y, x].tolist()
        if not (0 <= x + dx <= width - 1 and 0 <= y + dy <= height - 1):
            continue
        left, top = min(int(x + dx), width - 2), min(int(y + dy), height - 2)
        fx, fy = x + dx - left, y + dy - top
        for c in range(3):
            differences = []
            for clip in (predicted, target):
                corners = clip[b, c, t + 1, top : top + 2, left : left + 2]
                rows = (1 - fy) * corners[0] + fy * corners[1]
                differences.append(float(clip[b, c, t, y, x] - (1 - fx) * rows[0] - fx * rows[1]))
            values.append(((differences[0] - differences[1]) ** 2 + eps**2) ** 0.5)
    return sum(values) / len(values)


def test_warped_difference_is_what_its_definition_says() -> None:
    predicted, target, motion = moving()
    found = warped_difference_loss(predicted, target, motion, eps=0.01)
    assert float(found) == pytest.approx(plain_loss(predicted, target, motion, 0.01), rel=1e-12)


def test_gradients_of_the_warped_difference() -> None:
    predicted, target, motion = moving(frames=3, height=3, width=4, batch=1)
    predicted.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda clip: warped_difference_loss(clip, target, motion, eps=0.1), predicted)


def test_points_that_are_hidden_or_leave_the_frame_do_not_count() -> None:
    predicted, target, motion = moving(frames=2)
    before = warped_difference_loss(predicted, target, motion)
    x = torch.arange(7) + motion.flow[..., 0]
    y = torch.arange(6)[:, None] + motion.flow[..., 1]
    gone = ~motion.seen | (x < 0) | (x > 6) | (y < 0) | (y > 5)
    assert 0.1 < gone.double().mean() < 0.9
    disturbed = predicted.clone()
    disturbed[:, :, 0] += 100 * gone[:, 0, None]
    assert torch.equal(warped_difference_loss(disturbed, target, motion), before)
    disturbed[:, :, 0] += 100 * ~gone[:, 0, None]
    assert warped_difference_loss(disturbed, target, motion) > 50


def test_a_built_in_clip_hardly_differs_along_its_own_motion() -> None:
    """Against a still target the difference is the clip's own: small along its motion, large without."""
    clip = builtin.make("china-pan", frames=4, height=64, width=96)
    hr = torch.from_numpy(clip.hr).permute(3, 0, 1, 2)[None] / 127.5 - 1
    motion = Motion(*(part[None] for part in motion_of(clip.name, clip)))
    still = torch.zeros_like(hr)
    along = warped_difference_loss(hr, still, motion)
    across = warped_difference_loss(hr, still, motion._replace(flow=torch.zeros_like(motion.flow)))
    backwards = warped_difference_loss(hr, still, motion._replace(flow=-motion.flow))
    assert along < 0.3 * across < 0.3 * backwards
    assert warped_difference_loss(hr, hr, motion) == pytest.approx(1e-3)  # the floor of Charbonnier's error


def test_one_frame_or_nothing_in_common_is_no_difference() -> None:
    predicted, target, motion = moving(frames=2)
    unseen = motion._replace(seen=torch.zeros_like(motion.seen))
    assert warped_difference_loss(predicted.requires_grad_(True), target, unseen) == 0
    single = Motion(motion.flow[:, :0], motion.seen[:, :0])
    assert warped_difference_loss(predicted[:, :, :1], target[:, :, :1], single) == 0


def test_half_precision_is_warped_in_single() -> None:
    """In bfloat16, pixel 300 of a row cannot be told from pixel 301."""
    clip = torch.rand(1, 3, 2, 2, 400, generator=torch.Generator().manual_seed(0)).bfloat16()
    clip[:, :, 1, :, 1:] = clip[:, :, 0, :, :-1].clone()
    flow = torch.zeros(1, 1, 2, 400, 2)
    flow[..., 0] = 1
    motion = Motion(flow, torch.ones(1, 1, 2, 400, dtype=torch.bool))
    assert warped_difference_loss(clip, torch.zeros_like(clip), motion) == pytest.approx(1e-3, rel=0.05)


def test_motion_of_another_clip_is_refused() -> None:
    predicted, target, motion = moving()
    with pytest.raises(ValueError, match=r"motion of shape \(2, 3, 6, 7, 2\) does not fit clips of shape \(2, 3, 3, 6, 7\)"):
        warped_difference_loss(predicted[:, :, :3], target[:, :, :3], motion)


def test_the_other_losses_have_right_gradients() -> None:
    predicted, target, _ = moving(frames=3, height=3, width=3, batch=1)
    predicted.requires_grad_(True)
    for loss in (
        lambda clip: charbonnier(clip, target, eps=0.1),
        lambda clip: latent_loss(clip, target, torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)),
        lambda clip: gradient_loss(clip, target),
        lambda clip: frame_difference_loss(clip, target),
    ):
        assert torch.autograd.gradcheck(loss, predicted, eps=1e-7, atol=1e-4)


def test_sampling_follows_the_way() -> None:
    image = torch.arange(12.0, dtype=torch.float64).view(1, 1, 3, 4)
    way = torch.zeros(1, 3, 4, 2, dtype=torch.float64)
    way[..., 0], way[..., 1] = 1.0, 0.5
    assert torch.equal(sample(image, way)[0, 0, :2, :3], image[0, 0, :2, 1:] + 2)
