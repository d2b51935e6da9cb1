"""heads.csv in, routing.json out: what is refused, what is recorded, and the door."""

import itertools
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from oasis import files
from oasis.cost import attended_pairs
from oasis.decide import STATISTICS, Rule, compare, decide, front, parse_rule, random_like, total
from oasis.grid import Grid
from oasis.heads import COLUMNS, read_heads
from oasis.routing import RoutingTable, parse_pattern

DOOR = Path(__file__).parents[1] / "analysis" / "route_heads.py"
GRID = Grid(5, 13, 20)


def statistics(layers=3, heads=4, patterns=("frame", "window-8x8"), clips=("astronaut", "coffee"), grid=GRID, seed=0):
    """Head statistics with random losses, in the form of heads.csv."""
    generator = np.random.default_rng(seed)
    rows = []
    for clip, layer, head, name in itertools.product(clips, range(layers), range(heads), patterns):
        widest = math.log(grid.tokens**2 / attended_pairs(parse_pattern(name), grid))
        kl = widest * generator.random()
        values = {
            **{"model": "oasis-tiny", "weights_sha256": "ab" * 32, "clip": clip, "T": grid.t, "H": grid.h, "W": grid.w},
            **{"timestep": 999.0, "layer": layer, "head": head, "pattern": name},
            **{"kl_mean": kl, "kl_p50": 0.9 * kl, "kl_p95": 2 * kl, "kl_rel": kl / max(widest, 1), "mass_mean": 0.5},
            **{"out_err": 0.1 * kl, "entropy_mean": 3.0, "dist_t": 1.0, "dist_xy": 4.0, "self_mass": 0.01},
            **{"queries": grid.tokens, "dtype": "float32", "backend": "lse"},
        }
        rows.append(values)
    return pd.DataFrame(rows, columns=list(COLUMNS))


@pytest.fixture
def heads_csv(tmp_path):
    path = tmp_path / "heads.csv"
    statistics().to_csv(path, index=False)
    return path


def rewrite(path, change):
    """Apply `change` to the list of lists of fields."""
    rows = [line.split(",") for line in path.read_text().splitlines()]
    changed = change(rows) or rows
    path.write_text("\n".join(",".join(row) for row in changed) + "\n")


def put(line, name, text):
    def change(rows):
        rows[line - 1][COLUMNS.index(name)] = text

    return change


def test_read_gives_back_every_digit(heads_csv):
    pd.testing.assert_frame_equal(read_heads(heads_csv), statistics(), check_exact=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put(1, "timestep", "t"), "column 7 is 't', not 'timestep'; the columns are, in order: model, weights_sha256, clip"),
        (lambda rows: [row[:-1] for row in rows], "column 23 is None, not 'backend'"),
        (lambda rows: [[*row, "x"] for row in rows], "column 24 is 'x', not None"),
        (lambda rows: rows[:1], "there are no rows"),
        (lambda rows: rows[2].append("x"), "line 3 has 24 fields; allowed: 23"),
        (lambda rows: rows.insert(2, []), "line 3 has 0 fields; allowed: 23"),
        (put(4, "kl_mean", "nan"), "line 4, column 'kl_mean': 'nan' is not a finite number of at least 0"),
        (put(4, "kl_mean", "-0.5"), "line 4, column 'kl_mean': '-0.5' is not a finite number of at least 0"),
        (put(4, "out_err", "inf"), "line 4, column 'out_err': 'inf' is not a finite number"),
        (put(4, "dist_t", ""), "line 4, column 'dist_t': '' is not a finite number"),
        (put(5, "layer", "1.0"), "line 5, column 'layer': '1.0' is not a whole number of at least 0"),
        (put(5, "T", "0"), "line 5, column 'T': '0' is not a whole number of at least 1"),
        (put(5, "clip", " "), "line 5, column 'clip': ' ' is not a text of at least one character"),
        (put(5, "pattern", "global"), r"'pattern': 'global' is not frame, window-AxC\[-shift\], neighbour-K or"),
        (put(5, "pattern", "window"), "line 5, column 'pattern': 'window' is not frame"),
        (put(5, "pattern", "window-0x8"), "line 5, column 'pattern': 'window-0x8' is not frame"),
        (put(5, "model", "other"), "column 'model' holds oasis-tiny and other; allowed: one value per file"),
        (put(5, "weights_sha256", "cd"), "column 'weights_sha256' holds abab"),
        (put(5, "H", "14"), "column 'H' holds 13 and 14; allowed: one value per file"),
        (put(5, "dtype", "bfloat16"), "column 'dtype' holds float32 and bfloat16"),
        (lambda rows: rows.append(rows[-1]), "layer 2, head 3, pattern window-8x8, clip coffee is there twice"),
        (
            lambda rows: rows[:3] + rows[4:],
            "layer 0, head 1, pattern frame, clip astronaut is missing; every layer",
        ),
        (put(2, "layer", "7"), "layer 0, head 0, pattern frame, clip astronaut is missing"),
        (put(2, "clip", "rocket"), "is missing; every layer x head x pattern x clip must be there"),
    ],
)
def test_malformed_statistics_are_refused(heads_csv, change, message):
    rewrite(heads_csv, change)
    with pytest.raises(ValueError, match=message) as caught:
        read_heads(heads_csv)
    assert str(caught.value).startswith(f"{heads_csv}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\x00", b"\x89PNG\r\n"])
