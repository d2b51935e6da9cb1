"""Tables held against each other: by hand, by exhaustive search, and as a page that says what its rows say."""

import itertools
from pathlib import Path

import head_tables
import numpy as np
import pandas as pd
import pytest
from head_tables import GRID, drawn, write
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from oasis import decide, stability
from oasis.cli import main
from oasis.cost import uniform_kl
from oasis.grid import Grid
from oasis.heads import read_heads
from oasis.report.chapters import read_chapter
from oasis.routing import GLOBAL, parse_pattern
from oasis.rules import Choices
from oasis.stability import compared, enough, findings, tables, transfer
from oasis.stability.resampled import Request, Resampled
from oasis.stability.routed import Front, changed, regret


def resampled(paths: dict[str, Path], *, rule: str = "budget:ratio=0.5", statistic: str = "kl_mean") -> list[Resampled]:
    request = Request(statistic=statistic, rule=decide.parse_rule(rule), resamples=60, seed=0)
    return [Resampled(table=table, request=request) for table in tables.read(paths)]


def value(pairs: pd.DataFrame, measure: str, pattern: str = "", a: str = "a", b: str = "b") -> pd.Series:
    found = pairs[(pairs["measure"] == measure) & (pairs["pattern"] == pattern) & (pairs["a"] == a) & (pairs["b"] == b)]
    assert len(found) == 1
    return found.iloc[0]


def test_a_table_is_what_rules_see(tmp_path: Path) -> None:
    path = write(tmp_path / "heads.csv", drawn(0, 5))
    (table,) = tables.read({"a": path})
    for statistic in decide.STATISTICS:
        choices = Choices.of(read_heads(path), statistic)
        assert np.array_equal(table.loss[statistic], choices.loss)
        equal = table.means(statistic, np.full((1, 5), 1 / 5))[0]
        assert np.allclose(equal, choices.loss, rtol=1e-12)
    assert table.patterns == choices.patterns and np.array_equal(table.pairs, choices.pairs)


def test_measures_between_tables_are_those_of_their_means(tmp_path: Path) -> None:
    first, second = drawn(1, 6), drawn(2, 4)
    paths = {"a": write(tmp_path / "a" / "heads.csv", first), "b": write(tmp_path / "b" / "heads.csv", second)}
    pairs = compared.pairs(resampled(paths))
    one, other = (kl.mean(axis=0).reshape(-1, 2).T for kl in (first, second))
    for number, pattern in enumerate(head_tables.PATTERNS):
        wanted = {
            "spearman": stats.spearmanr(one[number], other[number]).statistic,
            "kendall": stats.kendalltau(one[number], other[number]).statistic,
            "difference": np.abs(one[number] - other[number]).mean(),
        }
        for measure, number_ in wanted.items():
            row = value(pairs, measure, pattern)
            assert row["value"] == pytest.approx(number_, rel=1e-6)
            assert row["low"] <= row["value"] <= row["high"]
    row = value(pairs, "changed")
    assert (row["clips_a"], row["clips_b"], row["clips_shared"]) == (6, 4, 4)
    rule = decide.parse_rule("budget:ratio=0.5")
    letters = ["".join(decide.decide(read_heads(path), rule, heads_csv_sha256="").layers) for path in paths.values()]
    assert row["value"] == sum(a != b for a, b in zip(*letters, strict=True)) / len(letters[0])


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=8))
def test_the_changed_share_counts_heads(both: list[tuple[int, int]]) -> None:
    one, other = np.array(both).T
    assert changed(one, other) == sum(a != b for a, b in both) / len(both)


def test_the_changed_share_by_hand(tmp_path: Path) -> None:
    # One head each that frame, window and neither keep whole; threshold 0.5 takes the cheapest pattern below.
    kl = np.array([[0.1, 9.0], [9.0, 0.1], [9.0, 9.0], [0.1, 0.1]]).reshape(1, 2, 2, 2)
    other = kl.copy()
    other[0, 0, 0] = [9.0, 0.1]  # frame becomes window
    other[0, 1, 0] = [0.1, 9.0]  # global becomes frame
    paths = {name: write(tmp_path / name / "heads.csv", np.repeat(each, 3, axis=0)) for name, each in (("a", kl), ("b", other))}
    found = resampled(paths, rule="threshold:tau=0.5")
    assert value(compared.pairs(found), "changed")["value"] == 0.5
    rows = compared.choices(found, found[0])
    assert rows["pattern"].tolist() == [
        *("frame", "window-8x8", "global", "window-8x8"),
        *("window-8x8", "window-8x8", "frame", "window-8x8"),
    ]
    assert rows["same"].tolist() == [1, 1, 1, 1, 0, 1, 0, 1]
    assert (rows["kept"] == 1).all()  # all clips are equal


small = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).integers(0, 5, (2, 4, 3)) / 4)


@given(small, st.sampled_from([0.2, 0.35, 0.5, 0.8, 1.0]))
def test_regret_is_against_the_best_of_every_choice(losses: np.ndarray, ratio: float) -> None:
    losses[..., 0] = 0
    pairs = np.array([12, 4, 2])
    patterns = (GLOBAL, *map(parse_pattern, head_tables.PATTERNS))
    one, other = (Choices(patterns=patterns, pairs=pairs, loss=loss[None]) for loss in losses)
    chosen = decide.Rule(name="budget", parameters={"ratio": ratio}).choose(one).ravel()
    lost, share = regret(chosen, losses[1], pairs, Front.of(other))
    every = [np.array(each) for each in itertools.product(range(3), repeat=4)]
    best = min(losses[1][np.arange(4), each].sum() for each in every if pairs[each].sum() <= pairs[chosen].sum())
    random = np.mean([losses[1][np.arange(4), chosen[list(order)]].sum() for order in itertools.permutations(range(4))])
    assert lost == pytest.approx(losses[1][np.arange(4), chosen].sum() - best)
    assert lost >= 0 and share == pytest.approx(lost / (random - best) if lost else 0)


def test_a_table_loses_nothing_against_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "heads.csv", drawn(4, 6))
    pairs = compared.pairs(resampled({"a": path, "b": path}))
    for measure in ("regret", "regret_share", "changed"):
        assert value(pairs, measure)[["value", "low", "high"]].tolist() == [0, 0, 0]
    assert value(pairs, "kappa")[["value", "low", "high"]].tolist() == [1, 1, 1]
    assert (pairs.loc[pairs["measure"].isin(["regret", "regret_share"]), ["value", "low", "high"]] >= 0).all(axis=None)
    assert value(pairs, "spearman", "frame")["low"] == pytest.approx(1)
    assert value(pairs, "changed-chance")["value"] > 0


def test_other_clips_of_the_same_heads_change_no_more_than_chance(tmp_path: Path) -> None:
    both = drawn(5, 16, layers=4, heads=6)
    paths = {
        "a": write(tmp_path / "a" / "heads.csv", both[:8], [f"a-{n}" for n in range(8)]),
        "b": write(tmp_path / "b" / "heads.csv", both[8:], [f"b-{n}" for n in range(8)]),
        "c": write(tmp_path / "c" / "heads.csv", drawn(6, 8, layers=4, heads=6), [f"c-{n}" for n in range(8)]),
    }
    pairs = compared.pairs(resampled(paths))
    assert value(pairs, "changed")["value"] <= value(pairs, "changed-chance")["high"]
    assert value(pairs, "changed", b="c")["low"] > value(pairs, "changed-chance", b="c")["high"]
    assert value(pairs, "spearman", "frame")["high"] > 0.95 > value(pairs, "spearman", "frame", b="c")["high"]


def test_the_curve_against_plain_subsets(tmp_path: Path) -> None:
    kl = drawn(7, 5)
    (table,) = tables.read({"a": write(tmp_path / "heads.csv", kl)})
    request = Request(statistic="kl_mean", rule=decide.parse_rule("budget:ratio=0.5"), resamples=60, seed=0)
    curve = enough.curve(table, request).set_index(["against", "clips", "pattern", "measure"])
    parts = [*itertools.combinations(range(5), 2), tuple(range(5))]
    means = {part: kl[list(part)].mean(axis=0).reshape(-1, 2)[:, 0] for part in parts}
    whole = [stats.spearmanr(each, means[0, 1, 2, 3, 4]).statistic for part, each in means.items() if len(part) == 2]
    apart = [
        stats.spearmanr(means[one], means[other]).statistic
        for one, other in itertools.permutations([part for part in means if len(part) == 2], 2)
        if not set(one) & set(other)
    ]
    for against, wanted in (("all", whole), ("others", apart)):
        row = curve.loc[(against, 2, "frame", "spearman")]
        assert row["draws"] == len(wanted)
        assert row["mean"] == pytest.approx(np.mean(wanted))
        assert [row["low"], row["high"]] == pytest.approx(np.quantile(wanted, [0.025, 0.975]))
    assert set(curve.loc["others"].index.get_level_values("clips")) == {1, 2}
    assert set(curve.loc["all"].index.get_level_values("clips")) == {1, 2, 3, 4}
    assert (curve.xs("regret_share", level="measure")["low"] >= 0).all()


