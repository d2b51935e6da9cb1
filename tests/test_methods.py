from pathlib import Path

import pytest
import yaml

from oasis import methods

GOOD = {
    "name": "SeedVR2-3B",
    "title": "SeedVR2 (3B)",
    "venue": "arXiv 2025",
    "link": "https://arxiv.org/abs/2506.05301",
    "parameters": 3_391_500_000,
    "kind": "published",
    "ran_by": "its authors' code",
    "note": "",
}


def write(folder: Path, file: str = "card.yaml", **more: object) -> Path:
    (folder / file).write_text(yaml.safe_dump(GOOD | more), encoding="utf-8")
    return folder / file


def test_a_card_is_read(tmp_path: Path) -> None:
    card = methods.load(write(tmp_path))
    assert (card.name, card.parameters, card.kind) == ("SeedVR2-3B", 3_391_500_000, "published")
    assert methods.load(write(tmp_path, parameters=None)).parameters is None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"name": ""}, "field 'name' is ''; allowed: a text"),
        ({"title": 3}, "field 'title' is 3"),
        ({"parameters": "3B"}, "field 'parameters' is '3B'; allowed: a whole number"),
        ({"parameters": True}, "field 'parameters' is True"),
        ({"parameters": -1}, "field 'parameters' is -1"),
        ({"kind": "best"}, "field 'kind' is 'best'; allowed: ours, classic, published"),
        ({"link": "javascript:alert(1)"}, "field 'link' is 'javascript"),
        ({"colour": "red"}, "fields are .*colour"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, more: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        methods.load(write(tmp_path, "card.yaml", **more))
    assert "card.yaml" in str(error.value)


def test_one_name_is_one_card(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml")
    write(tmp_path, "b.yaml")
    with pytest.raises(ValueError, match=r"b\.yaml: field 'name' is 'SeedVR2-3B', which a.yaml has, too"):
        methods.load_all(tmp_path)


def test_text_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("name: [", encoding="utf-8")
    with pytest.raises(ValueError, match="not a YAML text file"):
        methods.load(tmp_path / "c.yaml")