def test_what_is_no_table_is_refused(tmp_path, content):
    path = tmp_path / "heads.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"heads\.csv: (column 1 is|not a CSV text file)"):
        read_heads(path)


def test_nan_in_a_frame_is_refused():
    heads = statistics()
    heads.loc[5, "out_err"] = np.nan
    with pytest.raises(ValueError, match=r"column 'out_err' has no value \(NaN\) for layer 0, head 2, pattern window-8x8"):
        decide(heads, parse_rule("uniform:pattern=frame"), heads_csv_sha256="0")


ALL_RULES = (
    "threshold:tau=0.9",
    "quota:global=0.34,frame=0.33,window=0.33",
    "quota:global=0.25,frame=0.25,window-8x8=0.5,per_layer=true",
    "budget:ratio=0.45",
    "random:seed=1,global=4,frame=4,window=4",
    "uniform:pattern=window",
)


@pytest.mark.parametrize("text", ALL_RULES)
def test_the_order_of_rows_does_not_matter(text):
    heads = statistics(clips=("a", "b", "c"))
    shuffled = heads.sample(frac=1, random_state=3)
    rule = parse_rule(text)
    assert decide(heads, rule, heads_csv_sha256="0") == decide(shuffled, rule, heads_csv_sha256="0")


def test_the_order_of_rows_does_not_touch_the_last_digit():
    heads = statistics(layers=6, heads=6, clips=tuple("abcdefg"))
    shuffled = heads.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(front(heads), front(shuffled), check_exact=True)


@pytest.mark.parametrize("text", ALL_RULES)
def test_table_comes_back_from_its_file(tmp_path, text):
    table = decide(statistics(), parse_rule(text), heads_csv_sha256="0")
    path = tmp_path / "routing.json"
    table.save(path)
    assert RoutingTable.load(path) == table
    recorded = dict(table.rule)
    ratio = recorded.pop("attention_flops_ratio")
    again = decide(statistics(), Rule(name=recorded.pop("name"), parameters=recorded), heads_csv_sha256="0")
    assert again == table
    pairs = sum(attended_pairs(p, GRID) for layer in range(3) for p in table.layer_patterns(layer))
    assert ratio == pytest.approx(pairs / (12 * GRID.tokens**2), abs=1e-15)


def test_record_says_where_the_table_comes_from():
    table = decide(statistics(), parse_rule("budget:ratio=0.45"), heads_csv_sha256="cd" * 32, statistic="out_err")
    assert (table.model, table.weights_sha256) == ("oasis-tiny", "ab" * 32)
    assert table.rule["name"] == "budget"
    assert table.rule["ratio"] == 0.45
    assert 0 < table.rule["attention_flops_ratio"] <= 0.45
    assert table.probe == {
        "heads_csv_sha256": "cd" * 32,
        "clips": ["astronaut", "coffee"],
        "grid": [5, 13, 20],
        "dtype": "float32",
        "statistic": "out_err",
    }
    assert list(table.made_with) == ["oasis", "python", "pandas", "torch"]


def test_mean_over_clips_decides():
    heads = statistics(layers=1, heads=1, patterns=("frame",))
    heads["kl_mean"] = [0.2, 0.6]  # astronaut, coffee
    for tau, letters in ((0.41, "F"), (0.39, "G")):
        table = decide(heads, Rule(name="threshold", parameters={"tau": tau}), heads_csv_sha256="0")
        assert table.layers == (letters,)


