import math
from pathlib import Path

import board_rows
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from oasis.report.board import rows, statistics

VALUES = st.lists(st.floats(20, 40).map(lambda one: round(one, 1)), min_size=3, max_size=3)
BOARDS = st.dictionaries(st.sampled_from("abcdef"), VALUES, min_size=2)


def scores(root: Path) -> pd.DataFrame:
    return rows.load(root / "results", root / "methods").scores


def test_means_and_intervals_by_hand(tmp_path: Path) -> None:
    values = [30.0, 31.0, 33.0, 30.5, 29.0, 35.0, 31.5, 32.0]
    found = statistics.summary(scores(board_rows.board(tmp_path, {"one": values}))).iloc[0]
    assert (found["n_ok"], found["n_expected"], found["complete"], found["unit"]) == (8, 8, True, "dB")
    assert found["mean"] == pytest.approx(np.mean(values))
    assert found["low"] < found["mean"] < found["high"]
    assert list(found.index) == statistics.SUMMARY


@given(st.integers(0, 7), st.booleans())
@settings(max_examples=10, deadline=None)
def test_a_clip_without_a_value_takes_the_mean_away(tmp_path_factory: pytest.TempPathFactory, clip: int, failed: bool) -> None:
    root = board_rows.board(tmp_path_factory.mktemp("board"), {"whole": [30.0] * 8})
    board_rows.card(root, "partial")
    found = board_rows.of_values("partial", [None if failed and one == clip else 50.0 for one in range(8)])
    board_rows.scores(root, "partial.csv", [row for row in found if failed or row.clip != board_rows.CLIPS[clip]])
    summary = statistics.summary(scores(root)).set_index("method")
    partial, whole = summary.loc["partial"], summary.loc["whole"]
    assert (partial["n_ok"], partial["n_expected"], partial["complete"]) == (7, 8, False)
    assert math.isnan(partial["mean"]) and math.isnan(partial["low"]) and pd.isna(partial["rank"])
    assert (whole["mean"], whole["rank"]) == (30, 1)
    pair = statistics.comparisons(scores(root)).iloc[0]
    assert (pair["n"], pair["better"]) == (7, "neither")
    assert math.isnan(pair["p"]) and math.isnan(pair["difference"])


def test_a_card_says_how_many_clips_there_are(tmp_path: Path) -> None:
    board_rows.card(tmp_path, "one")
    board_rows.scores(tmp_path, "a.csv", [board_rows.score(dataset="reds4", clip=clip) for clip in ("000", "011", "015")])
    found = statistics.summary(scores(tmp_path)).iloc[0]
    assert (found["n_ok"], found["n_expected"]) == (3, 4)
    assert math.isnan(found["mean"])


@given(BOARDS)
@settings(max_examples=25, deadline=None)
def test_ranks_are_competition_ranks_and_lie_in_their_intervals(
    tmp_path_factory: pytest.TempPathFactory, board: dict[str, list[float]]
) -> None:
    found = statistics.summary(scores(board_rows.board(tmp_path_factory.mktemp("board"), board)))
    assert (found["rank_low"] <= found["rank"]).all() and (found["rank"] <= found["rank_high"]).all()
    assert (found["rank_low"] >= 1).all() and (found["rank_high"] <= len(board)).all()
    means = {name: round(float(np.mean(values)), 6) for name, values in board.items()}
    for row in found.to_dict("records"):
        assert row["rank"] == 1 + sum(one > means[row["method"]] for one in means.values())


@pytest.mark.parametrize(
    ("measure", "best"), [("psnr@y", "high"), ("lpips@alex", "low"), ("ewarp_excess@dis-full-occ-x1000", "zero")]
)
def test_the_direction_is_the_measures(tmp_path: Path, measure: str, best: str) -> None:
    values = {"low": [0.01] * 8, "high": [0.9] * 8, "zero": [0.0, 0.001] * 4}
    if best == "zero":
        values |= {"cancels": [-0.5, 0.5] * 4}
    elif best == "low":
        values.pop("zero")
    root = board_rows.board(tmp_path, values, measure=measure)
    summary = statistics.summary(scores(root)).set_index("method")
    assert summary["rank"].idxmin() == best
    found = statistics.comparisons(scores(root))
    wins = {row[f"method_{row['better']}"] for row in found.to_dict("records") if row["better"] != "neither"}
    assert best in wins
    if best == "zero":
        assert summary.loc["cancels", "mean"] == 0 and summary.loc["cancels", "rank"] == 3


