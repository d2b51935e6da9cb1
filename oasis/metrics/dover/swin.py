"""DOVER's technical branch: a Video Swin whose position bias knows which fragment of the frame a token comes from.

Video Swin: Liu et al. 2022, sections 3.1 and 3.2; gated position bias: FAST-VQA, Wu et al. 2022, section 3.3. Names, order and
numbers follow VQAssessment/DOVER@f1ddc96, confirmed with its outputs. Everything works on one clip.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

Size = tuple[int, int, int]
PATCH: Size = (2, 4, 4)
MASKED = -100.0
AT_ONCE = 8  # windows that share a call: the bias of all 128 of the first stage would take 240 MB


class PatchEmbed(nn.Module):
    """Patches of 2 frames x 4 x 4 pixels as tokens; zeros are added behind the last frame, below and to the right."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, dim, PATCH, stride=PATCH)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Float[Tensor, "3 t h w"]) -> Float[Tensor, "t2 h4 w4 c"]:
        """Return the tokens."""
        x = rearrange(_padded(rearrange(x, "c t h w -> t h w c"), PATCH), "t h w c -> c t h w")
        return self.norm(rearrange(self.proj(x), "c t h w -> t h w c"))


class WindowAttention(nn.Module):
    """Attention inside windows; its bias mixes a table for tokens of one fragment with one for tokens of two."""

    def __init__(self, dim: int, heads: int, window: Size, *, fragments: bool) -> None:
        super().__init__()
        self.heads = heads
        t, h, w = window
        offsets = (2 * t - 1) * (2 * h - 1) * (2 * w - 1)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(offsets, heads))
        self.fragment_position_bias_table = nn.Parameter(torch.zeros(offsets, heads)) if fragments else None
        self.relative_position_index: Int[Tensor, "n n"]
        self.register_buffer("relative_position_index", relative_position_index(window))
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(
        self, x: Float[Tensor, "w n c"], fragment: Float[Tensor, "w n 2"], region: Int[Tensor, "w n"]
    ) -> Float[Tensor, "w n c"]:
        """Attend within windows and regions; `fragment` is the row and column of each token's fragment."""
        q, k, v = rearrange(self.qkv(x), "w n (qkv heads d) -> qkv w heads n d", qkv=3, heads=self.heads)
        within, across = self._tables(x.shape[1])
        parts = zip(*(each.split(AT_ONCE) for each in (q, k, v, fragment, region)), strict=True)
        out = []
        for some_q, some_k, some_v, some_fragment, some_region in parts:
            # The distance is 0, 1, 2, ... fragments, not 0 or 1: the authors extrapolate too.
            bias = torch.lerp(within, across, torch.cdist(some_fragment, some_fragment, p=1)[:, None])
            bias = bias + MASKED * (some_region[:, :, None] != some_region[:, None])[:, None]
            out.append(F.scaled_dot_product_attention(some_q, some_k, some_v, attn_mask=bias))
        return self.proj(rearrange(torch.cat(out), "w heads n d -> w n (heads d)"))

    def _tables(self, tokens: int) -> tuple[Float[Tensor, "heads n n"], Float[Tensor, "heads n n"]]:
        """Return the bias between tokens of one fragment, and of neighbouring fragments."""
        # Where a window was cut to a small feature map, the authors still read the first rows of the full index.
        index = self.relative_position_index[:tokens, :tokens]
        across = rearrange(self.relative_position_bias_table[index], "n m heads -> heads n m")
        if self.fragment_position_bias_table is None:
            return across, across
        return rearrange(self.fragment_position_bias_table[index], "n m heads -> heads n m"), across


class MLP(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Float[Tensor, "... c"]) -> Float[Tensor, "... c"]:
        """Map the last axis."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Window attention and an MLP, each behind a norm and added to its input; every second block shifts the windows."""

    def __init__(self, dim: int, heads: int, window: Size, *, fragments: bool, shifted: bool) -> None:
        super().__init__()
        self.window = window
        self.shifted = shifted
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads, window, fragments=fragments)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLP(dim)

    def forward(self, x: Float[Tensor, "t h w c"]) -> Float[Tensor, "t h w c"]:
        """Update every token."""
        x = x + self._attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))

    def _attend(self, x: Float[Tensor, "t h w c"]) -> Float[Tensor, "t h w c"]:
        t, h, w, _ = x.shape
        window, shift = _fitted(self.window, (t, h, w), shifted=self.shifted)
        x = _padded(x, window)
        size = (x.shape[0], x.shape[1], x.shape[2])
        fragment = _windows(_shifted(fragment_of(size, self.window), shift), window).to(x)
        region = _windows(_region(size, window, shift), window).squeeze(-1).to(x.device)
        x = self.attn(_windows(_shifted(x, shift), window), fragment, region)
        back = (-shift[0], -shift[1], -shift[2])
        return _shifted(_joined(x, window, size), back)[:t, :h, :w]


