import itertools

import numpy as np
import pytest
from einops import reduce
from hypothesis import given, settings
from hypothesis import strategies as st

from oasis.align.cells import laid_over
from oasis.align.registration import Place
from oasis.align.sketch import keep, sketch


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 200))
def test_a_few_evenly_spread_frames_are_kept(count):
    kept = list(sketch(noise(1, 4, 4).repeat(count, axis=0)).kept)
    assert min(8, count) <= len(kept) <= 16
    assert kept[0] == 0 and len({b - a for a, b in itertools.pairwise(kept)}) <= 1
    assert kept[-1] + (kept[1] if len(kept) > 1 else 1) >= count


def test_thumbnails_are_means_of_green():
    frames = noise(3, 74, 130)
    found = sketch(frames)
    assert found.pitch == (2, 2)
    expected = reduce(frames[..., 1].astype(np.float64), "t (v y) (u x) -> t v u", "mean", y=2, x=2)
    assert np.abs(found.thumbnails - expected).max() <= 0.5


@pytest.mark.parametrize("options", [{"scale": 4}, {"native": (120, 84)}])
def test_the_grid_of_comparison_is_the_enlarged_one(options):
    found = sketch(noise(2, 20, 30), **options)
    width, height = options.get("native", (120, 80))
    assert (found.size.width, found.size.height, found.size.frames) == (width, height, 2)
    assert found.kept[0].luma.shape == (height, width) and found.pitch == (width / 30, height / 20)
    assert np.array_equal(keep(noise(2, 20, 30), {1}, found.size)[1].luma, found.kept[1].luma)


@settings(max_examples=20, deadline=None)
@given(st.integers(-40, 40), st.integers(-40, 40))
def test_cells_are_laid_over_by_their_place_in_pixels(x, y):
    """A slope stays the same slope, wherever it is looked at."""
    columns, rows = np.meshgrid(np.arange(128), np.arange(96))
    slope = np.stack([columns, columns + rows // 2, rows], axis=-1).astype(np.uint8)
    whole, part = sketch([slope]), sketch([slope[:66, :90]])
    place = Place(x=float(x), y=float(y), drift_x=0.0, drift_y=0.0, scatter=0.0, regions=0, matched=0, likeness=0.0)
    seen = laid_over(part, whole, place, whole.thumbnails.astype(np.float32))[0]
    there = (columns + x) + (rows + y) / 2
    inside = (columns + x >= 2) & (columns + x < 126) & (rows + y >= 2) & (rows + y < 94)
    expected = np.where(inside, there, np.nan)[:66, :90]
    assert np.nanmax(np.abs(seen - expected), initial=0) < 1
    assert np.isfinite(seen[np.isfinite(expected)]).all()
