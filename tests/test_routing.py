"""Patterns and routing tables: names and JSON come back as they went, and what does not fit is refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oasis.routing import FRAME, GLOBAL, Pattern, RoutingTable, parse_pattern, window

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
PATTERNS = st.one_of(
    st.just(GLOBAL),
    st.just(FRAME),
    st.builds(lambda size, shift: window(*size, shift=shift), SIZES, st.booleans()),
    st.builds(lambda frames: Pattern(kind="neighbour", frames=frames), st.integers(0, 9)),
    st.builds(lambda radius: Pattern(kind="sliding", radius=radius), st.tuples(st.integers(0, 9), st.integers(0, 9))),
)
JSON = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(), st.lists(st.text(), max_size=2))


@st.composite
def tables(draw):
    letters = draw(st.lists(st.sampled_from("GFWXYZabc"), min_size=1, max_size=4, unique=True))
    heads = draw(st.integers(1, 5))
    row = st.text(st.sampled_from(letters), min_size=heads, max_size=heads)
    return RoutingTable(
        model=draw(st.text()),
        weights_sha256=draw(st.text("0123456789abcdef", max_size=64)),
        patterns={letter: draw(PATTERNS) for letter in letters},
        layers=tuple(draw(st.lists(row, min_size=1, max_size=4))),
        rule=draw(st.dictionaries(st.text(), JSON, max_size=2)),
        probe=draw(st.dictionaries(st.text(), JSON, max_size=2)),
        made_with=draw(st.dictionaries(st.text(), st.text(), max_size=2)),
    )


def small():
    return {
        "format": 1,
        "model": "m",
        "weights_sha256": "0",
        "patterns": {"G": {"kind": "global"}, "W": {"kind": "window", "size": [8, 8]}},
        "layers": ["GW", "WW"],
        "rule": {},
        "probe": {},
        "made_with": {},
    }


@settings(max_examples=50, deadline=None)
@given(PATTERNS)
def test_pattern_comes_back_from_its_name_and_its_json(pattern):
    assert parse_pattern(pattern.name) == pattern
    assert Pattern.from_json(json.loads(json.dumps(pattern.to_json()))) == pattern


@settings(max_examples=50, deadline=None)
@given(table=tables())
def test_table_comes_back_from_its_file(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("table") / "routing.json"
    table.save(path)
    assert RoutingTable.load(path) == table
    first = path.read_bytes()
    RoutingTable.load(path).save(path)
    assert path.read_bytes() == first


def test_file_has_one_line_for_each_layer_and_pattern(tmp_path):
    path = tmp_path / "routing.json"
    RoutingTable.from_json(small()).save(path)
    lines = path.read_text().splitlines()
    assert '    "GW",' in lines
    assert '    "W": {"kind": "window", "size": [8, 8]}' in lines


def test_table_answers_by_layer():
    table = RoutingTable.from_json(small())
    assert table.heads == 2
    assert table.layer_patterns(0) == (GLOBAL, window(8, 8))
    assert table.counts() == {"G": 1, "W": 3}


def test_shift_is_half_a_cell():
    assert window(8, 5, shift=True).shifts == (4, 2)
    assert window(8, 5).shifts == (0, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "field 'format' is 2; allowed: 1"),
        ({"format": True}, "field 'format' is True; allowed: 1"),
        ({"format": None}, "field 'format' is None; allowed: 1"),
        ({"model": 5}, "field 'model' must be of type str, got 5"),
        ({"layers": "GW"}, "field 'layers' must be of type list, got 'GW'"),
        ({"layers": []}, "at least one layer"),
        ({"layers": [""]}, "layer 0 has 0 heads"),
        ({"layers": ["GW", "W"]}, "layer 1 has 1 heads, layer 0 has 2"),
        ({"layers": ["GW", "WQ"]}, "layer 1 names pattern 'Q'; allowed: G, W"),
        ({"layers": ["GW", 7]}, "'layers' must hold one string per layer"),
        ({"extra": 1}, "unknown field 'extra'; allowed: format, model"),
        ({"patterns": {"GG": {"kind": "global"}}}, "a pattern's key must be one letter, got 'GG'"),
        ({"patterns": ["G"]}, "field 'patterns' must be of type Mapping"),
        ({"patterns": {"G": "global"}}, "a pattern must be an object with a 'kind', got 'global'"),
        ({"patterns": {"G": {"kind": "local"}}}, "pattern kind 'local' is unknown; allowed: global, frame"),
        ({"patterns": {"G": {"kind": "frame", "size": [8, 8]}}}, "'frame' takes no 'size'"),
        ({"patterns": {"G": {"kind": "frame", "shift": True}}}, "'frame' takes no 'shift'"),
        ({"patterns": {"G": {"kind": "window"}}}, "'window' needs 'size'"),
        ({"patterns": {"G": {"kind": "window", "size": [8]}}}, r"'size' must be 2 whole number\(s\) of at least 1, got \(8,\)"),
        ({"patterns": {"G": {"kind": "window", "size": [8, 0]}}}, "'size' must be 2 whole"),
        ({"patterns": {"G": {"kind": "window", "size": [8, 1.5]}}}, "'size' must be 2 whole"),
        ({"patterns": {"G": {"kind": "window", "size": [True, 8]}}}, "'size' must be 2 whole"),
        ({"patterns": {"G": {"kind": "window", "size": 8}}}, "'size' must be 2 whole"),
        ({"patterns": {"G": {"kind": "window", "size": [8, 8], "shift": 1}}}, "'shift' must be true or false, got 1"),
        ({"patterns": {"G": {"kind": "neighbour", "frames": -1}}}, "'frames' must be 1 whole"),
        ({"patterns": {"G": {"kind": "neighbour", "frames": [1]}}}, "'frames' must be 1 whole"),
        ({"patterns": {"G": {"kind": "global", "colour": 1}}}, r"unknown fields \['colour'\]"),
        ({"rule": []}, "field 'rule' must be of type Mapping"),
        ({"probe": None}, "field 'probe' must be of type Mapping"),
    ],
)
def test_malformed_table_is_refused_with_its_file(tmp_path, change, message):
    path = tmp_path / "routing.json"
    path.write_text(json.dumps({**small(), **change}))
    with pytest.raises(ValueError, match=message) as caught:
        RoutingTable.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["format", "model", "patterns", "layers", "made_with"])
def test_missing_field_is_named(field):
    data = small()
    del data[field]
    with pytest.raises(ValueError, match=f"field '{field}'"):
        RoutingTable.from_json(data)


@pytest.mark.parametrize("content", [b"", b"{", b"GFW", b"\xff\xfe\x00", b"[1, 2]", b"null"])
def test_what_is_no_table_is_refused(tmp_path, content):
    path = tmp_path / "routing.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"routing.json: (not a JSON file|a routing table must be a JSON object)"):
        RoutingTable.load(path)


@pytest.mark.parametrize(
    "name", ["", "Global", "window", "window-8", "window-8x8-shifted", "neighbour-", "sliding-2x2", "frame-1"]
)
def test_unknown_pattern_name_lists_the_known(name):
    with pytest.raises(ValueError, match="is unknown; allowed: global, frame, window-AxC"):
        parse_pattern(name)


def test_window_of_no_tokens_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        parse_pattern("window-0x8")