def test_drawn_subsets_are_disjoint_where_they_must_be() -> None:
    drawn_parts = enough._disjoint(14, 6, 0)
    assert len(drawn_parts) == enough.DRAWS
    assert all(len(set(one) | set(other)) == 12 for one, other in drawn_parts)
    assert all(len(set(part)) == 6 for part in enough._parts(14, 6, 0))


def test_clips_needed_by_hand() -> None:
    # Two sets of 4 agree at 0.5, so of 8 at 2/3 and of 16 at 0.8.
    assert enough.needed(0.5, 4, 0.8) == pytest.approx(16)
    assert enough.needed(0.0, 4, 0.8) == np.inf


def test_what_is_a_share_of_uniform_carries_over_to_another_grid(tmp_path: Path) -> None:
    large = Grid(5, 24, 40)
    share = drawn(8, 6, noise=0.05) / 2
    scales = [np.array([uniform_kl(parse_pattern(name), grid) for name in head_tables.PATTERNS]) for grid in (GRID, large)]
    paths = {
        "a": write(tmp_path / "a" / "heads.csv", share * scales[0]),
        "b": write(tmp_path / "b" / "heads.csv", share * scales[1], grid=large),
    }
    a, b = resampled(paths)
    rows = transfer.carried([a, b], a).set_index(["pattern", "statistic", "measure"])
    for pattern in ("all", *head_tables.PATTERNS):
        assert rows.loc[(pattern, "kl_rel", "error"), "value"] == pytest.approx(0, abs=1e-9)
        assert rows.loc[(pattern, "kl_rel", "slope"), "value"] == pytest.approx(1)
        assert rows.loc[(pattern, "kl_mean - kl_rel", "error"), "low"] > 0.1
    for number, pattern in enumerate(head_tables.PATTERNS):
        assert rows.loc[(pattern, "kl_mean", "slope"), "value"] == pytest.approx(scales[1][number] / scales[0][number])
        assert rows.loc[(pattern, "kl_mean - kl_rel", "spearman"), "value"] == pytest.approx(0)
    assert transfer.carried([a], a).empty


def test_a_pattern_that_holds_the_whole_grid_is_left_out(tmp_path: Path) -> None:
    kl = drawn(9, 4)
    kl[..., 0] = 0
    paths = {
        "a": write(tmp_path / "a" / "heads.csv", drawn(9, 4)),
        "b": write(tmp_path / "b" / "heads.csv", kl, grid=Grid(1, 16, 24)),
    }
    a, b = resampled(paths, rule="budget:ratio=0.9")
    assert set(transfer.carried([a, b], a)["pattern"]) == {"window-8x8", "all"}
    assert np.isnan(value(compared.pairs([a, b]), "spearman", "frame")["value"])
    stability.write(paths, tmp_path / "out", rule="budget:ratio=0.9", resamples=40)


def test_order_of_rows_changes_nothing_and_equal_tables_give_equal_bytes(tmp_path: Path) -> None:
    paths = {"x/a": write(tmp_path / "a.csv", drawn(10, 5)), "y/b": write(tmp_path / "b.csv", drawn(11, 5))}
    shuffled = {name: tmp_path / f"shuffled-{path.name}" for name, path in paths.items()}
    for name, path in paths.items():
        pd.read_csv(path).sample(frac=1, random_state=3).to_csv(shuffled[name], index=False)
    for number in range(2):
        stability.write(paths, tmp_path / f"out-{number}", resamples=40)
    names = sorted(path.name for path in (tmp_path / "out-0").iterdir())
    assert {"intervals.csv", "changed.csv", "enough.csv", "pairs.csv", "chapter.json", "index.html", "against.svg"} <= set(
        names
    )
    for name in names:
        assert (tmp_path / "out-0" / name).read_bytes() == (tmp_path / "out-1" / name).read_bytes(), name
    first, second = (compared.pairs(resampled(each)) for each in (paths, shuffled))
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_the_command_writes_a_chapter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "small" / "heads.csv", drawn(12, 6))
    write(tmp_path / "large" / "heads.csv", drawn(12, 6), grid=Grid(5, 24, 40))
    out = tmp_path / "out"
    texts = [str(tmp_path / "small" / "heads.csv"), f"other/<b>={tmp_path / 'large' / 'heads.csv'}"]
    options = ["--out", str(out), "--resamples", "40", "--reference", "small", "--statistic", "kl_rel"]
    assert main(["stability", *texts, *options]) == 0
    assert capsys.readouterr().out.strip() == str(out / "index.html")
    chapter = read_chapter(out)
    assert chapter.record["reference"] == "small" and chapter.record["statistic"] == "kl_rel"
    assert set(chapter.record["tables"]) == {"small", "other/<b>"}
    pairs = pd.read_csv(out / "pairs.csv")
    worst = pairs[pairs["measure"] == "spearman"]["value"].min()
    ranked = next(finding for finding in chapter.findings if "rank the heads alike" in finding.text)
    assert f"{worst:.2f} (" in ranked.text
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "<b>=" not in page and "other/&lt;b&gt;" in page
    for picture in chapter.pictures:
        assert (out / f"{picture.name}.png").exists() and (out / f"{picture.name}.svg").exists()


