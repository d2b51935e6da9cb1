"""Text and video in one sequence: mask, fast path, costs and statistics agree about who sees whom."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import grids, patterns
from torch import Tensor

from oasis import cost, decide
from oasis.attention import attend
from oasis.attention.lse import attention_lse, pattern_lse
from oasis.attention.masked import pattern_mask
from oasis.configs import TINY
from oasis.cost.executed import executed_pairs
from oasis.grid import Grid
from oasis.heads import COLUMNS, check_heads
from oasis.model import build
from oasis.routing import FRAME, GLOBAL, Pattern, RoutingTable, parse_pattern, window
from oasis.rules import Choices

texts = st.integers(1, 5)
quick = settings(max_examples=60, deadline=None)
ROUNDING = 1e-12


def joint(pattern: Pattern, text: int) -> Pattern:
    return replace(pattern, text=text)


def draw_qkv(tokens: int, heads: int, d: int = 5) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, heads, tokens, d, generator=generator, dtype=torch.float64) for _ in range(3)]


@quick
@given(patterns, texts, st.builds(Grid, st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)))
def test_the_mask_is_the_videos_with_text_all_around(pattern: Pattern, text: int, grid: Grid) -> None:
    video, mask = pattern_mask(pattern, grid), pattern_mask(joint(pattern, text), grid)
    n = text + grid.tokens
    expected = [[i < text or j < text or bool(video[i - text, j - text]) for j in range(n)] for i in range(n)]
    assert torch.equal(mask, torch.tensor(expected))


@quick
@given(st.lists(patterns, min_size=1, max_size=4), texts, grids)
def test_folded_equals_the_mask_forward_and_backward(head_patterns: list[Pattern], text: int, grid: Grid) -> None:
    chosen = [joint(pattern, text) for pattern in head_patterns]
    found = []
    for backend in ("masked", "folded"):
        q, k, v = (x.requires_grad_() for x in draw_qkv(text + grid.tokens, len(chosen)))
        out = attend(q, k, v, chosen, grid, backend=backend)
        weight = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).reshape(out.shape)
        found.append([out, *torch.autograd.grad((out * weight).sum(), (q, k, v))])
    for expected, actual in zip(*found, strict=True):
        torch.testing.assert_close(actual, expected, rtol=ROUNDING, atol=ROUNDING)


@quick
@given(patterns, texts, grids, st.integers(1, 128))
def test_closed_forms_equal_the_mask(pattern: Pattern, text: int, grid: Grid, d: int) -> None:
    pattern = joint(pattern, text)
    mask = pattern_mask(pattern, grid)
    assert cost.attended_pairs(pattern, grid) == int(mask.sum())
    assert cost.attention_flops(pattern, grid, d) == 4 * d * int(mask.sum())
    assert cost.keys_mean(pattern, grid) == pytest.approx(float(mask.sum(1).double().mean()))
    uniform = (len(mask) / mask[text:].sum(1).double()).log().mean()
    assert cost.uniform_kl(pattern, grid) == pytest.approx(float(uniform), abs=1e-13)
    if pattern.kind != "sliding":  # whose columns are hidden by a mask inside wider calls
        assert executed_pairs(pattern, grid, "folded") == int(mask.sum())
    assert executed_pairs(pattern, grid, "masked") == mask.numel()


@quick
@given(patterns, texts, grids)
def test_the_log_sum_exp_adds_the_texts_to_the_videos(pattern: Pattern, text: int, grid: Grid) -> None:
    q, k, v = draw_qkv(text + grid.tokens, 3)
    found = pattern_lse(q, k, v, joint(pattern, text), grid)
    mask = pattern_mask(joint(pattern, text), grid)
    scores = (torch.einsum("bhid,bhjd->bhij", q, k) / q.shape[-1] ** 0.5).masked_fill(~mask, -torch.inf)
    torch.testing.assert_close(found.lse, scores.logsumexp(-1), rtol=0, atol=1e-10)
    torch.testing.assert_close(found.out, scores.softmax(-1) @ v, rtol=0, atol=1e-10)
    video = pattern_lse(*(x[:, :, text:] for x in (q, k, v)), pattern, grid).lse
    prompt = attention_lse(q[:, :, text:], k[:, :, :text], v[:, :, :text]).lse
    torch.testing.assert_close(found.lse[:, :, text:], torch.logaddexp(video, prompt), rtol=0, atol=1e-10)


@quick
@given(patterns, st.integers(0, 300))
def test_a_pattern_comes_back_from_its_name_and_its_json(pattern: Pattern, text: int) -> None:
    pattern = joint(pattern, text)
    assert parse_pattern(pattern.name) == pattern and Pattern.from_json(pattern.to_json()) == pattern
    assert pattern.name.endswith(f"+text{text}") == (text > 0)


def test_other_spellings_are_refused() -> None:
    for name in ("frame+text", "frame+text0", "frame+text07", "frame+text-1", "+text3", "frame+text3+text3"):
        with pytest.raises(ValueError, match=r"is unknown; allowed: global, .*each also \+textL"):
            parse_pattern(name)
    for text in (-1, True):
        with pytest.raises(ValueError, match="pattern field 'text' must be 1 whole"):
            Pattern.from_json({"kind": "frame", "text": text})


def test_one_number_of_text_tokens_for_all() -> None:
    grid, other = Grid(2, 3, 4), [joint(FRAME, 3), GLOBAL]
    q, k, v = draw_qkv(grid.tokens + 3, 2)
    with pytest.raises(ValueError, match="patterns have 0 and 3 text tokens; allowed: one number for all heads"):
        attend(q, k, v, other, grid)
    with pytest.raises(ValueError, match="attention has 27 tokens but the grid 2x3x4 has 24 beside 2 text tokens"):
        attend(q, k, v, [joint(FRAME, 2)] * 2, grid)
    with pytest.raises(ValueError, match="patterns have 0 and 3 text tokens; allowed: one number per table"):
        RoutingTable(model="m", weights_sha256="0", patterns=dict(zip("FG", other, strict=True)), layers=("FG",))
    with pytest.raises(ValueError, match="'flex' takes no patterns with text tokens"):
        attend(q, k, v, [joint(FRAME, 3)] * 2, grid, backend="flex")
    with pytest.raises(ValueError, match="'flex' takes no patterns with text tokens"):
        executed_pairs(joint(FRAME, 3), grid, "flex")


def statistics(names: tuple[str, ...], grid: Grid) -> pd.DataFrame:
    random = np.random.default_rng(0)
    same = {"model": "m", "weights_sha256": "0", "clip": "c", "T": grid.t, "H": grid.h, "W": grid.w, "timestep": 1}
    rows = [
        {
            **same,
            "layer": layer,
            "head": head,
            "pattern": name,
            "kl_mean": random.uniform(),
            "dtype": "float32",
            "backend": "sdpa",
        }
        for layer in range(2)
        for head in range(3)
        for name in names
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).fillna(0.5)


def test_decisions_count_the_text(tmp_path) -> None:
    grid = Grid(3, 4, 4)
    heads = statistics(("frame+text7", "window-2x2+text7"), grid)
    choices = Choices.of(heads)
    assert [pattern.name for pattern in choices.patterns] == ["global+text7", "frame+text7", "window-2x2+text7"]
    assert choices.pairs.tolist() == [int(pattern_mask(pattern, grid).sum()) for pattern in choices.patterns]
    table = decide.decide(heads, decide.parse_rule("quota:global=0.5,frame+text7=0.5"), heads_csv_sha256="0")
    counts = {table.patterns[letter].name: count for letter, count in table.counts().items()}
    assert counts == {"global+text7": 3, "frame+text7": 3, "window-2x2+text7": 0}
    short = decide.decide(heads, decide.parse_rule("quota:global=0.5,frame=0.5"), heads_csv_sha256="0")
    assert short.layers == table.layers and choices.index("window-2x2") == choices.index("window") == 2
    assert cost.routing_ratio(table, grid) == pytest.approx(table.rule["attention_flops_ratio"], abs=1e-15)
    table.save(tmp_path / "routing.json")
    assert RoutingTable.load(tmp_path / "routing.json") == table and table.text == 7
    assert str(decide.random_like(table, seed=1)) == "random:seed=1,global+text7=3,frame+text7=3,window-2x2+text7=0"
    with pytest.raises(ValueError, match="column 'pattern' has 0 and 7 text tokens; allowed: one number per file"):
        check_heads(statistics(("frame", "window-2x2+text7"), grid))


def test_a_model_without_text_in_its_self_attention_refuses_the_table() -> None:
    layers = ("F" * TINY.dit.heads,) * TINY.dit.layers
    table = RoutingTable(model=TINY.name, weights_sha256="0", patterns={"F": joint(FRAME, 7)}, layers=layers)
    with pytest.raises(
        ValueError, match="the routing table has 7 text tokens; the model's self-attention sees the video alone"
    ):
        build(TINY, table)
    with pytest.raises(ValueError, match=r"the routing table has 7 text tokens; .* attends to the video alone"):
        cost.operations(TINY, (5, 16, 16), table)


def test_uniform_kl_of_even_frames_is_the_known_logarithm() -> None:
    assert cost.uniform_kl(joint(FRAME, 226), Grid(13, 30, 45)) == pytest.approx(
        np.log((13 * 1350 + 226) / (1350 + 226)), abs=1e-14
    )
    assert cost.uniform_kl(joint(GLOBAL, 226), Grid(3, 3, 4)) == 0
    assert cost.uniform_kl(joint(window(9, 9), 4), Grid(3, 3, 4)) == 0
