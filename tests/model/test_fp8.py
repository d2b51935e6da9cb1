"""Linear layers in fp8: rounding against a search through all 256 numbers, the fast path against the specification."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from little import network
from small_models import small_oasis
from torch import Tensor, nn

from oasis.model import build, fp8

ALL = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
NUMBERS = ALL[ALL.isfinite()].double()
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def layer(inputs: int, outputs: int, *, dtype: torch.dtype = torch.bfloat16, seed: int = 0) -> nn.Linear:
    generator = torch.Generator().manual_seed(seed)
    made = nn.Linear(inputs, outputs, dtype=dtype).requires_grad_(False)
    made.weight.copy_(torch.randn(outputs, inputs, generator=generator) / inputs**0.5)
    made.bias.copy_(torch.randn(outputs, generator=generator))
    return made


def tokens(*shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Return tokens of very different size, one of them zero."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(shape, generator=generator) * 10.0 ** torch.randint(-3, 4, (*shape[:-1], 1), generator=generator)
    x[..., 0, :] = 0
    return x.to(dtype)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=8))
@example([1e-45, 0.0])
@example([3e-38, -1e-39])
def test_every_number_becomes_the_nearest_under_its_row_s_scale(row: list[float]) -> None:
    x = torch.tensor([row, [0.0] * len(row)])
    found = fp8.quantised(x)
    assert found.values.dtype == torch.float8_e4m3fn and found.scale.shape == (2, 1) and found.values.isfinite().all()
    assert torch.equal(found.values[1].float(), torch.zeros(len(row)))
    scaled = (x[0] / found.scale[0]).double()
    apart = (scaled[:, None] - NUMBERS).abs().amin(dim=1)
    assert torch.equal((scaled - found.values[0].double()).abs(), apart)
    if x[0].abs().max() > 1e-30:
        assert found.values[0].float().abs().max() == fp8.LARGEST


def test_the_specification_is_a_product_of_rounded_numbers() -> None:
    linear, x = layer(48, 32, dtype=torch.float32), tokens(2, 5, 48, dtype=torch.float32)
    found = fp8.Rounded(linear)(x)
    assert found.shape == (2, 5, 32) and found.dtype == torch.float32
    for clip in range(2):
        for token in range(5):
            for output in range(32):
                rows = [fp8.quantised(row) for row in (x[clip, token], linear.weight[output])]
                a, b = (row.values.double() * row.scale.double() for row in rows)
                expected = (a * b).sum() + linear.bias[output]
                assert abs(found[clip, token, output] - expected) <= 1e-5 * (a * b).abs().sum() + 1e-6
    # Three bits of mantissa: half a step is 1/16 of a number at most, in both factors.
    exact = linear(x)
    bound = (0.0625 * 2 + 0.0625**2) * nn.functional.linear(x.abs(), linear.weight.abs()) + 1e-5
    assert ((found - exact).abs() <= bound + 2.0**-10 * exact.abs().amax(-1, keepdim=True)).all()


def equal_up_to_bfloat16(linear: nn.Linear, x: Tensor) -> None:
    fast, plain = fp8.Scaled(linear)(x), fp8.Rounded(linear)(x.float())
    assert fast.dtype == torch.bfloat16 and fast.shape == plain.shape
    scale = nn.functional.linear(x.abs().float(), linear.weight.abs().float(), linear.bias.abs().float())
    assert ((fast.float() - plain).abs() <= 2.0**-8 * plain.abs() + 1e-4 * scale).all()


@pytest.mark.parametrize("shape", [(3, 48), (1, 7, 48), (2, 3, 5, 48)])
def test_the_fast_path_is_the_specification_in_bfloat16(shape: tuple[int, ...]) -> None:
    equal_up_to_bfloat16(layer(48, 32), tokens(*shape))


def test_layers_that_read_tokens_are_replaced_and_no_others() -> None:
    model = build(small_oasis()).requires_grad_(False)
    before = {name for name, part in model.dit.named_modules() if isinstance(part, nn.Linear)}
    assert not fp8.used(model) and fp8.used(fp8.replace(model, fp8.Rounded))
    left = {name for name, part in model.dit.named_modules() if isinstance(part, nn.Linear)}
    gone = [
        *(f"self_attention.{name}" for name in ("query", "key", "value", "output")),
        *(f"cross_attention.{name}" for name in ("query", "output")),
        *(f"mlp.{name}" for name in ("up", "down")),
    ]
    assert before - left == {f"blocks.{layer}.{name}" for layer in range(2) for name in gone}


def test_a_network_in_fp8_is_near_itself() -> None:
    model = network(layers=2).requires_grad_(False)
    lq = torch.rand(1, 3, 5, 8, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1
    exact = model.latents(lq)
    found = fp8.replace(model, fp8.Rounded).latents(lq)
    error = (found - exact).std() / exact.std()
    assert 1e-4 < error < 0.1


def test_where_there_are_no_units_for_it_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network().to(torch.bfloat16)
    with pytest.raises(ValueError, match=r"a CUDA device of compute capability 8\.9 or more, and this model is on cpu"):
        fp8.use(model)
    monkeypatch.setattr(type(model.prompt), "device", property(lambda self: torch.device("cuda")))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA A100")
    with pytest.raises(ValueError, match="this model is on NVIDIA A100"):
        fp8.use(model)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    with pytest.raises(ValueError, match="layers of 24, 32 channels; allowed in fp8: multiples of 16"):
        fp8.use(model)


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("shape", [(1, 7, 192), (2, 300, 192)])
def test_the_fast_path_is_the_specification_on_cuda(shape: tuple[int, ...]) -> None:
    if torch.cuda.get_device_capability() < fp8.CAPABILITY:
        pytest.skip("this device has no units for fp8")
    equal_up_to_bfloat16(layer(192, 512).cuda(), tokens(*shape).cuda())


@pytest.mark.gpu
@needs_cuda
def test_a_whole_network_in_fp8_on_cuda() -> None:
    if torch.cuda.get_device_capability() < fp8.CAPABILITY:
        pytest.skip("this device has no units for fp8")
    lq = (torch.rand(1, 3, 5, 8, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1).to("cuda", torch.bfloat16)
    plain, fast = (build(small_oasis()).requires_grad_(False) for _ in range(2))
    fast.load_state_dict(plain.state_dict())
    fp8.replace(plain.to("cuda", torch.bfloat16), fp8.Rounded)
    fp8.use(fast.to("cuda", torch.bfloat16))
    expected, found = plain(lq), fast(lq)
    assert (found - expected).float().abs().mean() < 0.05 * expected.float().std()
    with pytest.raises(ValueError, match="this model computes in float32; allowed: bfloat16"):
        fp8.use(build(small_oasis()).cuda())