def test_one_table_has_intervals_and_the_curve(tmp_path: Path) -> None:
    path = write(tmp_path / "one" / "heads.csv", drawn(13, 4))
    assert main(["stability", str(path), "--out", str(tmp_path / "out"), "--resamples", "40"]) == 0
    assert {path.name for path in (tmp_path / "out").glob("*.csv")} == {"intervals.csv", "changed.csv", "enough.csv"}


def test_a_run_beside_the_table_says_whether_weights_are_trained(tmp_path: Path) -> None:
    path = write(tmp_path / "one" / "heads.csv", drawn(13, 4))
    stability.write({"one": path}, tmp_path / "out", resamples=40)
    assert read_chapter(tmp_path / "out").trained
    path.with_name("run.json").write_text('{"trained": false}', encoding="utf-8")
    stability.write({"one": path}, tmp_path / "out", resamples=40)
    assert not read_chapter(tmp_path / "out").trained


def test_few_clips_have_no_intervals_and_say_so(tmp_path: Path) -> None:
    paths = {name: write(tmp_path / name, drawn(clips, clips)) for clips, name in enumerate(("a", "b"), start=1)}
    stability.write(paths, tmp_path / "out", resamples=40)
    assert pd.read_csv(tmp_path / "out" / "intervals.csv")[["low", "high"]].isna().all(axis=None)
    chapter = read_chapter(tmp_path / "out")
    assert "a has 1 clip" in chapter.findings[0].text and chapter.findings[0].verdict == "limit"
    assert any("no interval" in finding.text for finding in chapter.findings)


def test_parts_of_the_reference_are_held_against_each_other(tmp_path: Path) -> None:
    kl = drawn(14, 6)
    names = [f"clip-{number}" for number in range(6)]
    found = resampled(
        {
            "all": write(tmp_path / "all", kl),
            "content/first": write(tmp_path / "first", kl[:3], names[:3]),
            "content/second": write(tmp_path / "second", kl[3:], names[3:]),
        }
    )
    ranked, *_ = findings.between(compared.pairs(found), found, found[0])
    assert "(content/first and content/second, " in ranked.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kl": drawn(0, 3, layers=2)}, "table 'b' has 2 layers of 4 heads, 'a' has 3 of 4"),
        (
            {"kl": drawn(0, 3, patterns=1), "patterns": ("frame",)},
            "table 'b' has the patterns frame, 'a' has frame, window-8x8",
        ),
        ({"kl": drawn(0, 3), "patterns": ("frame", "window-4x4")}, "only tables of equal patterns"),
        ({"kl": drawn(0, 3), "grid": Grid(2, 8, 8)}, "table 'b': budget ratio 0.4 is out of reach"),
    ],
)
def test_tables_that_do_not_fit_are_named(tmp_path: Path, capsys, change: dict, message: str) -> None:
    first = write(tmp_path / "a.csv", drawn(0, 3))
    second = write(tmp_path / "b.csv", **change)
    out = tmp_path / "out"
    assert main(["stability", f"a={first}", f"b={second}", "--out", str(out), "--rule", "budget:ratio=0.4"]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a={}", "a={}"], "is there twice"),
        (["={}"], "is empty"),
        (["a={}", "--reference", "c"], "reference 'c' is none of the tables; allowed: a"),
        (["a={}", "--statistic", "entropy_mean"], "statistic 'entropy_mean' is unknown"),
        (["a={}", "--rule", "budget"], "needs the parameter"),
        (["a={}", "--resamples", "3"], "resamples is 3; allowed"),
        (["a={}", "--seed", "-1"], "seed is -1; allowed"),
        (["a=nothing.csv"], "nothing.csv"),
    ],
)
def test_requests_that_do_not_fit_are_refused(tmp_path: Path, capsys, arguments: list[str], message: str) -> None:
    path = write(tmp_path / "heads.csv", drawn(0, 3))
    filled = [text.format(path) for text in arguments]
    assert main(["stability", *filled, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