class PatchMerging(nn.Module):
    """Each 2x2 tokens become one of twice the channels; zeros are added to odd sides."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = nn.LayerNorm(4 * dim)

    def forward(self, x: Float[Tensor, "t h w c"]) -> Float[Tensor, "t h2 w2 c2"]:
        """Halve height and width."""
        x = _padded(x, (1, 2, 2))
        return self.reduction(self.norm(rearrange(x, "t (h i) (w j) c -> t h w (j i c)", i=2, j=2)))


class Stage(nn.Module):
    """Blocks of one resolution and, but for the last stage, the merging that follows them."""

    def __init__(self, dim: int, depth: int, heads: int, window: Size, *, last: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(dim, heads, window, fragments=not last, shifted=number % 2 == 1) for number in range(depth)
        )
        self.downsample = None if last else PatchMerging(dim)

    def forward(self, x: Float[Tensor, "t h w c"]) -> Float[Tensor, "t h2 w2 c2"]:
        """Return the tokens of the next stage."""
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class SwinTransformer3D(nn.Module):
    """Stages of window attention over a clip of fragments; the last stage knows no fragments."""

    def __init__(self, dim: int, depths: tuple[int, ...], heads: tuple[int, ...], window: Size) -> None:
        super().__init__()
        last = len(depths) - 1
        self.patch_embed = PatchEmbed(dim)
        self.layers = nn.ModuleList(
            Stage(dim * 2**number, depth, heads[number], window, last=number == last) for number, depth in enumerate(depths)
        )
        self.norm = nn.LayerNorm(dim * 2**last)

    def forward(self, x: Float[Tensor, "3 t h w"]) -> Float[Tensor, "c t2 h32 w32"]:
        """Return features of normalised RGB."""
        x = self.patch_embed(x)
        for layer in self.layers:
            x = layer(x)
        return rearrange(self.norm(x), "t h w c -> c t h w")


def relative_position_index(window: Size) -> Int[Tensor, "n n"]:
    """Return which row of a bias table belongs to each pair of tokens of a window: their offset, counted in t, h, w order."""
    t, h, w = window
    position = torch.cartesian_prod(torch.arange(t), torch.arange(h), torch.arange(w))
    offset = position[:, None] - position[None] + torch.tensor([t - 1, h - 1, w - 1])
    return (offset * torch.tensor([(2 * h - 1) * (2 * w - 1), 2 * w - 1, 1])).sum(-1)


def fragment_of(size: Size, window: Size) -> Int[Tensor, "t h w 2"]:
    """Return row and column of every token's fragment: the map is cut evenly into as many as a window has tokens."""
    t, h, w = size
    row = torch.arange(h) * window[1] // h
    column = torch.arange(w) * window[2] // w
    return torch.cartesian_prod(row, column).view(1, h, w, 2).expand(t, h, w, 2)


def _region(size: Size, window: Size, shift: Size) -> Int[Tensor, "t h w 1"]:
    """Number the parts of the shifted map that were apart before: tokens of two of them must not see each other."""
    region = torch.zeros(*size, 1, dtype=torch.int64)
    for axis in range(3):
        if shift[axis]:
            place = torch.arange(size[axis])
            part = (place >= size[axis] - window[axis]).long() + (place >= size[axis] - shift[axis])
            region = 3 * region + part.view([-1 if other == axis else 1 for other in range(4)])
    return region


def _fitted(window: Size, size: Size, *, shifted: bool) -> tuple[Size, Size]:
    """Return window and shift for a map of `size`: one window and no shift along an axis that the window covers."""
    covered = [side <= length for side, length in zip(size, window, strict=True)]
    t, h, w = (side if whole else length for side, length, whole in zip(size, window, covered, strict=True))
    down, low, left = (0 if whole or not shifted else length // 2 for length, whole in zip(window, covered, strict=True))
    return (t, h, w), (down, low, left)


def _shifted(x: Tensor, shift: Size) -> Tensor:
    return torch.roll(x, [-step for step in shift], dims=(0, 1, 2))


def _padded(x: Float[Tensor, "t h w c"], multiple: Size) -> Float[Tensor, "t1 h1 w1 c"]:
    t, h, w = (-side % step for side, step in zip(x.shape[:3], multiple, strict=True))
    return F.pad(x, (0, 0, 0, w, 0, h, 0, t))


def _windows(x: Tensor, window: Size) -> Tensor:
    """Cut "t h w c" into windows: "windows tokens c"."""
    a, b, c = window
    return rearrange(x, "(t a) (h b) (w c) d -> (t h w) (a b c) d", a=a, b=b, c=c)


def _joined(x: Tensor, window: Size, size: Size) -> Tensor:
    """Put windows back into a map of `size`."""
    a, b, c = window
    return rearrange(x, "(t h w) (a b c) d -> (t a) (h b) (w c) d", a=a, b=b, c=c, t=size[0] // a, h=size[1] // b)
