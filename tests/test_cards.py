"""Dataset cards: those that ship agree with themselves and with the code; a damaged one is refused by the field."""

import copy
import dataclasses
import inspect
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from oasis import cards
from oasis.cards import DatasetCard, Size
from oasis.data import builtin

FOLDER = Path(__file__).parents[1] / "datasets"
NAMES = ["builtin", "builtin-test", "mvsr4x", "realvsr", "reds4", "spmcs", "udm10", "vid4", "videolq", "youhq40"]
LITTLE: dict[str, Any] = {
    "name": "little",
    "title": "Little",
    "aliases": ["tiny set"],
    "task": "synthetic",
    "has_gt": True,
    "scale": 4,
    "clips": {"names": ["a", "b"], "count": 2, "frames": {"a": 3, "b": 4}, "total_frames": 7},
    "frame_name": "{:04d}.png",
    "hr_size": "32x16",
    "lr_size": {"a": "8x4", "b": "8x4"},
    "layouts": [{"used_by": "nobody", "gt": ["GT/{clip}"], "lq": ["LQ/{clip}", "LQ-Video/{clip}"], "note": "a note"}],
    "lq_recipe": "bicubic",
    "source": "here",
    "licence": "none",
    "protocol_classic": {"psnr": "RGB"},
    "anchors": [{"method": "bicubic", "measure": "psnr@rgb", "value": 30.5, "source": "here"}],
    "traps": ["a trap"],
    "sha256": {"a.zip": "0" * 64},
    "uncertain": ["licence", "hr_size"],
}


def store(folder: Path, data: Any) -> Path:
    path = folder / "card.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def changed(keys: list[Any], value: Any) -> dict[str, Any]:
    data = copy.deepcopy(LITTLE)
    inner = data
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return data


