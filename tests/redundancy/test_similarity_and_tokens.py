"""CKA against its definition by matrices of tokens, and tokens that are known to repeat."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oasis.grid import Grid
from oasis.redundancy import clusters, similarity, tokens
from oasis.routing import FRAME, GLOBAL, RoutingTable, window


def by_matrices(x: torch.Tensor, y: torch.Tensor) -> float:
    """HSIC of the linear kernels, as Kornblith et al. define it, through n x n matrices."""
    n = len(x)
    centre = torch.eye(n, dtype=torch.float64) - 1 / n

    def hsic(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((centre @ a @ a.T @ centre @ b @ b.T).trace())

    return hsic(x, y) / (hsic(x, x) * hsic(y, y)) ** 0.5


@given(st.integers(0, 1000), st.integers(3, 12), st.integers(1, 4), st.integers(1, 5))
def test_cka_is_that_of_the_matrices_of_tokens(seed, n, d, e):
    generator = torch.Generator().manual_seed(seed)
    one, other = (torch.randn(n, 2, width, generator=generator, dtype=torch.float64) + 3 for width in (d, e))
    found = similarity.cka(one, other)
    for a in range(2):
        for b in range(2):
            assert float(found[a, b]) == pytest.approx(by_matrices(one[:, a], other[:, b]), rel=1e-9, abs=1e-12)


def test_rotation_scale_and_shift_do_not_show_and_constants_score_nothing():
    x = torch.randn(50, 1, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).Q
    assert float(similarity.cka(x, 3 * x @ rotation + 7)) == pytest.approx(1, abs=1e-12)
    assert float(similarity.cka(x, torch.ones_like(x))) == 0


def test_tokens_that_moved_are_found_where_the_motion_leads():
    before = torch.randn(6, 8, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    now = before.roll((1, 2), dims=(1, 2))  # what is at (y, x) now was at (y - 1, x - 2)
    motion = torch.tensor([-2.0, -1.0], dtype=torch.float64).expand(8, 10, 2)
    found = tokens.compare(now, before, motion, seed=0)
    assert found["moved"] == pytest.approx((1, 1), abs=1e-12)
    for place in ("same", "beside", "elsewhere"):
        cosine, explained = found[place]
        assert abs(cosine) < 0.3 and explained == pytest.approx(-1, abs=0.5)


def test_a_clip_without_motion_repeats_at_the_same_place():
    still = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = tokens.compare(still, still, torch.zeros(4, 5, 2, dtype=torch.float64), seed=0)
    assert found["same"] == pytest.approx((1, 1)) and found["moved"] == pytest.approx((1, 1))


def test_motion_is_in_tokens_and_leads_backwards():
    generator = np.random.default_rng(0)
    wide = torch.from_numpy(generator.integers(0, 256, (3, 96, 160), dtype=np.uint8)).float()
    wide = torch.nn.functional.avg_pool2d(wide, 9, 1, 4).round().to(torch.uint8)
    clip = torch.stack([wide[:, :64, 40 - 2 * t : 120 - 2 * t] for t in range(5)])  # content moves right by 2 pixels a frame
    (motion,) = tokens.token_motion(clip, Grid(2, 4, 5), (16, 16))
    assert motion.shape == (4, 5, 2)
    assert motion[1:3, 1:4].mean((0, 1)).tolist() == pytest.approx([-8 / 16, 0], abs=0.05)


def test_motion_out_of_the_frame_leaves_no_token():
    frame = torch.ones(2, 3, 3)
    with pytest.raises(ValueError, match="too strong"):
        tokens.compare(frame, frame, torch.full((3, 3, 2), 9.0), seed=0)


def _statistics(kinds: str, clips: int = 4) -> tuple[pd.DataFrame, RoutingTable]:
    """Heads of three clear kinds, with a little noise from clip to clip."""
    generator = np.random.default_rng(0)
    centres = {"G": (1.0, 1.0, 7.0), "F": (0.1, 0.9, 4.0), "W": (0.9, 0.1, 2.0)}
    rows = []
    for clip in range(clips):
        for head, kind in enumerate(kinds):
            frame, cell, entropy = np.array(centres[kind]) + generator.normal(0, 0.02, 3)
            for pattern, value in (("frame", frame), ("window-8x8", cell)):
                same = {"entropy_mean": entropy, "dist_t": frame, "dist_xy": cell, "self_mass": 0.1}
                rows.append({"clip": f"c{clip}", "layer": 0, "head": head, "pattern": pattern, "kl_rel": value, **same})
    patterns = {"G": GLOBAL, "F": FRAME, "W": window(8, 8)}
    return pd.DataFrame(rows), RoutingTable(model="m", weights_sha256="0", patterns=patterns, layers=(kinds,))


def test_three_clear_kinds_are_three_groups():
    heads, table = _statistics("GGGFFFWWW")
    found = clusters.find(heads, table, seed=0)
    best = max(found.clusterings, key=lambda row: row.silhouette)
    assert (best.k, best.rand, best.steady) == (3, 1, 1) and best.silhouette > 0.9
    assert best.rand_low == 1 and best.rand_chance < 0.6
    assert len({(row.group, row.pattern) for row in found.heads}) == 3


def test_groups_that_are_not_the_kinds_agree_by_chance_only():
    heads, table = _statistics("GGGGFFFFWWWW")
    dealt = RoutingTable(model="m", weights_sha256="0", patterns=table.patterns, layers=("GFWGGFWFGFWW",))
    best = max(clusters.find(heads, dealt, seed=0).clusterings, key=lambda row: row.silhouette)
    assert best.rand < best.rand_chance


def test_too_few_heads_are_refused():
    heads, table = _statistics("GFW")
    with pytest.raises(ValueError, match="3 heads; allowed: at least 4"):
        clusters.find(heads, table, seed=0)


def test_features_of_all_clips_are_the_plain_means():
    heads, _ = _statistics("GFWG")
    wanted = heads.groupby(["layer", "head", "pattern"])["kl_rel"].mean().unstack().to_numpy()
    wanted = (wanted - wanted.mean(0)) / wanted.std(0)
    assert clusters.features(heads, sorted(heads["clip"].unique()))[:, :2] == pytest.approx(wanted)
