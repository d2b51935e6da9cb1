import importlib.util
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from oasis.measures.dover import DOVER
from oasis.metrics import dover
from oasis.metrics.dover.network import Dover, published
from oasis.metrics.dover.swin import relative_position_index
from oasis.metrics.dover.views import draw
from oasis.metrics.frames import Frame
from oasis.metrics.meter import Setting, Unavailable

NAMES = tuple(measure.name for measure in DOVER)


class Stand(Dover):
    """Stands for the network: its maps depend on every pixel and its place."""

    def __init__(self, scale: float = 1.0) -> None:
        nn.Module.__init__(self)
        generator = torch.Generator().manual_seed(0)
        self.weights = scale * torch.randn((2, 3, 32, 224, 224), generator=generator)  # scores spread over 0..1
        self.passes: list[str] = []

    def technical(self, clip: Tensor) -> Tensor:
        self.passes.append("technical")
        return (self.weights[0] * clip).mean(0, keepdim=True)

    def aesthetic(self, clip: Tensor) -> Tensor:
        self.passes.append("aesthetic")
        return (self.weights[1] * clip).mean(0, keepdim=True)


@pytest.fixture(scope="module")
def stand() -> Stand:
    return Stand()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, stand: Stand) -> Stand:
    stand.passes.clear()
    monkeypatch.setattr("oasis.weights.find", lambda name: Path(f"{name}.pth"))
    monkeypatch.setattr(dover, "load", lambda path: stand)
    return stand


def clip(frames: int, height: int, width: int) -> list[Frame]:
    noise = np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
    return [Frame(frame) for frame in noise]


def scores(shown: list[Frame], names: tuple[str, ...] = NAMES, **changes: Any) -> dict[str, float]:
    height, width, _ = shown[0].rgb.shape
    setting = Setting(**{"clip": "calendar", "frames": len(shown), "height": height, "width": width} | changes)
    meter = dover.make(names, setting)
    for frame in shown:
        meter.add(frame, None)
    return {name: result.value for name, result in meter.result().items()}


@pytest.mark.parametrize(("frames", "height", "width"), [(1, 240, 330), (31, 40, 50), (32, 64, 48), (70, 225, 240)])
def test_frames_one_by_one_give_what_the_whole_clip_gives(
    here: Stand, monkeypatch: pytest.MonkeyPatch, frames: int, height: int, width: int
) -> None:
    monkeypatch.setattr(dover, "seeds", lambda clip: (7, 8))
    whole = clip(frames, height, width)
    expected: dict[str, list[float]] = {name: [] for name in NAMES}
    for seed in (7, 8):
        maps: dict[str, list[Tensor]] = {"technical": [], "aesthetic": []}
        for view in draw(frames, height, width, seed):
            shown = {number: view.of(whole[number].rgb) for number in set(view.frames)}
            pictures = np.stack([shown[number] for number in view.frames]).transpose(3, 0, 1, 2)
            maps[view.branch].append(getattr(here, view.branch)(torch.from_numpy(pictures)))
        raw = {branch: torch.stack(each).mean().item() for branch, each in maps.items()}
        for name in NAMES:
            expected[name].append(dover.score(name, raw))
    assert scores(whole) == pytest.approx({name: statistics.fmean(each) for name, each in expected.items()}, abs=1e-6)


def test_draws_are_five_follow_the_clips_name_and_leave_other_random_numbers_alone(here: Stand) -> None:
    whole = clip(2, 240, 330)
    torch.manual_seed(0)
    np.random.seed(0)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, again, other = scores(whole), scores(whole), scores(whole, clip="city")
    assert first == again
    assert first["dover@technical"] != other["dover@technical"]
    assert len(set(dover.seeds("calendar"))) == 5
    assert all("mean over 5 draws" in measure.what for measure in DOVER)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])