def leaves(value: Any, keys: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if keys:
        yield keys
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from leaves(item, (*keys, key))


def spoken(keys: tuple[Any, ...]) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")


@pytest.fixture(params=NAMES)
def card(request: pytest.FixtureRequest) -> DatasetCard:
    return cards.load(request.param)


def test_every_card_is_here_and_called_as_its_file() -> None:
    assert cards.names() == NAMES
    assert [cards.load(name).name for name in NAMES] == NAMES


def test_no_name_leads_to_two_cards() -> None:
    called = [spelling.lower() for name in NAMES for spelling in (name, *cards.load(name).aliases)]
    assert len(called) == len(set(called))


@pytest.mark.parametrize("name", ["SPMCS30", "spmcs30", "SPMCS", "spmcs", FOLDER / "spmcs.yaml", str(FOLDER / "spmcs.yaml")])
def test_a_name_an_alias_or_a_path(name: str | Path) -> None:
    assert cards.load(name) == cards.load("spmcs")


def test_cards_need_no_torch() -> None:
    code = "import sys; from oasis import cards; cards.describe(cards.load('udm10')); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=FOLDER.parent)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_what_the_cards_say_of_their_clips() -> None:
    found = {name: cards.load(name).clips for name in NAMES}
    counts = dict(builtin=12, mvsr4x=15, realvsr=50, reds4=4, spmcs=30, udm10=10, vid4=4, videolq=50, youhq40=40)
    counts["builtin-test"] = 4
    totals = dict(builtin=204, mvsr4x=1500, realvsr=2500, reds4=400, spmcs=930, udm10=320, vid4=171, videolq=4771, youhq40=1280)
    totals["builtin-test"] = 68
    assert {name: clips.count for name, clips in found.items()} == counts
    assert {name: clips.total_frames for name, clips in found.items()} == totals
    assert found["reds4"].names == ("000", "011", "015", "020")
    assert found["vid4"].frames == {"calendar": 41, "city": 34, "foliage": 49, "walk": 47}
    assert (found["vid4"].lengths("walk"), found["vid4"].lengths("run")) == ((47,), ())
    assert found["videolq"].names == tuple(f"{number:03d}" for number in range(50))


def test_videolq_is_46_long_clips_and_vid4() -> None:
    videolq, vid4 = cards.load("videolq").clips, cards.load("vid4").clips
    assert vid4.total_frames is not None and isinstance(vid4.frames, dict)
    assert videolq.total_frames == 46 * 100 + vid4.total_frames
    assert videolq.lengths("000") == tuple(sorted({*vid4.frames.values(), 100}))


def test_the_card_of_the_builtin_clips_says_what_the_code_does() -> None:
    card = cards.load("builtin")
    drawn = {name: parameter.default for name, parameter in inspect.signature(builtin.make).parameters.items()}
    assert card.clips.names == tuple(builtin.names())
    assert card.clips.frames == (drawn["frames"],)
    assert card.hr_size == Size(drawn["width"], drawn["height"])
    cuts = [name for name, spec in builtin.CLIPS.items() if spec.motion == "cut"]
    assert f"{' and '.join(cuts)} change the scene at frame {drawn['frames'] // 2};" in card.traps[2]
    assert all(name in card.traps[0] for name in builtin.names("test"))
    assert not any(name in card.traps[0] for name in builtin.names("train"))


def test_the_card_of_the_held_out_clips_holds_those_and_no_others() -> None:
    card, whole = cards.load("builtin-test"), cards.load("builtin")
    assert card.clips.names == tuple(builtin.names("test"))
    assert (card.clips.frames, card.hr_size, card.lr_size, card.lq_recipe) == (
        *(whole.clips.frames, whole.hr_size, whole.lr_size, whole.lq_recipe),
    )
    cuts = [name for name in builtin.names("test") if builtin.CLIPS[name].motion == "cut"]
    assert any(trap.startswith(f"{' and '.join(cuts)} changes the scene at frame 8;") for trap in card.traps)


def test_sizes_and_layouts_of_our_cards(card: DatasetCard) -> None:
    assert card.has_gt == (card.name != "videolq")
    assert card.scale == (1 if card.task == "real-paired" else 4)
    assert card.hr_size is not None or not card.has_gt
    assert any(layout.lq for layout in card.layouts)
    assert any(layout.gt for layout in card.layouts) == card.has_gt
    assert card.sha256 == {}  # none is published


def test_facts_are_those_of_the_survey(shared: Any) -> None:
    survey = yaml.safe_load(shared("protocol/datasets.yaml").read_text(encoding="utf-8"))
    names = dict(reds4="REDS4", udm10="UDM10", realvsr="RealVSR", mvsr4x="MVSR4x", vid4="Vid4")
    for name, there in names.items():
        card, fact = cards.load(name), survey[there]
        assert card.clips.names is not None and sorted(card.clips.names) == sorted(fact["clip_names"])
        assert card.clips.frames == fact["frames_per_clip"] or card.clips.frames == (fact["frames_per_clip"],)
    for name, there in dict(names, spmcs="SPMCS", youhq40="YouHQ40", videolq="VideoLQ").items():
        card, fact = cards.load(name), survey[there]
        assert (card.task, card.has_gt, card.clips.count) == (fact["task"], fact["has_gt"], fact["n_clips"])
        for field, key in (("hr_size", "resolution_hr"), ("lr_size", "resolution_lr"), ("licence", "licence")):
            said = fact.get(key)
            unverified = fact.get(f"{key}_unverified", isinstance(said, dict) and said["unverified"])
            assert unverified == (field in card.uncertain), (name, field)
            value, size = said["value"] if isinstance(said, dict) else said, getattr(card, field)
            assert not isinstance(size, Size) or str(size) == value or value.startswith("same as HR"), (name, field)


def test_anchors_are_those_of_the_survey(shared: Any) -> None:
    survey = yaml.safe_load(shared("protocol/datasets.yaml").read_text(encoding="utf-8"))
    there = {"BasicVSR++": "BasicVSRpp", "IconVSR": "IconVSR", "BasicVSR": "BasicVSR", "EDVR-L": "EDVR_L_basicsr"}
    for anchor in cards.load("reds4").anchors:
        psnr, ssim = survey["REDS4"]["anchors"][there[anchor.method]]
        assert anchor.value == {"psnr@rgb": psnr, "ssim@rgb": ssim}[anchor.measure]
    videolq = {anchor.measure: anchor.value for anchor in cards.load("videolq").anchors}
    for measure, value in survey["VideoLQ"]["anchors"]["RealBasicVSR"].items():
        assert videolq[f"{measure} (MATLAB, Y, 3 frames)"] == value


def test_the_text_says_everything(card: DatasetCard) -> None:
    text = cards.describe(card)
    assert text.startswith(f"{card.title} ({card.name})\n")
    assert max(map(len, text.splitlines())) <= 110
    words = " ".join(text.split())
    for said in (card.lq_recipe, card.source, card.licence, *card.traps, *(card.clips.names or ())):
        assert " ".join(said.split()) in words
    for layout in card.layouts:
        assert all(place in words for place in (*layout.gt, *layout.lq))
    for field in dataclasses.fields(card):
        label = field.name.replace("_", " ")
        assert (f"\n  {label} (unconfirmed):" in text) == (field.name in card.uncertain)


def test_the_table_has_a_row_for_each_card() -> None:
    rows = {row["name"]: row for row in cards.table()}
    assert list(rows) == NAMES
    assert len({tuple(row) for row in rows.values()}) == 1
    assert (rows["reds4"]["size"], rows["reds4"]["frames"], rows["reds4"]["scale"]) == ("1280x720", "100", "x4")
    assert (rows["realvsr"]["size"], rows["realvsr"]["licence"][-1]) == ("1024x512?", "?")
    assert (rows["vid4"]["frames"], rows["videolq"]["ground truth"], rows["videolq"]["frames"]) == ("34-49", "no", "34-100?")


def test_a_card_of_ones_own(tmp_path: Path) -> None:
    card = cards.load(store(tmp_path, LITTLE))
    assert card.size("lr_size", "b") == Size(8, 4) and str(card.size("hr_size", "a")) == "32x16"
    assert card.layouts[0].lq == ("LQ/{clip}", "LQ-Video/{clip}")
    assert card.anchors[0].value == 30.5
    cards.describe(card)


def test_lengths_may_be_unknown(tmp_path: Path) -> None:
    clips = {"names": "from the folder", "count": 5, "frames": None, "total_frames": None}
    data = {**LITTLE, "clips": clips, "scale": None, "hr_size": None, "lr_size": None, "frame_name": None}
    card = cards.load(store(tmp_path, data))
    assert (card.clips.names, card.clips.lengths("x"), card.size("hr_size", "x")) == (None, (), None)


NAMED = 'a name of its own without / and \\, quoted where it looks like a number ("000")'
PLACE = 'a list of places such as "GT/{clip}", relative to the folder of the set, where {clip} is one whole part'
REFUSED = [
    (["task"], "video", "field 'task' is 'video'; allowed: synthetic, real-paired, real-no-gt, built-in, own"),
    (["name"], "Little", "field 'name' is 'Little'; allowed: lower-case letters, digits, - and _"),
    (["title"], " ", "field 'title' is ' '; allowed: a text"),
    (["aliases"], "x", "field 'aliases' is 'x'; allowed: a list"),
    (["has_gt"], 1, "field 'has_gt' is 1; allowed: true or false"),
    (["has_gt"], False, "field 'has_gt' is False; allowed: true for the task 'synthetic'"),
    (["scale"], 0, "field 'scale' is 0; allowed: a whole number of at least 1"),
    (["scale"], True, "field 'scale' is True; allowed: a whole number of at least 1"),
    (["scale"], 2, "field 'lr_size' is {'a': '8x4', 'b': '8x4'}; allowed: hr_size 32x16 divided by scale 2"),
    (["clips", "names", 0], 11, f"field 'clips.names[0]' is 11; allowed: {NAMED}"),
    (["clips", "names", 0], "../a", f"field 'clips.names[0]' is '../a'; allowed: {NAMED}"),
    (["clips", "names", 1], "a", f"field 'clips.names[1]' is 'a'; allowed: {NAMED}"),
    (["clips", "names"], "all", "field 'clips.names' is 'all'; allowed: a list of names, or 'from the folder'"),
    (["clips", "count"], 3, "field 'clips.count' is 3; allowed: 2, the number of names"),
    (["clips", "frames", "a"], 0, "field 'clips.frames.a' is 0; allowed: a whole number of at least 1"),
    (["clips", "frames", "c"], 1, "field 'clips.frames.c' is not known; allowed: a, b"),
    (["clips", "frames"], "x", "field 'clips.frames' is 'x'; allowed: a whole number, a list of those that occur, a mapping "),
    (["clips", "total_frames"], 8, "field 'clips.total_frames' is 8; allowed: 7, the sum of the clips' frames"),
    (
        ["frame_name"],
        "0001.png",
        "field 'frame_name' is '0001.png'; allowed: the name of a frame such as \"{:08d}.png\", or null",
    ),
    (["hr_size"], [32, 16], "field 'hr_size' is [32, 16]; allowed: a width and a height such as 1280x720, or null"),
    (["hr_size"], "0x16", "field 'hr_size' is '0x16'; allowed: a width and a height such as 1280x720, or null"),
    (["layouts", 0, "gt", 0], "GT", f"field 'layouts[0].gt[0]' is 'GT'; allowed: {PLACE}"),
    (["layouts", 0, "gt", 0], "/GT/{clip}", f"field 'layouts[0].gt[0]' is '/GT/{{clip}}'; allowed: {PLACE}"),
    (["layouts", 0, "gt", 0], "../{clip}", f"field 'layouts[0].gt[0]' is '../{{clip}}'; allowed: {PLACE}"),
    (["layouts", 0, "gt", 0], "x{clip}", f"field 'layouts[0].gt[0]' is 'x{{clip}}'; allowed: {PLACE}"),
    (
        ["layouts", 0, "names"],
        ["c", "d"],
        "field 'layouts[0].names' is ['c', 'd']; allowed: 2 names, where clips have names and ",
    ),
    (["layouts", 0, "with_others"], "no", "field 'layouts[0].with_others' is 'no'; allowed: true or false"),
    (["anchors", 0, "value"], math.nan, "field 'anchors[0].value' is nan; allowed: a number"),
    (["anchors", 0, "unit"], "dB", "field 'anchors[0].unit' is not known; allowed: method, measure, value, source"),
    (["protocol_classic"], {1: "x"}, "field 'protocol_classic' is {1: 'x'}; allowed: a mapping from texts"),
    (["protocol_classic", "crop_border"], 0, "field 'protocol_classic.crop_border' is 0; allowed: a text"),
    (["sha256", "a.zip"], "0" * 63, "; allowed: 64 hexadecimal digits in lower case"),
    (["uncertain", 0], "licenses", "field 'uncertain[0]' is 'licenses'; allowed: one of title, aliases, task, "),
    (["colour"], "RGB", "field 'colour' is not known; allowed: name, title, aliases, task, "),
]


@pytest.mark.parametrize(("keys", "value", "sentence"), REFUSED)
def test_what_does_not_fit_is_named(tmp_path: Path, keys: list[Any], value: Any, sentence: str) -> None:
    path = store(tmp_path, changed(keys, value))
    with pytest.raises(ValueError) as caught:
        cards.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert sentence in str(caught.value)


def test_sizes_of_clips_without_names(tmp_path: Path) -> None:
    clips = {"names": "from the folder", "count": 2, "frames": 3, "total_frames": 6}
    with pytest.raises(ValueError, match=r"field 'lr_size' is .* allowed: no mapping, as the names of the clips are not known"):
        cards.load(store(tmp_path, {**LITTLE, "clips": clips}))


@pytest.mark.parametrize(("field", "allowed"), [("hr_size", "null"), ("layouts", "places for lq only")])
def test_what_has_no_ground_truth_says_nothing_of_it(tmp_path: Path, field: str, allowed: str) -> None:
    data = {**LITTLE, "task": "real-no-gt", "has_gt": False, "hr_size": None, "layouts": [], field: LITTLE[field]}
    with pytest.raises(ValueError, match=f"field '{field}' is .* allowed: {allowed}, as there is no ground truth"):
        cards.load(store(tmp_path, data))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"name: a\nname: b\n", "the key 'name' is there twice"),
        (b"clips: {frames: {a: 1, a: 2}}", "the key 'a' is there twice"),
        (b"name: [", "not a YAML text file"),
        (b"name: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        (b"name: 2020-99-99", "month must be in 1..12"),
        (b"\xff\xfe\x00", "not a YAML text file"),
        (b"? [a]\n: b", "not a YAML text file"),
        (b"[" * 1000, "not a YAML text file"),
        (b"", "the whole card is None; allowed: a mapping"),
        (b"- a", "the whole card is ['a']; allowed: a mapping"),
        (b"000: a", "the whole card is {0: 'a'}; allowed: a mapping from texts"),
    ],
)
def test_what_is_no_card(tmp_path: Path, text: bytes, reason: str) -> None:
    path = tmp_path / "card.yml"
    path.write_bytes(text)
    with pytest.raises(ValueError) as caught:
        cards.load(path)
    assert str(caught.value).startswith(f"{path}: ") and reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"no data set 'REDS'; allowed: builtin, builtin-test, .*youhq40, or the path of a \.yaml file"
    ):
        cards.load("REDS")
    with pytest.raises(FileNotFoundError):
        cards.load(tmp_path / "nowhere.yaml")


