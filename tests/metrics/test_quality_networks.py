"""MUSIQ and MANIQA, run by pyiqa, against plain versions of their papers, on random weights."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from einops import rearrange

from oasis.metrics import loading
from oasis.metrics.framewise import exact


def drawn(network):
    """Return tensors for a network of which none is 0 or 1 all over, of a size that keeps activations alive."""
    generator = torch.Generator().manual_seed(0)

    def draw(name, tensor):
        if not tensor.is_floating_point() or name.endswith("attn_mask"):
            return tensor.clone()
        noise = torch.randn(tensor.shape, generator=generator)
        if tensor.dim() == 1:
            return 0.1 * noise + (1 if name.endswith("weight") else 0)
        return noise * (0.5 if "emb" in name or "table" in name or "token" in name else tensor[0].numel() ** -0.5)

    return {name: draw(name, tensor) for name, tensor in network.state_dict().items()}


class Tensors:
    """A state and the layers that it is for, by name."""

    def __init__(self, state):
        self.state = state

    def linear(self, name, x):
        return F.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def norm(self, name, x, eps):
        return F.layer_norm(x, x.shape[-1:], self.state[f"{name}.weight"], self.state[f"{name}.bias"], eps)

    def group_norm(self, name, x, eps):
        return F.group_norm(x, 32, self.state[f"{name}.weight"], self.state[f"{name}.bias"], eps)

    def conv(self, name, x, **how):
        return F.conv2d(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"], **how)

    def standardised(self, name, x, **how):
        """Convolve with weights of mean 0 and deviation 1 per output channel, as in google-research/musiq."""
        weight = self.state[f"{name}.weight"]
        middle = weight - weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, middle / (weight.std((1, 2, 3), correction=0, keepdim=True) + 1e-5), **how)


def attended(q, k, v, heads, bias=0):
    q, k, v = (rearrange(x, "... n (heads d) -> ... heads n d", heads=heads) for x in (q, k, v))
    weights = (q @ k.mT / q.shape[-1] ** 0.5 + bias).softmax(dim=-1)
    return rearrange(weights @ v, "... heads n d -> ... n (heads d)")


def plain_musiq(net, rgb):
    """Ke et al. 2021: patches of 32x32 of three sizes, a residual block for each, hashed positions, 14 layers."""
    height, width = rgb.shape[-2:]
    tokens = []
    for scale, longer in enumerate((224, 384, None)):
        ratio = (longer or max(height, width)) / max(height, width)
        image = 2 * rgb - 1
        if longer:
            image = F.interpolate(image, (round(height * ratio), round(width * ratio)), mode="bicubic", align_corners=False)
        below, right = (-side % 32 for side in image.shape[-2:])
        image = F.pad(image, (right // 2, right - right // 2, below // 2, below - below // 2))
        rows, columns = (side // 32 for side in image.shape[-2:])
        x = rearrange(image, "1 c (i h) (j w) -> (i j) c h w", h=32, w=32)
        x = net.group_norm("gn_root", net.standardised("conv_root", F.pad(x, (2, 3, 2, 3)), stride=2), 1e-6).relu()
        x = F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 3, 2)
        y = net.group_norm("block1.gn1", net.standardised("block1.conv1", x), 1e-4).relu()
        y = net.group_norm("block1.gn2", net.standardised("block1.conv2", y, padding=1), 1e-4).relu()
        y = net.group_norm("block1.gn3", net.standardised("block1.conv3", y), 1e-4)
        x = (y + net.group_norm("block1.gn_proj", net.standardised("block1.conv_proj", x), 1e-4)).relu()
        x = net.linear("embedding", rearrange(x, "n c h w -> n (h w c)"))
        place = [10 * (10 * i // rows) + 10 * j // columns for i in range(rows) for j in range(columns)]
        x = x + net.state["transformer_encoder.posembed_input.position_emb"][0, place]
        tokens.append(x + net.state["transformer_encoder.scaleembed_input.scale_emb"][scale])
    x = torch.cat([net.state["transformer_encoder.cls"][0], *tokens])
    for layer in range(14):
        name = f"transformer_encoder.transformer.encoderblock_{layer}"
        y = net.norm(f"{name}.norm1", x, 1e-6)
        y = attended(*(net.linear(f"{name}.attention.{part}", y) for part in ("query", "key", "value")), heads=6)
        x = x + net.linear(f"{name}.attention.out", y)
        y = F.gelu(net.linear(f"{name}.mlp.fc1", net.norm(f"{name}.norm2", x, 1e-6)))
        x = x + net.linear(f"{name}.mlp.fc2", y)
    return float(net.linear("head", net.norm("transformer_encoder.encoder_norm", x, 1e-6)[0]))


@pytest.mark.parametrize(("height", "width"), [(40, 70), (97, 64)])
def test_musiq_equals_its_paper(height, width):
    from pyiqa.archs.musiq_arch import MUSIQ

    network = MUSIQ(pretrained=False)
    state = drawn(network)
    rgb = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
    with exact():
        found = float(loading.fill(network, state)(rgb))
        assert found == pytest.approx(plain_musiq(Tensors(state), rgb), abs=1e-4)


SHIFT, WINDOW, GRID = 2, 4, 28


def swin_block(net, name, x, shifted):
    """Liu et al. 2021 on tokens "28 28 c": windows of 4x4, every second block shifted by 2."""
    y = net.norm(f"{name}.norm1", x, 1e-5)
    place = torch.arange(GRID)
    if shifted:
        y, place = y.roll((-SHIFT, -SHIFT), (0, 1)), place.roll(-SHIFT)
    windows = "(i h) (j w) c -> (i j) (h w) c"
    y = rearrange(y, windows, h=WINDOW, w=WINDOW)
    rows, columns = (side.reshape(-1) for side in torch.meshgrid(torch.arange(WINDOW), torch.arange(WINDOW), indexing="ij"))
    offset = (rows[:, None] - rows + WINDOW - 1) * (2 * WINDOW - 1) + columns[:, None] - columns + WINDOW - 1
    bias = rearrange(net.state[f"{name}.attn.relative_position_bias_table"][offset], "n m heads -> heads n m")
    # Tokens that the shift brought to the other side of the picture are no neighbours.
    wrapped = (place < SHIFT).int() if shifted else torch.zeros(GRID, dtype=torch.int32)
    side = rearrange(2 * wrapped[:, None, None] + wrapped[None, :, None], windows, h=WINDOW, w=WINDOW)[..., 0]
    apart = -100.0 * (side[:, :, None] != side[:, None])
    y = attended(*net.linear(f"{name}.attn.qkv", y).chunk(3, dim=-1), heads=4, bias=bias + apart[:, None])
    y = rearrange(net.linear(f"{name}.attn.proj", y), "(i j) (h w) c -> (i h) (j w) c", i=GRID // WINDOW, h=WINDOW)
    x = x + (y.roll((SHIFT, SHIFT), (0, 1)) if shifted else y)
    return x + net.linear(f"{name}.mlp.fc2", F.gelu(net.linear(f"{name}.mlp.fc1", net.norm(f"{name}.norm2", x, 1e-5))))


def transposed_attention(net, name, x):
    """Attention between channels "c n"; what comes out is transposed and read as "c n" again, as in IIGROUP/MANIQA."""
    q, k, v = (net.linear(f"{name}.c_{part}", x) for part in "qkv")
    y = (q @ k.T * x.shape[1] ** -0.5).softmax(dim=-1) @ v
    return x + y.T.reshape(x.shape)


def stage(net, number, x):
    for block in range(2):
        x = transposed_attention(net, f"tablock{number}.{block}", x)
    x = net.conv(f"conv{number}", rearrange(x, "c (h w) -> 1 c h w", h=GRID))
    for layer in range(2):
        name = f"swintransformer{number}.layers.{layer}"
        y = rearrange(x, "1 c h w -> h w c")
        for block in range(2):
            y = swin_block(net, f"{name}.blocks.{block}", y, shifted=block == 1)
        x = x + 0.8 * net.conv(f"{name}.conv", rearrange(y, "h w c -> 1 c h w"), padding=1).relu()
    return rearrange(x, "1 c h w -> c (h w)")


def plain_maniqa(net, rgb):
    """Yang et al. 2022 on one crop of 224x224: layers 7 to 10 of ViT-B/8, two stages, a weighted mean over patches."""
    x = rearrange(net.conv("vit.patch_embed.proj", 2 * rgb - 1, stride=8), "1 c h w -> (h w) c")
    x = torch.cat([net.state["vit.cls_token"][0], x]) + net.state["vit.pos_embed"][0]
    kept = []
    for layer in range(10):
        name = f"vit.blocks.{layer}"
        y = net.linear(f"{name}.attn.qkv", net.norm(f"{name}.norm1", x, 1e-6))
        x = x + net.linear(f"{name}.attn.proj", attended(*y.chunk(3, dim=-1), heads=12))
        y = F.gelu(net.linear(f"{name}.mlp.fc1", net.norm(f"{name}.norm2", x, 1e-6)))
        x = x + net.linear(f"{name}.mlp.fc2", y)
        kept += [x[1:]] if layer >= 6 else []
    x = rearrange(torch.cat(kept, dim=1), "n c -> c n")
    x = stage(net, 2, stage(net, 1, x)).T
    score = net.linear("fc_score.3", net.linear("fc_score.0", x).relu()).relu()
    weight = net.linear("fc_weight.3", net.linear("fc_weight.0", x).relu()).sigmoid()
    return float((score * weight).sum() / weight.sum())


def test_maniqa_equals_its_paper_on_a_crop():
    from pyiqa.archs.maniqa_arch import MANIQA

    with loading.empty_trunks():
        network = MANIQA(pretrained=False, scale=0.8, test_sample=1)
    # In float32 random weights, which give tens where learned ones give shares, differ by 4e-4 on some processors.
    state = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in drawn(network).items()}
    rgb = torch.rand(1, 3, 230, 240, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with exact():
        found = float(loading.fill(network, state).double()(rgb))
        expected = plain_maniqa(Tensors(state), rgb[..., :224, :224])
    assert found == pytest.approx(expected, rel=1e-8) and expected > 0.01


def test_maniqas_crops_are_four_rows_of_five():
    from pyiqa.archs.maniqa_arch import uniform_crop

    rows, columns = np.mgrid[:324, :424]
    places = torch.from_numpy(np.stack([rows, columns]).astype(np.float32))[None]
    corners = uniform_crop(places, crop_size=224, crop_num=20)[..., 0, 0]
    assert corners.tolist() == [[25 * i, 50 * j] for i in range(4) for j in range(5)]
    assert uniform_crop(places[..., :30, :60], crop_size=224, crop_num=20).shape == (20, 2, 224, 224)
