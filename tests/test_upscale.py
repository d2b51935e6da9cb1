"""Tiles and chunks: as many frames as came in, each exactly `scale` times as large, and no trace of the cuts."""

from fractions import Fraction
from types import SimpleNamespace

import pytest
import torch
from einops import repeat
from hypothesis import given, settings
from hypothesis import strategies as st
from little import moving, network

from oasis import video
from oasis.model import build
from oasis.model.oasis import Oasis
from oasis.routing import FRAME, GLOBAL, RoutingTable
from oasis.upscale import Tiling, starts, upscale
from oasis.upscale.frames import upscale_chunk

ANY_TILING = st.builds(
    lambda frames, height, width, part, piece: Tiling(
        frames=frames,
        height=height,
        width=width,
        overlap_frames=int(part * ((frames - 1) // 2)),
        overlap=int(piece * ((min(height, width) - 1) // 2)),
    ),
    *(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.floats(0, 1), st.floats(0, 1)),
)


class Nearest(Oasis):
    """Stands in for the model: every pixel repeated, whatever its neighbours are; records the sizes that it was given."""

    def __init__(self, scale=2, dtype=torch.float64):
        torch.nn.Module.__init__(self)
        self.config = SimpleNamespace(scale=scale)
        self.prompt = torch.zeros(1, dtype=dtype)
        self.sizes = []

    def forward(self, lq):
        self.sizes.append(tuple(lq.shape[2:]))
        return repeat(lq, "b c t h w -> b c t (h p) (w q)", p=self.config.scale, q=self.config.scale)


def run(model, frames, tiling):
    return torch.stack(list(upscale(model, iter(frames), tiling)))


@settings(max_examples=60, deadline=None)
@given(tiling=ANY_TILING, t=st.integers(1, 40), h=st.integers(1, 21), w=st.integers(1, 21), scale=st.sampled_from([1, 2, 4]))
def test_a_pointwise_model_cannot_tell_where_the_cuts_are(tiling, t, h, w, scale):
    frames = torch.randint(0, 256, (t, 3, h, w), generator=torch.Generator().manual_seed(t), dtype=torch.uint8)
    model = Nearest(scale)
    found = run(model, frames, tiling)
    assert torch.equal(found, repeat(frames, "t c h w -> t c (h p) (w q)", p=scale, q=scale))
    most = (tiling.frames, tiling.height, tiling.width)
    assert all(size <= limit for sizes in model.sizes for size, limit in zip(sizes, most, strict=True))


@settings(max_examples=40, deadline=None)
@given(tiling=ANY_TILING, h=st.integers(1, 21), w=st.integers(1, 21))
def test_tiles_join_to_rounding(tiling, h, w):
    lq = torch.rand(1, 3, 2, h, w, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = Nearest()
    # A weighted mean of at most 4 x 4 equal numbers: a few dozen roundings.
    torch.testing.assert_close(upscale_chunk(model, lq, tiling), model(lq), rtol=0, atol=64 * 2**-53)


@settings(max_examples=200, deadline=None)
@given(length=st.integers(1, 300), size=st.integers(1, 40), part=st.floats(0, 1))
def test_tiles_cover_and_overlap(length, size, part):
    overlap = int(part * ((size - 1) // 2))
    found = starts(length, size, overlap)
    stops = [min(start + size, length) for start in found]
    assert found[0] == 0 and stops[-1] == length
    assert all(stop - start >= overlap for stop, start in zip(stops[:-1], found[1:], strict=True))
    assert all(stop - start == min(size, length) for start, stop in zip(found, stops, strict=True))
    assert len(found) == 1 or len(found) == -(-(length - overlap) // (size - overlap))  # no tile more than needed


def test_neighbouring_outputs_are_mixed_by_weights_that_rise_linearly():
    class Counting(Nearest):
        def forward(self, lq):
            self.sizes.append(tuple(lq.shape[2:]))
            return torch.full_like(lq, len(self.sizes) - 1.0)  # 0 from the first tile or chunk, 1 from the second

    black = torch.zeros(5, 3, 1, 1, dtype=torch.uint8)
    tiling = Tiling(frames=3, height=3, width=3, overlap_frames=1, overlap=1)
    chunks = run(Counting(1), black, tiling)[:, 0, 0, 0]
    assert chunks.tolist() == [128, 128, round(127.5 * 1.5), 255, 255]
    across = upscale_chunk(Counting(1), torch.zeros(1, 3, 1, 1, 5), tiling)[0, 0, 0, 0]
    assert across.tolist() == [0, 0, 0.5, 1, 1]


@pytest.mark.parametrize("length", [1, 2, 4, 5, 6, 8, 9, 16, 17, 18, 33])
def test_memory_is_one_chunk_whatever_the_length(length):
    taken, given = 0, 0

    def source():
        nonlocal taken
        for _ in range(length):
            taken += 1
            yield torch.zeros(3, 2, 2, dtype=torch.uint8)

    ticks = []
    for _ in upscale(Nearest(), source(), Tiling(frames=5, overlap_frames=2), tick=lambda: ticks.append(taken)):
        given += 1
        assert taken - given <= 5
    assert given == length == len(ticks)


def test_no_frames_in_are_none_out():
    assert list(upscale(Nearest(), iter([]), Tiling())) == []


@pytest.mark.parametrize(("name", "shared"), [("frames", "overlap_frames"), ("height", "overlap"), ("width", "overlap")])
def test_tiles_cannot_share_half_of_themselves(name, shared):
    with pytest.raises(ValueError, match=rf"tiles of 8 \({name}\) cannot share 4; allowed: less than half"):
        Tiling(**{name: 8, shared: 4})
    with pytest.raises(ValueError, match="cannot share -1"):
        Tiling(**{shared: -1})


@pytest.fixture(scope="module")
def model():
    return network().requires_grad_(False)


def test_one_tile_is_the_models_own_output(model):
    frames = moving(6, 7, 9)
    found = run(model, frames, Tiling(frames=9, height=8, width=16, overlap_frames=2, overlap=2))
    with torch.inference_mode():
        wanted = video.from_network(model(video.to_network(frames).transpose(0, 1)[None])[0].transpose(0, 1))
    assert torch.equal(found, wanted)
    assert found.shape == (6, 3, 28, 36) and found.float().std() > 5


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 5, 3), (2, 1, 8), (7, 3, 11), (40, 4, 5)])
def test_every_size_is_upscaled_exactly(model, size):
    t, h, w = size
    tiling = Tiling(frames=9, height=6, width=8, overlap_frames=2, overlap=2)
    assert run(model, moving(t, h, w), tiling).shape == (t, 3, 4 * h, 4 * w)


def test_routing_shows_and_an_all_global_table_changes_no_bit(model):
    frames, tiling = moving(5, 8, 8), Tiling()
    dense = run(model, frames, tiling)
    for letters, equal in (("GG", True), ("FG", False)):
        patterns = {"G": GLOBAL, "F": FRAME}
        table = RoutingTable(model="little", weights_sha256="", patterns=patterns, layers=(letters,) * 2)
        routed = build(model.config)
        routed.load_state_dict(model.state_dict())
        routed.dit.route(table)
        assert torch.equal(run(routed, frames, tiling), dense) == equal


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001), Fraction(24000, 1001)])
def test_a_lossless_file_holds_what_was_upscaled(tmp_path, fps):
    frames = moving(6, 6, 10)
    video.write(tmp_path / "in.mkv", frames, fps)
    about = video.info(tmp_path / "in.mkv")
    tiling = Tiling(frames=4, height=4, width=6, overlap_frames=1, overlap=1)
    video.write(tmp_path / "out.mkv", upscale(Nearest(4), video.stream(tmp_path / "in.mkv"), tiling), about.fps)
    back = video.read(tmp_path / "out.mkv")
    assert back.fps == fps
    assert torch.equal(back.frames, repeat(frames, "t c h w -> t c (h p) (w q)", p=4, q=4))