def test_networks_run_in_full_float32(here: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # torch's default, which would move scores on a GPU
    seen = []
    for branch in ("technical", "aesthetic"):
        monkeypatch.setattr(here, branch, lambda clip: seen.append(torch.backends.cudnn.allow_tf32) or clip.float())
    scores(clip(2, 40, 40))
    assert seen and not any(seen)


def test_equal_views_and_branches_nobody_asked_for_are_not_computed(here: Stand) -> None:
    scores(clip(2, 240, 330))
    assert sorted(here.passes) == ["aesthetic"] + ["technical"] * 15
    here.passes.clear()
    scores(clip(2, 240, 330), names=("dover@aesthetic",))
    assert here.passes == ["aesthetic"]


def test_fusion_equals_the_authors(shared: Callable[[str], Path]) -> None:
    for row in json.loads(shared("golden/dover/fusion.json").read_text())["rows"]:
        raw = {"technical": row["technical_raw"], "aesthetic": row["aesthetic_raw"]}
        assert dover.score("dover@fused", raw) == pytest.approx(row["one_video"], abs=1e-14)
        assert dover.score("dover@fused", raw) == pytest.approx(row["set"]["overall"], abs=1e-14)
        assert dover.score("dover@technical", raw) == pytest.approx(row["set"]["technical"], abs=1e-14)
        assert dover.score("dover@aesthetic", raw) == pytest.approx(row["set"]["aesthetic"], abs=1e-14)


def test_without_weights_it_says_what_would_help(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OASIS_WEIGHTS", str(tmp_path))
    with pytest.raises(Unavailable, match=r"DOVER\.pth .* get (it|them) from https://"):
        scores(clip(1, 32, 32))


def test_missing_frames_and_numbers_that_are_none_are_refused(here: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="calendar: 2 frames came, 3 were announced"):
        scores(clip(2, 40, 40), frames=3)
    monkeypatch.setattr(dover, "load", lambda path: Stand(scale=float("nan")))
    with pytest.raises(ValueError, match="calendar: DOVER's technical branch gives nan"):
        scores(clip(2, 40, 40))


def test_the_published_network_scores_a_clip_as_the_authors_do(
    shared: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shared("golden/dover/full_size")
    config = json.loads((folder / "config.json").read_text())
    torch.save(recipe_weights(shared("golden/recipe.py"), config["seed"]), tmp_path / "DOVER.pth")
    monkeypatch.setattr("oasis.weights.find", lambda name: tmp_path / "DOVER.pth")
    monkeypatch.setattr(dover, "seeds", lambda clip: (config["np_random_seed"],))
    maps: dict[str, list[Tensor]] = {"technical": [], "aesthetic": []}
    for branch in maps:
        monkeypatch.setattr(Dover, branch, recording(getattr(Dover, branch), maps[branch]))
    found = scores(formula_video(**{name: config["video"][name] for name in ("frames", "H", "W")}))
    expected = load_file(folder / "outputs.safetensors")
    assert [len(each) for each in maps.values()] == [3, 1]
    torch.testing.assert_close(torch.stack(maps["technical"]), expected["technical_score_map"], atol=1e-4, rtol=0)
    torch.testing.assert_close(
        torch.stack(maps["aesthetic"]), expected["aesthetic_score_map_antialias_false"], atol=1e-4, rtol=0
    )
    official = config["scores_antialias_false"]
    assert torch.stack(maps["technical"]).mean().item() == pytest.approx(official["technical_raw"], abs=2e-5)
    assert torch.stack(maps["aesthetic"]).mean().item() == pytest.approx(official["aesthetic_raw"], abs=2e-5)
    for name, key in (("fused", "overall"), ("technical", "technical"), ("aesthetic", "aesthetic")):
        assert found[f"dover@{name}"] == pytest.approx(official["fused_set_script"][key], abs=2e-5)


def recording(branch: Callable[..., Tensor], maps: list[Tensor]) -> Callable[..., Tensor]:
    def run(network: Dover, clip: Tensor) -> Tensor:
        maps.append(branch(network, clip))
        return maps[-1]

    return run


def formula_video(frames: int, H: int, W: int) -> list[Frame]:
    y, x, c = np.ogrid[:H, :W, :3]
    still = 3 * x + 5 * y + 40 * c + ((x * y) >> 5)
    return [Frame(np.abs((still + 7 * t) % 510 - 255).astype(np.uint8)) for t in range(frames)]


def recipe_weights(path: Path, seed: int) -> dict[str, Tensor]:
    spec = importlib.util.spec_from_file_location("golden_recipe", path)
    assert spec is not None and spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    return {
        name: torch.from_numpy(recipe.recipe_dover(name, x.shape, seed))
        if x.is_floating_point()
        else relative_position_index((8, 7, 7))
        for name, x in published().state_dict().items()
    }
