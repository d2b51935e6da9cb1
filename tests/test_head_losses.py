"""Routings from measured harm and measured seconds: what is read, what is refused, and that the knapsack stays exact."""

import dataclasses
import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oasis import decide, files, harms, losses, rules, timings
from oasis.cli import main
from oasis.grid import Grid
from oasis.harms import Change, Harm
from oasis.heads import COLUMNS
from oasis.routing import FRAME, GLOBAL, RoutingTable, window
from oasis.rules import Choices
from oasis.timings import Timing

GRID = Grid(3, 4, 6)
NAMES = ("frame", "window-2x2")
SHAPE = (2, 3)
SHA = "ab" * 32


@st.composite
def timed_choices(draw):
    """Few heads whose losses may be negative, as a harm to quality may be, and seconds in whole nanoseconds."""
    shape = draw(st.sampled_from([(1, 3), (2, 2), (1, 4)]))
    loss = draw(hnp.arrays(np.float64, (*shape, 2), elements=st.floats(-1, 1) | st.sampled_from([0.0, 0.5])))
    nanoseconds = draw(st.lists(st.integers(1, 10**9), min_size=3, max_size=3))
    return Choices(
        patterns=(GLOBAL, FRAME, window(2, 2)),
        pairs=np.array([9, 3, 1], np.int64),
        loss=np.concatenate([np.zeros((*shape, 1)), loss], axis=-1),
        nanoseconds=np.array(nanoseconds, np.int64),
    )


def every(choices):
    flat = choices.loss.reshape(-1, 3)
    for chosen in itertools.product(range(3), repeat=len(flat)):
        loss = 0.0
        for row, pattern in zip(flat[::-1], chosen[::-1], strict=True):
            loss = float(row[pattern]) + loss
        yield loss, int(choices.nanoseconds[list(chosen)].sum()), chosen


@settings(max_examples=150, deadline=None)
@given(timed_choices(), st.integers(1, 100))
def test_a_budget_of_seconds_is_the_best_of_every_choice(choices, percent):
    dense = int(choices.nanoseconds[0]) * choices.loss[..., 0].size
    allowed = [item for item in every(choices) if 100 * item[1] <= percent * dense]
    if not allowed:
        for rule in (rules.budget, rules.greedy, lambda c, r: rules.random_within(c, r, seed=0)):
            with pytest.raises(ValueError, match="out of reach"):
                rule(choices, percent / 100)
        return
    chosen = rules.budget(choices, percent / 100)
    by_choice = {item[2]: item[:2] for item in allowed}
    assert by_choice[tuple(chosen.ravel())] == min(allowed)[:2]
    for control in (rules.greedy(choices, percent / 100), rules.random_within(choices, percent / 100, seed=percent)):
        assert by_choice[tuple(control.ravel())][0] >= min(allowed)[0]  # within the budget, and never better


@settings(max_examples=60, deadline=None)
@given(timed_choices())
def test_the_front_in_seconds_holds_every_undominated_choice(choices):
    found = list(every(choices))
    best = {}
    for loss, cost, _ in sorted(found, key=lambda item: (item[1], item[0])):
        if loss < min(best.values(), default=np.inf):
            best[cost] = loss
    assert rules.front(choices) == sorted(best.items())


def test_greedy_takes_the_cheapest_loss_per_saving_first_and_is_no_optimum():
    # Head 0 saves 6 of 9 for a loss of 1, head 1 the same for 2; windows save 8.
    loss = np.array([[[0, 1.0, 5.0], [0, 2.0, 2.1]]])
    choices = Choices(patterns=(GLOBAL, FRAME, window(2, 2)), pairs=np.array([9, 3, 1]), loss=loss)
    assert rules.greedy(choices, 0.99).tolist() == [[1, 0]]
    assert rules.greedy(choices, 0.6).tolist() == [[1, 2]]  # 12 of 18 is too much: then window for head 1, at 2.1 / 8
    assert rules.budget(choices, 0.6).tolist() == [[0, 2]]
    assert rules.greedy(choices, 1.0).tolist() == [[0, 0]]


def test_random_within_follows_its_seed_and_spreads():
    choices = Choices(patterns=(GLOBAL, FRAME, window(2, 2)), pairs=np.array([9, 3, 1]), loss=np.zeros((4, 8, 3)))
    found = [rules.random_within(choices, 0.5, seed=seed) for seed in range(6)]
    assert all(choices.ratio(chosen) <= 0.5 for chosen in found) and {1, 2} <= set(np.unique(found))
    assert np.array_equal(found[0], rules.random_within(choices, 0.5, seed=0)) and not np.array_equal(found[0], found[1])
    assert choices.ratio(rules.random_within(choices, 0.12, seed=0)) <= 0.12  # heads change twice where they must


def test_a_budget_of_seconds_for_a_large_network_is_fast_enough():
    generator = np.random.default_rng(0)
    choices = Choices(
        patterns=(GLOBAL, FRAME, window(2, 2)),
        pairs=np.array([9, 3, 1]),
        loss=np.concatenate([np.zeros((30, 12, 1)), generator.random((30, 12, 2))], axis=-1),
        nanoseconds=np.array([40_123_457, 13_987_651, 9_555_557]),
    )
    chosen = rules.budget(choices, 0.5)
    assert choices.cost_ratio(chosen) <= 0.5 and choices.total(chosen) <= choices.total(rules.greedy(choices, 0.5))


