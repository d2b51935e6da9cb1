import json
from pathlib import Path
from typing import Any

import pytest

from oasis.train import stages
from oasis.train.presets import PRESETS


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_what_is_written_is_read_again(tmp_path: Path, preset: Any) -> None:
    for plan in (preset.stages, preset.routed):
        stages.write(tmp_path / "stages.json", plan)
        assert stages.read(tmp_path / "stages.json") == plan


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"losses": {"vgg": 1.0}}, "stage 1: field 'losses' has 'vgg'; allowed: latent, pixel"),
        ({"losses": {}}, "stage 1: field 'losses' is empty"),
        ({"losses": {"pixel": -1}}, "the weight of 'pixel' is -1; allowed: a number above 0"),
        ({"learning_rate": 30}, "stage 1: field 'learning_rate' is 30; allowed: above 0, at most 0.1"),
        ({"learning_rate": 0}, "field 'learning_rate' is 0; allowed"),
        ({"steps": 0}, "field 'steps' is 0; allowed: a whole number of at least 1"),
        ({"steps": 2.5}, "field 'steps' is 2.5; allowed"),
        ({"accumulate": 3}, "field 'accumulate' is 3; it must divide the batch of 8 crops"),
        ({"trains": "everything"}, "field 'trains' is 'everything'; allowed: decoder, transformer, all"),
        ({"trains": "decoder", "losses": {"latent": 1.0}}, "the decoder writes no latents, so it has no loss 'latent'"),
        ({"sizes": []}, "field 'sizes' is empty"),
        ({"sizes": 3}, "field 'sizes' must be a list, got 3"),
        ({"sizes": [{"batch": 16, "frames": 8, "height": 96, "width": 96}]}, "8 frames of 96x96 pixels; allowed: 4k"),
        ({"sizes": [{"batch": 16, "frames": 9, "height": 96, "width": 90}]}, "9 frames of 90x96 pixels; allowed: 4k"),
        ({"sizes": [{"batch": "16", "frames": 9, "height": 96, "width": 96}]}, "batch is '16'; allowed"),
        ({"name": "pixel"}, "field 'name' is 'pixel', as before"),
        ({"name": "<b>"}, "field 'name' is '<b>'; allowed: letters, digits and hyphens"),
        ({"momentum": 0.9}, "must be an object with exactly the fields accumulate, learning_rate"),
    ],
)
def test_stages_that_do_not_fit_are_refused_by_name(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "stages.json"
    stages.write(path, PRESETS["tiny"].stages)
    data = json.loads(path.read_text())
    data[1].update(change)
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"stages\.json: stage 1: ") as caught:
        stages.read(path)
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["", "{}", "[]", "[3]", "[{}]"])
def test_files_that_hold_no_stages_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(ValueError, match=r"s\.json: "):
        stages.read(tmp_path / "s.json")