def test_an_installation_without_cards_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "__file__", str(tmp_path / "oasis" / "cards" / "__init__.py"))
    with pytest.raises(FileNotFoundError, match="the installation is not complete"):
        cards.names()
    packed = tmp_path / "oasis" / "assets" / "cards"
    packed.mkdir(parents=True)
    (packed / "reds4.yaml").write_bytes((FOLDER / "reds4.yaml").read_bytes())
    assert cards.names() == ["reds4"]
    assert cards.load("reds4").clips.count == 4


@settings(max_examples=50)
@given(keys=st.sampled_from(sorted((keys for keys in leaves(LITTLE) if isinstance(keys[-1], str)), key=str)))
def test_every_field_is_needed(tmp_path_factory: pytest.TempPathFactory, keys: tuple[Any, ...]) -> None:
    optional = keys[-1] == "note" or (keys[0] in ("protocol_classic", "sha256") and len(keys) > 1)
    data = copy.deepcopy(LITTLE)
    inner = data
    for key in keys[:-1]:
        inner = inner[key]
    del inner[keys[-1]]
    path = store(tmp_path_factory.mktemp("cards"), data)
    if optional:
        cards.load(path)
    else:
        with pytest.raises(ValueError, match="is missing; needed: ") as caught:
            cards.load(path)
        assert f"{path}: field {spoken(keys)!r} is missing" in str(caught.value)


@settings(max_examples=60)
@given(
    keys=st.sampled_from(sorted(leaves(LITTLE), key=str)),
    value=st.sampled_from([-1, 2.5, True, "", "\n", ["x", 1], [[]], {"x": 1}, math.inf]),
)
def test_a_wrong_type_is_refused_by_its_field(
    tmp_path_factory: pytest.TempPathFactory, keys: tuple[Any, ...], value: Any
) -> None:
    path = store(tmp_path_factory.mktemp("cards"), changed(list(keys), value))
    if (keys, value) in [(("anchors", 0, "value"), -1), (("anchors", 0, "value"), 2.5)] or (
        keys == ("has_gt",) and value is True
    ):
        cards.load(path)
    else:
        with pytest.raises(ValueError) as caught:
            cards.load(path)
        assert str(caught.value).startswith(f"{path}: field '{spoken(keys[:1])}")