def head_rows(seed=0):
    generator = np.random.default_rng(seed)
    rows = []
    for clip, layer, head, name in itertools.product(("a", "b"), range(2), range(3), NAMES):
        known = {"model": "m", "weights_sha256": SHA, "clip": clip, "T": GRID.t, "H": GRID.h, "W": GRID.w, "timestep": 1.0}
        place = {"layer": layer, "head": head, "pattern": name, "queries": GRID.tokens, "dtype": "float32", "backend": "f"}
        rows.append({name: float(generator.random()) for name in COLUMNS} | known | place)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def harm_rows(seed=1, clips=("a", "b")):
    generator = np.random.default_rng(seed)
    found = []
    for clip, layer, head, name in itertools.product(clips, range(2), range(3), NAMES):
        numbers = dict.fromkeys(("latent_mse", "latent_mse_rel", "pixel_mse"), float(generator.random()))
        place = {"layers": str(layer), "heads": str(head), "patterns": name}
        found.append(Harm(clip=clip, kind="head", **place, **numbers, psnr_to_dense=30.0, psnr_y_loss=None))
    return found


def timing(subject, p50, ratio, case="3x4x6"):
    known = {"what": "attention", "phase": "total", "case": case, "backend": "folded", "dtype": "float32", "device": "cpu"}
    rest = {"cache": "warm", "p20": p50, "p80": p50, "baseline": "global", "rounds": 5, "peak_mib": None, "frames": 0}
    return Timing(subject=subject, p50=p50, ratio=ratio, **known, **rest)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    head_rows().to_csv(tmp_path / "heads.csv", index=False)
    harms.write(tmp_path / "harms.csv", harm_rows(), {"weights_sha256": SHA, "grid": [3, 4, 6]})
    rows = [timing("global", 0.3, 1.0), timing("frame", 0.2, 0.5), timing("window-2x2", 0.1, 0.8)]
    timings.write(tmp_path / "latency.csv", rows, {"heads": 3})
    return tmp_path


def test_a_table_from_harm_and_seconds_minimises_them(folder, capsys):
    given = ["route", str(folder / "heads.csv"), "--rule", "budget:ratio=0.7"]
    assert main([*given, "--harms", str(folder / "harms.csv"), "--latency", str(folder / "latency.csv")]) == 0
    said = capsys.readouterr().out
    table = RoutingTable.load(folder / "routing.json")
    assert table.probe["statistic"] == "latent_mse" and table.probe["harms_csv_sha256"] == files.sha256(folder / "harms.csv")
    assert table.probe["latency_csv_sha256"] == files.sha256(folder / "latency.csv") and table.weights_sha256 == SHA
    mean = harms.of_heads(harm_rows(), "latent_mse", ("a", "b"), SHAPE, NAMES).mean(axis=0)
    cost = np.array([0.1, 0.05, 0.08])  # the ratio counts, not the median that drifted

    def loss_of(chosen):
        return sum(mean[divmod(head, 3)][pattern - 1] for head, pattern in enumerate(chosen) if pattern)

    allowed = [c for c in itertools.product(range(3), repeat=6) if cost[list(c)].sum() <= 0.7 * 0.6 + 1e-12]
    best = min(allowed, key=loss_of)
    numbers = {"G": 0, "F": 1, "W": 2}
    assert [numbers[letter] for letter in "".join(table.layers)] == list(best)
    assert f"total latent_mse  {loss_of(best):.6g}" in said
    assert table.rule["attention_seconds_ratio"] == pytest.approx(cost[list(best)].sum() / 0.6, rel=1e-6)
    assert f"attention time   {table.rule['attention_seconds_ratio']:.4f} of dense" in said


def change_rows(leave_out=()):
    generator = np.random.default_rng(2)
    return [
        Change(clip=clip, layer=layer, head=head, pattern=name, out_change=0.1, write_change=float(generator.random()))
        for clip, layer, head, name in itertools.product(("a", "b"), range(2), range(3), NAMES)
        if (layer, head) not in leave_out
    ]