def test_rows_of_another_reference_have_a_mean_but_no_rank_and_no_comparison(tmp_path: Path) -> None:
    root = board_rows.board(tmp_path, {"one": [30.0, 31.0], "two": [30.0, 32.0]})
    board_rows.card(root, "odd")
    board_rows.scores(root, "odd.csv", board_rows.of_values("odd", [50.0, 51.0], reference_sha256="c" * 64))
    summary = statistics.summary(scores(root)).set_index("method")
    assert summary.loc["odd", "mean"] == 50.5 and pd.isna(summary.loc["odd", "rank"])
    assert summary.loc["odd", "apart"] == "other reference"
    assert summary.loc[["one", "two"], "rank"].tolist() == [2, 1]
    pairs = statistics.comparisons(scores(root))
    assert pairs["p"].notna().tolist() == [
        bool({"one", "two"} == {a, b}) for a, b in pairs[["method_a", "method_b"]].to_numpy()
    ]


def test_kinds_are_ranked_apart_and_compared_with_one_another(tmp_path: Path) -> None:
    root = board_rows.board(tmp_path, {"one": [30.0, 31.0]})
    board_rows.scores(root, "theirs.csv", board_rows.of_values("one", [30.5, 31.5]), kind="others")
    summary = statistics.summary(scores(root))
    assert summary["rank"].tolist() == [1, 1]
    (pair,) = statistics.comparisons(scores(root)).to_dict("records")
    assert (pair["method_a"], pair["method_b"]) == ("one", "one")
    assert {pair["kind_a"], pair["kind_b"]} == set(rows.KINDS.values())


def test_infinite_values_are_ranked_without_interval(tmp_path: Path) -> None:
    root = board_rows.board(tmp_path, {"equal": [math.inf, 40.0], "near": [50.0, 40.0]})
    summary = statistics.summary(scores(root)).set_index("method")
    assert summary.loc["equal", "mean"] == math.inf and math.isnan(summary.loc["equal", "low"])
    assert summary["rank"].to_dict() == {"equal": 1, "near": 2}
    pair = statistics.comparisons(scores(root)).iloc[0]
    assert math.isnan(pair["difference"]) and pair["p"] == 1


def test_one_clip_has_no_interval_and_no_uncertainty_of_rank(tmp_path: Path) -> None:
    summary = statistics.summary(scores(board_rows.board(tmp_path, {"one": [30.0], "two": [31.0]})))
    assert summary[["low", "high", "rank_low", "rank_high"]].isna().all(axis=None)
    assert summary["rank"].tolist() == [1, 2]


def test_pairs_are_those_of_plain_code(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    base = generator.normal(30, 3, 8)
    board = {
        name: (base + gain + generator.normal(0, 0.2, 8)).tolist() for name, gain in zip("abcd", (0, 0.1, 0.5, 3), strict=True)
    }
    found = statistics.comparisons(scores(board_rows.board(tmp_path, board)))
    assert list(found.columns) == statistics.COMPARISONS
    assert len(found) == 6
    for row in found.to_dict("records"):
        differences = np.subtract(board[row["method_a"]], board[row["method_b"]])
        assert row["difference"] == pytest.approx(differences.mean())
        assert row["p"] == pytest.approx(stats.wilcoxon(differences).pvalue)
        theirs = stats.bootstrap((differences,), np.mean, method="percentile", rng=0).confidence_interval
        width = theirs.high - theirs.low
        assert (row["low"], row["high"]) == (
            pytest.approx(theirs.low, abs=width / 15),
            pytest.approx(theirs.high, abs=width / 15),
        )
        assert row["n"] == 8
    order = found.sort_values("p")
    assert order["p_holm"].is_monotonic_increasing
    assert order["p_holm"].iloc[0] == pytest.approx(6 * order["p"].iloc[0])


def test_a_mean_that_one_clip_turns_round_shows_no_winner(tmp_path: Path) -> None:
    board = {"steady": [30.0 + clip / 100 for clip in range(8)], "lucky": [29.0 - clip / 50 for clip in range(7)] + [95.0]}
    (pair,) = statistics.comparisons(scores(board_rows.board(tmp_path, board))).to_dict("records")
    assert pair["difference"] > 0  # lucky - steady, though steady wins 7 of 8 clips
    assert pair["better"] == "neither"


def test_no_scores_give_empty_tables(tmp_path: Path) -> None:
    found = scores(board_rows.board(tmp_path, {}))
    assert list(statistics.summary(found).columns) == statistics.SUMMARY and statistics.summary(found).empty
    assert list(statistics.comparisons(found).columns) == statistics.COMPARISONS and statistics.comparisons(found).empty