def test_a_divergence_a_hair_below_zero_is_no_gain():
    # One frame: the pattern `frame` is global, and rounding must not make it look better.
    heads = statistics(patterns=("frame",), grid=Grid(1, 13, 20))
    heads["kl_mean"] = -1e-7
    for text in ("budget:ratio=1", "threshold:tau=0.5"):
        table = decide(heads, parse_rule(text), heads_csv_sha256="0")
        assert set(table.layers) == {"GGGG"}
        assert table.rule["attention_flops_ratio"] == 1


def test_letters():
    patterns = ("window-8x16", "sliding-r1x1", "neighbour-2", "frame", "window-8x8", "neighbour-1", "window-8x8-shift")
    table = decide(statistics(patterns=patterns), parse_rule("uniform:pattern=frame"), heads_csv_sha256="0")
    assert {letter: pattern.name for letter, pattern in table.patterns.items()} == {
        "G": "global",
        "F": "frame",
        "W": "window-8x8",
        "X": "window-8x8-shift",
        "Y": "window-8x16",
        "N": "neighbour-1",
        "Z": "neighbour-2",
        "S": "sliding-r1x1",
    }


def test_front_is_what_budget_reaches():
    heads = statistics()
    points = front(heads)
    assert points["attention_flops_ratio"].is_monotonic_increasing
    assert points["total"].is_monotonic_decreasing
    assert points.iloc[-1].to_list() == [1.0, 0.0]
    for ratio in (0.3, 0.45, 0.8):
        table = decide(heads, Rule(name="budget", parameters={"ratio": ratio}), heads_csv_sha256="0")
        reached = points[points["attention_flops_ratio"] <= ratio].iloc[-1]
        assert table.rule["attention_flops_ratio"] == reached["attention_flops_ratio"]
        assert total(heads, table) == pytest.approx(reached["total"], rel=1e-12)


def test_total_refuses_a_table_that_does_not_fit():
    table = decide(statistics(), parse_rule("uniform:pattern=frame"), heads_csv_sha256="0")
    with pytest.raises(ValueError, match="the table has 3 layers of 4 heads, the head statistics 2 of 4"):
        total(statistics(layers=2), table)
    assert total(statistics(), table) == pytest.approx(statistics().query("pattern == 'frame'")["kl_mean"].sum() / 2)


def test_random_like_has_the_numbers_of_the_other_table(tmp_path):
    heads = statistics()
    path = tmp_path / "routing.json"
    table = decide(heads, parse_rule("budget:ratio=0.45"), heads_csv_sha256="0")
    table.save(path)
    rule = parse_rule(f"random:seed=7,like={path}")
    assert rule == random_like(table, seed=7)
    control = decide(heads, rule, heads_csv_sha256="0")
    assert control.counts() == table.counts()
    assert control.layers != table.layers
    assert parse_rule(str(rule)) == rule


def test_compare_at_equal_cost():
    table = compare(statistics(layers=6, heads=6, clips=("a",))).set_index("rule")
    quota = table.iloc[2]
    assert table.index[0].startswith("budget:ratio=")
    assert quota["heads"] == [12, 12, 12]
    assert (table["attention_flops_ratio"].iloc[:2] <= quota["attention_flops_ratio"] + 1e-4).all()
    assert table["total"].iloc[0] == table["total"].iloc[:6].min()
    assert (table["attention_flops_ratio"].iloc[3:6] == quota["attention_flops_ratio"]).all()
    assert table.loc["uniform:pattern=global"].to_list() == [[36, 0, 0], 1.0, 0.0]