def test_a_table_from_what_heads_write_minimises_its_mean_over_clips(folder, capsys):
    harms.write_changes(folder / "changes.csv", change_rows(), {"weights_sha256": SHA, "grid": [3, 4, 6]})
    given = ["route", str(folder / "heads.csv"), "--changes", str(folder / "changes.csv")]
    assert main([*given, "--rule", "threshold:tau=0.4"]) == 0
    assert "total write_change" in capsys.readouterr().out
    table = RoutingTable.load(folder / "routing.json")
    assert table.probe["statistic"] == "write_change"
    assert table.probe["changes_csv_sha256"] == files.sha256(folder / "changes.csv")
    for layer, head in np.ndindex(2, 3):
        means = {
            name: np.mean([r.write_change for r in change_rows() if (r.layer, r.head, r.pattern) == (layer, head, name)])
            for name in NAMES
        }
        chosen = table.layer_patterns(layer)[head].name
        assert means.get(chosen, 0) < 0.4
        assert chosen != "global" or min(means.values()) >= 0.4
    assert main([*given, "--rule", "threshold:tau=0.4", "--harms", str(folder / "harms.csv")]) == 2
    assert "allowed: one of them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("about", "left_out", "message"),
    [
        ({"weights_sha256": "f" * 64, "grid": [3, 4, 6]}, (), "its weights_sha256 is f"),
        ({"weights_sha256": SHA, "grid": [3, 4, 5]}, (), r"its grid is \[3, 4, 5\]"),
        ({"weights_sha256": SHA, "grid": [3, 4, 6]}, ((1, 2),), "layer 1, head 2, pattern frame is missing"),
    ],
)
def test_changes_that_do_not_fit_are_refused(folder, capsys, about, left_out, message):
    harms.write_changes(folder / "changes.csv", change_rows(left_out), about)
    given = ["route", str(folder / "heads.csv"), "--rule", "budget:ratio=0.7", "--changes", str(folder / "changes.csv")]
    assert main(given) == 2
    assert re.search(message, capsys.readouterr().err) and not (folder / "routing.json").exists()


def test_other_kinds_of_rows_do_not_count_and_rows_come_back(folder):
    rows, about = harms.read(folder / "harms.csv")
    assert rows == harm_rows() and about["kind"] == "harms"
    pair = dataclasses.replace(rows[0], kind="pair", layers="0,1", heads="0,1", patterns="frame,frame", latent_mse=1e9)
    infinite = dataclasses.replace(pair, kind="layer", layers="0", heads="all", patterns="frame", psnr_to_dense=float("inf"))
    harms.write(folder / "harms.csv", [*rows, pair, infinite], about)
    assert harms.read(folder / "harms.csv")[0] == [*rows, pair, infinite]
    before = harms.of_heads(rows, "latent_mse", ("a", "b"), SHAPE, NAMES)
    assert np.array_equal(harms.of_heads([*rows, pair, infinite], "latent_mse", ("a", "b"), SHAPE, NAMES), before)
    change = Change(clip="a", layer=1, head=2, pattern="frame", out_change=0.25, write_change=0.5)
    harms.write_changes(folder / "changes.csv", [change], {"weights_sha256": SHA})
    assert harms.read_changes(folder / "changes.csv")[0] == [change]
    with pytest.raises(ValueError, match="columns are"):
        harms.read(folder / "changes.csv")


def refused(folder, change, message):
    change(folder)
    known = losses.of_heads(decide.read_heads(folder / "heads.csv"), "kl_mean", "sha")
    with pytest.raises(ValueError, match=message):
        losses.in_seconds(losses.of_harms(known, folder / "harms.csv", "latent_mse"), folder / "latency.csv")


@pytest.mark.parametrize(
    ("about", "rows", "message"),
    [
        ({"weights_sha256": "cd" * 32}, harm_rows(), "harms.csv: its weights_sha256 is cd"),
        ({"grid": [3, 4, 5]}, harm_rows(), r"its grid is \[3, 4, 5\], that of the head statistics \[3, 4, 6\]"),
        ({}, harm_rows()[:-1], "clip b, layer 1, head 2, pattern window-2x2 is missing"),
        ({}, [*harm_rows(), harm_rows()[0]], "layer 0, head 0, pattern frame is there twice"),
    ],
)
def test_harms_that_do_not_fit_are_refused(folder, about, rows, message):
    refused(
        folder,
        lambda at: harms.write(at / "harms.csv", rows, {"weights_sha256": SHA, "grid": [3, 4, 6], **about}),
        message,
    )


@pytest.mark.parametrize(
    ("about", "rows", "message"),
    [
        ({}, [timing("global", 1.0, 1.0)], "fingerprint says heads None"),
        ({"heads": 3}, [timing("global", 1.0, 1.0)], "no attention timing of frame at the grid 3x4x6"),
        ({"heads": 3}, [timing(n, 1.0, 1.0, "9x9x9") for n in ("global", *NAMES)], "no attention timing of global"),
    ],
)
def test_seconds_that_do_not_fit_are_refused(folder, about, rows, message):
    refused(folder, lambda at: timings.write(at / "latency.csv", rows, about), message)


def test_a_harm_without_ground_truth_cannot_be_minimised_by_quality(folder, capsys):
    given = ["route", str(folder / "heads.csv"), "--rule", "budget:ratio=0.5", "--harms", str(folder / "harms.csv")]
    assert main([*given, "--statistic", "psnr_y_loss"]) == 2
    assert "has no value (a clip without ground truth)" in capsys.readouterr().err
    assert main([*given, "--statistic", "kl_mean"]) == 2
    assert "allowed: latent_mse, latent_mse_rel, pixel_mse, psnr_y_loss" in capsys.readouterr().err
    assert main([*given[:-2], "--rule", "all", "--latency", str(folder / "latency.csv")]) == 2
    assert "no meaning with --rule all" in capsys.readouterr().err
