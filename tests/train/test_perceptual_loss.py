from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from oasis.data import builtin
from oasis.train.perceptual import WIDTHS, Features, features, perceptual_loss, random_features, squeezenet_features

Shared = Callable[[str], Path]
FILE = "data/weights/squeezenet1_1_caffe_features.pth"


@pytest.fixture(params=["random", "squeezenet"])
def network(request: pytest.FixtureRequest) -> Features:
    if request.param == "random":
        return features("random")
    return features(str(request.getfixturevalue("shared")(FILE)))


@pytest.fixture(scope="module")
def clip() -> Tensor:
    frames = builtin.make("chelsea-zoom", frames=2, height=48, width=64).hr
    return torch.from_numpy(frames).permute(3, 0, 1, 2)[None] / 127.5 - 1


def blurred(clip: Tensor, times: int) -> Tensor:
    for _ in range(times):
        clip = torch.nn.functional.avg_pool3d(clip, (1, 3, 3), stride=1, padding=(0, 1, 1), count_include_pad=False)
    return clip


def test_equal_clips_are_no_distance_apart_and_worse_ones_farther(network: Features, clip: Tensor) -> None:
    assert perceptual_loss(network, clip, clip) == 0
    by_blur = [float(perceptual_loss(network, blurred(clip, times), clip)) for times in (1, 2, 4)]
    assert 0 < by_blur[0] < by_blur[1] < by_blur[2] < 4  # of unit vectors, 4 is the largest
    noise = torch.randn(clip.shape, generator=torch.Generator().manual_seed(0))
    by_noise = [float(perceptual_loss(network, clip + level * noise, clip)) for level in (0.02, 0.05, 0.2)]
    assert 0 < by_noise[0] < by_noise[1] < by_noise[2] < 4


def test_frames_count_alike_wherever_they_are(network: Features, clip: Tensor) -> None:
    other = blurred(clip, 2)
    whole = perceptual_loss(network, other, clip)
    single = [perceptual_loss(network, other[:, :, t : t + 1], clip[:, :, t : t + 1]) for t in range(2)]
    torch.testing.assert_close(whole, torch.stack(single).mean(), rtol=1e-4, atol=0)
    torch.testing.assert_close(perceptual_loss(network, other.flip(2), clip.flip(2)), whole, rtol=1e-4, atol=0)


def test_gradients_reach_the_prediction_only(network: Features, clip: Tensor) -> None:
    predicted, target = blurred(clip, 1).requires_grad_(True), clip.clone().requires_grad_(True)
    perceptual_loss(network.train(), predicted, target).backward()
    assert predicted.grad is not None and predicted.grad.isfinite().all() and predicted.grad.abs().sum() > 0
    assert target.grad is None
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.parameters())


def test_gradients_are_right(network: Features) -> None:
    generator = torch.Generator().manual_seed(1)
    predicted, target = (2 * torch.rand(2, 1, 3, 1, 17, 17, generator=generator, dtype=torch.float64) - 1).unbind(0)
    predicted.requires_grad_(True)
    wide = network.double()
    assert torch.autograd.gradcheck(lambda x: perceptual_loss(wide, x, target), predicted, fast_mode=True, eps=1e-7, atol=1e-4)


def test_a_step_down_the_gradient_comes_nearer(network: Features, clip: Tensor) -> None:
    predicted = blurred(clip, 2).requires_grad_(True)
    before = perceptual_loss(network, predicted, clip)
    (gradient,) = torch.autograd.grad(before, predicted)
    assert perceptual_loss(network, predicted.detach() - 0.1 * gradient / gradient.norm(), clip) < before


def test_half_precision_does_not_reach_the_network(network: Features, clip: Tensor) -> None:
    other = blurred(clip, 1).bfloat16()
    expected = perceptual_loss(network, other.float(), clip)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = perceptual_loss(network, other, clip)
    assert found.dtype == torch.float32 and torch.equal(found, expected)


def test_flat_grey_has_gradients_with_bounds(network: Features) -> None:
    """Features of middle grey are all zero in the random network, and a direction of zero is none."""
    grey = torch.zeros(1, 3, 1, 32, 32, requires_grad=True)
    target = 0.01 * torch.randn(1, 3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    perceptual_loss(network, grey, target).backward()
    assert grey.grad is not None and grey.grad.isfinite().all() and grey.grad.abs().max() < 1


def test_random_weights_depend_on_the_seed_alone_and_are_orthogonal() -> None:
    state = torch.get_rng_state()
    first, again, other = (random_features(seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    weights, same, others = ([p for p in net.parameters() if p.ndim == 4] for net in (first, again, other))
    assert [len(weight) for weight in weights] == list(WIDTHS)
    for weight, equal, different in zip(weights, same, others, strict=True):
        assert torch.equal(weight, equal) and not torch.equal(weight, different)
        rows = weight.flatten(1)
        products = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
        torch.testing.assert_close(products, 2 * torch.eye(len(products)), atol=1e-5, rtol=0)


def test_squeezenet_sees_what_it_was_trained_on(shared: Shared) -> None:
    """RGB in 0..255 less the means: written out with plain functions up to the first squeeze, under the file's own names."""
    path = shared(FILE)
    state = torch.load(path, weights_only=True, map_location="cpu")
    frames = 2 * torch.rand(1, 3, 40, 33, generator=torch.Generator().manual_seed(0)) - 1
    pixels = (frames + 1) / 2 * 255 - torch.tensor([123.68, 116.779, 103.939])[:, None, None]
    first = torch.conv2d(pixels, state["features.0.weight"], state["features.0.bias"], stride=2).relu()
    network = squeezenet_features(path)
    found = network(frames)
    torch.testing.assert_close(found[0], first, atol=1e-3, rtol=1e-5)
    assert [layer.shape[1] for layer in found] == [64, 128, 256, 384, 384, 512, 512]


def test_squeezenet_in_another_file_is_refused(shared: Shared, tmp_path: Path) -> None:
    state = torch.load(shared(FILE), weights_only=True, map_location="cpu")
    path = tmp_path / "other.pth"
    for name, broken in {
        "classifier": state | {"classifier.1.weight": torch.zeros(1000, 512, 1, 1)},
        "features.0.bias": {key: tensor for key, tensor in state.items() if key != "features.0.bias"},
        "features.0.weight": state | {"features.0.weight": torch.zeros(64, 3, 7, 7)},
    }.items():
        torch.save(broken, path)
        with pytest.raises(ValueError, match=rf"other.pth: not the weights of SqueezeNet 1.1's features \(.*{name}"):
            features(str(path))


class Evil:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (exec, ("raise SystemExit('executed')",))


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    torch.save({"features.0.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match="not the weights of SqueezeNet"):
        features(str(tmp_path / "evil.pth"))


def test_what_is_no_network_or_too_small_is_refused(shared: Shared) -> None:
    with pytest.raises(ValueError, match="'vgg' is no network of features; allowed: random, or a file"):
        features("vgg")
    small = torch.zeros(1, 3, 1, 16, 40)
    with pytest.raises(ValueError, match="needs frames of at least 17x17 pixels, got 16x40"):
        perceptual_loss(squeezenet_features(shared(FILE)), small, small)