@pytest.mark.parametrize("text", [*ALL_RULES, "threshold:tau=1e-05"])
def test_rule_comes_back_from_its_text(text):
    assert str(parse_rule(text)) == text
    assert parse_rule(str(parse_rule(text))) == parse_rule(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "rule '' is unknown; allowed: threshold, quota, budget, greedy, random, random-within, uniform"),
        ("best", "rule 'best' is unknown"),
        ("budget", "rule 'budget' needs the parameter 'ratio'"),
        ("budget:", "rule 'budget' needs the parameter 'ratio'"),
        ("budget:ratio", "'ratio' must have the form name=value, each name once"),
        ("budget:ratio=", "'ratio=' must have the form name=value"),
        ("budget:ratio=0.5,ratio=0.4", "each name once"),
        ("budget:share=0.5", "rule 'budget' has no parameter 'share'; allowed: ratio"),
        ("budget:ratio=0", "'ratio' of rule 'budget' must be a number above 0 and at most 1, got 0"),
        ("budget:ratio=1.5", "above 0 and at most 1, got 1.5"),
        ("budget:ratio=nan", "above 0 and at most 1, got nan"),
        ("budget:ratio=half", "above 0 and at most 1, got 'half'"),
        ("budget:ratio=true", "above 0 and at most 1, got True"),
        ("threshold:tau=-1", "'tau' of rule 'threshold' must be a number of at least 0, got -1"),
        ("threshold:tau=inf", "at least 0, got inf"),
        ("threshold:frame=1", "has no parameter 'frame'; allowed: tau"),
        ("quota:PATTERN=1", "has no parameter 'PATTERN'; allowed: PATTERN, per_layer"),
        ("quota:global=1,per_layer=1", "'per_layer' of rule 'quota' must be true or false, got 1"),
        ("quota:global=-1", "'global' of rule 'quota' must be a number of at least 0"),
        ("quota:dense=1", "rule 'quota' has no parameter 'dense'; allowed: PATTERN, per_layer"),
        ("random:global=1", "rule 'random' needs the parameter 'seed'"),
        ("random:seed=0.5,global=1", "'seed' of rule 'random' must be a whole number of at least 0, got 0.5"),
        ("random:seed=0,global=1,like=x", "has no parameter 'like'"),
        ("uniform:pattern=8", "'pattern' of rule 'uniform' must be a pattern's name, got 8"),
    ],
)
def test_unknown_rules_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_rule(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "uniform:pattern=neighbour-1",
            "pattern 'neighbour-1' is not in the head statistics; allowed: global, frame, ",
        ),
        ("quota:global=0.9", "shares must add up to 1, or to the 12 heads, got 0.9"),
        ("random:seed=0,global=13", "shares must add up to 1, or to the 12 heads, got 13"),
        ("budget:ratio=0.05", "budget ratio 0.05 is out of reach; the lowest ratio of these patterns is 0."),
    ],
)
def test_rules_that_cannot_be_met(text, message):
    with pytest.raises(ValueError, match=message):
        decide(statistics(), parse_rule(text), heads_csv_sha256="0")


def test_unknown_statistic_lists_the_known():
    with pytest.raises(ValueError, match="statistic 'mass' is unknown; allowed: kl_mean, kl_p50"):
        decide(statistics(), parse_rule("uniform:pattern=frame"), heads_csv_sha256="0", statistic="mass")
    assert set(STATISTICS) <= set(COLUMNS)


def run_door(*arguments):
    return subprocess.run([sys.executable, DOOR, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_deciding_needs_no_torch(heads_csv):
    script = (
        "import sys; from oasis.decide import decide, parse_rule, read_heads; from pathlib import Path;"
        f"decide(read_heads(Path({str(heads_csv)!r})), parse_rule('budget:ratio=0.5'), heads_csv_sha256='0');"
        "sys.exit(','.join({'torch', 'diffusers', 'pyiqa', 'ray', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_door_writes_a_table(heads_csv, tmp_path):
    done = run_door(heads_csv, "--rule", "budget:ratio=0.45")
    assert (done.returncode, done.stderr) == (0, "")
    table = RoutingTable.load(tmp_path / "routing.json")
    assert table.probe["heads_csv_sha256"] == files.sha256(heads_csv)
    assert f"{table.rule['attention_flops_ratio']:.4f} of dense" in done.stdout
    assert f"{total(read_heads(heads_csv), table):.4f}" in done.stdout


def test_door_compares(heads_csv, tmp_path):
    done = run_door(heads_csv, "--rule", "all")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1 + 3 + 3 + 3
    assert list(tmp_path.iterdir()) == [heads_csv]


def test_door_refuses_in_one_sentence(heads_csv, tmp_path):
    for arguments, message in (
        ((heads_csv, "--rule", "best"), "error: rule 'best' is unknown; allowed: threshold, "),
        ((tmp_path / "none.csv", "--rule", "all"), f"error: {tmp_path / 'none.csv'}: No such file or directory"),
    ):
        done = run_door(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith(message)
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""
    assert list(tmp_path.iterdir()) == [heads_csv]
