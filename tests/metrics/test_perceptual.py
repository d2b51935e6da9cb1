import dataclasses
import importlib.util
import json
import re
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import piq
import pytest
import scipy.io
import torch
from einops import rearrange
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import Tensor, nn

from oasis import video, weights
from oasis.measures import MEASURES
from oasis.metrics import loading, perceptual
from oasis.metrics.frames import Frame
from oasis.metrics.meter import Setting, Unavailable

Shared = Callable[[str], Path]
State = dict[str, Tensor]
NAMES = [name for name in MEASURES if name.partition("@")[0] in perceptual.SMALLEST]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OASIS_WEIGHTS", str(tmp_path))
    for name, weight in weights.WEIGHTS.items():
        monkeypatch.setitem(weights.WEIGHTS, name, dataclasses.replace(weight, sha256=None))
    return tmp_path


@pytest.fixture
def recipe(shared: Shared) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("recipe", shared("golden/recipe.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def golden(shared: Shared) -> tuple[dict[str, NDArray[np.uint8]], dict[str, Any]]:
    expected = json.loads(shared("golden/metrics/expected.json").read_text())["metrics"]
    return load_file(shared("golden/metrics/inputs.safetensors")), expected


def measured(names: list[str], output: NDArray[np.uint8], reference: NDArray[np.uint8] | None = None) -> dict[str, Any]:
    frames, height, width, _ = output.shape
    meter = perceptual.make(names, Setting(clip="clip", frames=frames, height=height, width=width))
    for number, frame in enumerate(output):
        meter.add(Frame(frame), None if reference is None else Frame(reference[number]))
    return meter.result()


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (1, height, width, 3), dtype=np.uint8)


def save_trunk(recipe: types.ModuleType, mapping: dict[str, str], shapes: dict[str, Any], path: Path) -> None:
    state = {theirs: torch.from_numpy(recipe.recipe_perceptual(ours, shapes[ours], 6001)) for ours, theirs in mapping.items()}
    torch.save(state | {"classifier.6.bias": torch.zeros(1000)}, path)


@pytest.mark.parametrize(("net", "file"), [("alex", "alexnet-owt-7be5be79.pth"), ("vgg", "vgg16-397923af.pth")])
def test_lpips_equals_the_package(
    net: Any, file: str, folder: Path, recipe: types.ModuleType, golden: Any, shared: Shared
) -> None:
    names = json.loads(shared(f"golden/metrics/mapping_lpips_{net}.json").read_text())
    save_trunk(recipe, names["lpips_to_torchvision"], names["shapes"], folder / file)
    inputs, expected = golden
    expected = expected["perceptual_with_recipe_trunk"]

    before = torch.random.get_rng_state()
    result = measured([f"lpips@{net}"], inputs["pred_u8"], inputs["gt_u8"])[f"lpips@{net}"]
    assert torch.equal(torch.random.get_rng_state(), before)
    np.testing.assert_allclose(result.series, expected[f"lpips_{net}_per_frame"], atol=1e-4)

    network = perceptual.lpips_network(net)
    crop = [Frame(frame[16:48, 16:80]).tensor for frame in (*inputs["gt_u8"][:2], *inputs["pred_u8"][:2])]
    change = 100 * abs(network(crop[0], crop[1]) - network(crop[2], crop[3]))
    assert float(change) == pytest.approx(expected[f"tLP100_{net}_per_pair_crop8x8"][0], abs=1e-2)

    if net == "alex":
        tecogan = measured(["lpips@tecogan"], inputs["pred_u8"], inputs["gt_u8"])["lpips@tecogan"]
        cropped = measured(["lpips@alex"], inputs["pred_u8"][2:-2, 16:48, 16:80], inputs["gt_u8"][2:-2, 16:48, 16:80])
        assert tecogan.numbers == (2, 3, 4, 5)
        assert tecogan.series == pytest.approx(cropped["lpips@alex"].series, abs=1e-7)


def test_dists_equals_the_reference(folder: Path, recipe: types.ModuleType, golden: Any) -> None:
    inputs, expected = golden
    expected = expected["perceptual_with_recipe_trunk"]
    shapes = expected["dists_keys"]
    mapping = {key: f"features.{key.partition('.')[2]}" for key in shapes if re.fullmatch(r"stage.*\.(weight|bias)", key)}
    save_trunk(recipe, mapping, shapes, folder / "vgg16-397923af.pth")
    learned = {key: torch.from_numpy(recipe.recipe_perceptual(key, shapes[key], 6001)) for key in ("alpha", "beta")}
    torch.save(learned, folder / "DISTS_weights-f5e65c96.pth")
    result = measured(["dists@pyiqa"], inputs["pred_u8"], inputs["gt_u8"])["dists@pyiqa"]
    np.testing.assert_allclose(result.series, expected["dists_per_frame"], atol=1e-4)


def test_niqe_equals_basicsr_and_pyiqa(folder: Path, golden: Any, shared: Shared) -> None:
    for file in ("niqe_pris_params.npz", "niqe_modelparameters.mat"):
        (folder / file).symlink_to(shared(f"data/weights/{file}"))
    inputs, expected = golden
    pictures = np.stack([inputs["niqe_image_u8"], inputs["niqe_image_blurred_u8"]])
    found = measured(["niqe@basicsr", "niqe@pyiqa"], pictures)
    np.testing.assert_allclose(found["niqe@basicsr"].series, expected["niqe_basicsr_y"], atol=1e-4)
    np.testing.assert_allclose(found["niqe@pyiqa"].series, expected["niqe_pyiqa_yiq_basicsr_params"], atol=0.02)
    # pyiqa rounds float32 luma: where exact halves fall depends on the processor, and some fifty pixels have one.


def test_imqualitys_brisque_lies_where_it_was_seen(folder: Path, shared: Shared) -> None:
    (folder / "brisque_svr.npz").symlink_to(shared("data/weights/brisque_svr.npz"))
    first = next(iter(video.stream(shared("data/peers/vid4_calendar/gt.mkv"))))
    clean = rearrange(first, "c h w -> h w c").numpy().copy()
    blocky = cv2.imdecode(cv2.imencode(".jpg", clean, [cv2.IMWRITE_JPEG_QUALITY, 8])[1], cv2.IMREAD_COLOR)
    seen = np.stack([clean, blocky, cv2.GaussianBlur(clean, (0, 0), 3)])
    good, bad, worst = measured(["brisque@imquality"], seen)["brisque@imquality"].series
    assert good < 10 < 30 < bad < 60 < worst < 71  # about what shared/data/MANIFEST.csv says of Vid4


def test_imqualitys_brisque_is_its_regression_on_piqs_statistics(folder: Path, shared: Shared) -> None:
    (folder / "brisque_svr.npz").symlink_to(shared("data/weights/brisque_svr.npz"))
    small = picture(24, 30, seed=1)[0]
    smooth = cv2.GaussianBlur(cv2.resize(small, (120, 96), interpolation=cv2.INTER_CUBIC), (0, 0), 1)
    luma = torch.from_numpy((smooth @ np.array([0.299, 0.587, 0.114])).round().astype(np.float32))[None, None]
    theirs = sys.modules["piq.brisque"]
    half = theirs.imresize(luma, sizes=(48, 60))
    seen = torch.cat([theirs._natural_scene_statistics(scale) for scale in (luma, half)], dim=-1)[0].numpy()
    model = np.load(folder / "brisque_svr.npz")
    scaled = 2 * (seen - model["feat_min"]) / (model["feat_max"] - model["feat_min"]) - 1
    kernels = [np.exp(-float(model["gamma"]) * np.square(scaled - vector).sum()) for vector in model["sv"]]
    expected = float(np.dot(model["sv_coef"].ravel(), kernels)) - float(model["rho"])
    assert measured(["brisque@imquality"], smooth[None])["brisque@imquality"].value == pytest.approx(expected, abs=0.1)


def test_pyiqas_brisque_equals_piqs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    model = (torch.randn(50, generator=generator), torch.rand(50, 36, generator=generator) * 2 - 1)
    torch.save(model, folder / "brisque_svm_weights.pth")
    monkeypatch.setattr(sys.modules["piq.brisque"], "load_url", lambda *_, **__: tuple(part.clone() for part in model))
    small = picture(24, 30)[0]
    smooth = cv2.GaussianBlur(cv2.resize(small, (120, 96), interpolation=cv2.INTER_CUBIC), (0, 0), 1)
    found = measured(["brisque@pyiqa"], smooth[None])["brisque@pyiqa"].value
    assert found == pytest.approx(float(piq.brisque(Frame(smooth).tensor, data_range=1.0)), abs=0.02)


def test_pi_is_made_of_nrqm_and_niqe_of_matlabs_luma(folder: Path, shared: Shared) -> None:
    save_nrqm(folder / "NRQM_model.mat")
    for file in ("niqe_pris_params.npz", "niqe_modelparameters.mat"):
        (folder / file).symlink_to(shared(f"data/weights/{file}"))
    frames = picture(104, 106)
    whole = {name: result.value for name, result in measured(["nrqm@pyiqa", "pi@pyiqa"], frames).items()}
    inner = measured(["niqe@basicsr"], frames[:, 4:-4, 4:-4])["niqe@basicsr"].value  # the same parameters
    assert whole["nrqm@pyiqa"] == pytest.approx(7 + 0.5)
    assert whole["pi@pyiqa"] == pytest.approx((10 - 7.5 + inner) / 2, abs=1e-3)


def test_the_smallest_frames_are_measured(folder: Path, shared: Shared) -> None:
    save_nrqm(folder / "NRQM_model.mat")
    torch.save((torch.ones(2), torch.rand(2, 36)), folder / "brisque_svm_weights.pth")
    for file in ("niqe_pris_params.npz", "niqe_modelparameters.mat", "brisque_svr.npz"):
        (folder / file).symlink_to(shared(f"data/weights/{file}"))
    for name in ("nrqm@pyiqa", "pi@pyiqa", "niqe@pyiqa", "niqe@basicsr", "brisque@pyiqa", "brisque@imquality"):
        side = perceptual.SMALLEST[name.partition("@")[0]]
        assert np.isfinite(measured([name], picture(side, side))[name].value), name
        with pytest.raises(ValueError, match=f"too small for {name}, which needs {side} on each side"):
            measured([name], picture(side, side - 1))


def save_nrqm(path: Path) -> None:
    """Write three forests of one tree each, which say 7, 2 and 4 of any picture, and a regression on them to 7.5."""

    def forest(prediction: float) -> dict[str, Any]:
        leaf = np.zeros((1, 1))
        fields = {"ldau": leaf, "rdau": leaf, "x": leaf, "y": leaf, "threshold": leaf + 0.5}
        return fields | {"prediction": leaf + prediction, "attribute": np.ones((1, 1), dtype=np.int32)}

    cells = np.empty((1, 3), dtype=object)
    cells[0] = [forest(7), forest(2), forest(4)]
    scipy.io.savemat(path, {"model": {"linear": np.array([[0.5], [1.0], [2.0], [-1.0]]), "rf": cells}})


def shell(state: State) -> State:
    """Return tensors of the same names and shapes that take no room in a file."""
    return {name: torch.full((1,), 0.01, dtype=value.dtype).expand(value.shape) for name, value in state.items()}


def musiq() -> tuple[str, State]:
    from pyiqa.archs.musiq_arch import MUSIQ

    return "musiq_koniq_ckpt-e95806b9.pth", MUSIQ(pretrained=False).state_dict()


def maniqa() -> tuple[str, State]:
    from pyiqa.archs.maniqa_arch import MANIQA

    with loading.empty_trunks():
        return "ckpt_koniq10k.pt", MANIQA(pretrained=False, scale=0.8).state_dict()


@pytest.mark.parametrize(("name", "network"), [("musiq@pyiqa", musiq), ("maniqa@pyiqa", maniqa)])
def test_networks_take_all_of_their_tensors_or_none(
    name: str, network: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, state = network()
    whole = shell(state)
    lacking = dict(whole)
    first = next(iter(lacking))
    del lacking[first]
    torch.save(lacking, folder / file)
    setting = Setting(clip="clip", frames=1, height=40, width=48)
    with pytest.raises(ValueError, match=rf"{file}: not the weights of .*{re.escape(first)}"):
        perceptual.make([name], setting)

    torch.save({f"module.{key}": value for key, value in whole.items()}, folder / ("again-" + file))
    for key, weight in weights.WEIGHTS.items():
        if weight.file == file:
            monkeypatch.setitem(weights.WEIGHTS, key, dataclasses.replace(weight, file="again-" + file))
    meter = perceptual.make([name], setting)
    if name == "musiq@pyiqa":  # MANIQA's 20 crops take too long here
        meter.add(Frame(picture(40, 48)[0]), None)
        assert np.isfinite(meter.result()[name].value)


class Nest(nn.Module):
    """A module whose only use is that TorchScript stores its tensors under the given names."""

    def __init__(self, state: State) -> None:
        super().__init__()
        for name, value in state.items():
            if "." not in name:
                self.register_buffer(name, value)
        for child in sorted({name.partition(".")[0] for name in state if "." in name}):
            inside = {name.partition(".")[2]: value for name, value in state.items() if name.partition(".")[0] == child}
            self.add_module(child, Nest(inside))

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_clip_iqa_takes_openais_archive(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loading.clip_importable():
        from pyiqa.archs.clip_model import CLIP
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        small = CLIP(16, 64, (1, 1, 1, 1), 2, None, 77, 49408, 64, 1, 1)
    state = {name: value.detach() for name, value in small.state_dict().items()}
    torch.jit.save(torch.jit.script(Nest(state)), folder / "RN50.pt")
    frames = picture(40, 70)
    found = measured(["clipiqa@pyiqa"], frames)["clipiqa@pyiqa"].value
    with loading.clip_importable():
        import clip
        from clip.model import CLIP as OpenAI
    prompts = ["Good image", "bad image", "Sharp image", "blurry image", "sharp edges", "blurry edges"]
    prompts += ["High resolution image", "low resolution image", "Noise-free image", "noisy image"]
    mean, std = torch.tensor([[0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]])[..., None, None]
    with torch.no_grad():
        theirs = OpenAI(16, 64, (1, 1, 1, 1), 2, None, 77, 49408, 64, 1, 1)  # of the package, not pyiqa's copy
        theirs.load_state_dict({name: value.half().float() for name, value in state.items()})  # stored in float16
        theirs.eval().visual.attnpool.positional_embedding = nn.Parameter(torch.zeros(1 * 2 + 1, 64))  # 40x70 at 1/32
        logits, _ = theirs((Frame(frames[0]).tensor - mean) / std, clip.tokenize(prompts))
    assert found == pytest.approx(float(logits.reshape(5, 2).softmax(dim=1)[:, 0].mean()), abs=1e-3)

    lacking = {name: value for name, value in state.items() if name != "visual.bn1.weight"}
    torch.jit.save(torch.jit.script(Nest(lacking)), folder / "less.pt")
    monkeypatch.setitem(weights.WEIGHTS, "clipiqa", dataclasses.replace(weights.WEIGHTS["clipiqa"], file="less.pt"))
    with pytest.raises(ValueError, match=r"less.pt: not the weights of CLIP RN50 \(.*visual.bn1.weight"):
        measured(["clipiqa@pyiqa"], frames)


@pytest.mark.parametrize("name", NAMES)
def test_without_weights_a_measure_is_unavailable(name: str, folder: Path) -> None:
    weight = weights.WEIGHTS[MEASURES[name].weights[0]]
    sentence = f"the {weight.name} weights {weight.file} are not in {folder}; get them from {weight.address} "
    with pytest.raises(Unavailable, match=re.escape(sentence)):
        perceptual.make([name], Setting(clip="clip", frames=9, height=128, width=128))


@pytest.mark.parametrize("name", NAMES)
def test_other_files_are_refused_as_weights(name: str, folder: Path) -> None:
    for weight in MEASURES[name].weights:
        (folder / weights.WEIGHTS[weight].file).write_bytes(b"not weights")
    with pytest.raises(ValueError, match=rf"{re.escape(str(folder))}/.*: not the weights of "):
        perceptual.make([name], Setting(clip="clip", frames=9, height=128, width=128))


@pytest.mark.parametrize("name", NAMES)
def test_frames_too_small_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"clip: frames of 120x12 pixels are too small for {name}, which needs"):
        perceptual.make([name], Setting(clip="clip", frames=9, height=12, width=120))
