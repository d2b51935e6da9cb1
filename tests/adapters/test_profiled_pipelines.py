"""`oasis profile --model diffusers:PATH` from a folder to a page, and what it refuses."""

import json
import re
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import diffusers
import numpy as np
import pandas as pd
import pytest
import torch
from little_pipelines import KINDS, TEXT, frames, transformer
from safetensors.torch import save_file

from oasis import adapters, profiling, video
from oasis.cli import main
from oasis.decide import read_heads
from oasis.model import tensors
from oasis.report.run import read_run, text_means
from oasis.routing import RoutingTable

Folder = Callable[[str], Path]
LAYERS = {"wan": 3, "vace": 5, "cogvideox-1.0": 2, "cogvideox-1.5": 2}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for seed, name in enumerate(("a.mkv", "b.mkv")):
        video.write(folder / name, frames(9, 32, 48, seed=seed), 25)
    return folder


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling.page, "write_page", lambda folder: [])


def profiled(folder: Path, clips: Path, out: Path, *more: str) -> list[str]:
    named = ("--patterns", "frame,window-2x2", "--frames", "9", "--device", "cpu")
    return ["profile", "--model", f"diffusers:{folder}", "--data", str(clips), *named, "--out", str(out), *more]


@pytest.mark.parametrize("kind", KINDS)
def test_a_pipeline_is_profiled_and_routed(
    kind: str, folder_of: Folder, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind in ("wan", "cogvideox-1.0"):
        monkeypatch.setattr(profiling.page, "write_page", lambda folder: [])
    assert main(profiled(folder_of(kind), clips, tmp_path / "run", "--timestep", "399")) == 0
    text = TEXT if kind.startswith("cog") else 0
    ending = f"+text{text}" if text else ""
    heads = read_heads(tmp_path / "run" / "heads.csv")
    assert len(heads) == 2 * LAYERS[kind] * 3 * 2
    assert set(heads["pattern"]) == {f"frame{ending}", f"window-2x2{ending}"}
    assert set(heads["timestep"]) == {399} and set(heads["backend"]) == {"sdpa"} and set(heads["dtype"]) == {"float32"}
    assert tuple(heads.loc[0, ["T", "H", "W"]]) == (2 if kind == "cogvideox-1.5" else 3, 2, 3)
    assert heads["kl_mean"].gt(0).all() and heads["model"].iloc[0] == kind
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["transformer"] == type(transformer(kind)).__name__ and record["prompt"] == "no prompt: zeros"
    assert record["latents"] == "noised at the timestep, seed 0" and record["clips"]["a"] == [9, 3, 32, 48]
    assert len(record["layer names"]) == LAYERS[kind] and record["pixels"] == "the clean clip where there is one"
    assert "--timestep 399" in record["command"]
    with np.load(tmp_path / "run" / "looks.npz") as looks:
        np.testing.assert_allclose(looks["attention"].sum(axis=(1, 2, 3)), 1, rtol=1e-5)
        assert looks["frames"].shape[1:] == (32, 48, 3)
    table = RoutingTable.load(tmp_path / "run" / "routing.json")
    assert table.weights_sha256 == tensors.sha256(folder_of(kind) / "transformer") and table.text == text
    model = transformer(kind)
    adapters.route(model, table, weights=folder_of(kind))
    assert (tmp_path / "run" / "text.csv").exists() == bool(text)
    run = read_run(tmp_path / "run")
    if text:
        assert run.text is not None and len(run.text) == 2 * LAYERS[kind] * 3
        by_layer = text_means(run.text)
        first = run.text[run.text["layer"] == 0]
        assert by_layer["mean"][0] == pytest.approx(first["text_mass"].mean())
        assert by_layer["least"][0] <= by_layer["mean"][0] <= by_layer["most"][0]
    if kind in ("vace", "cogvideox-1.5"):
        page = (tmp_path / "run" / "index.html").read_text()
        assert ("Attention mass on text" in page) == bool(text) == (tmp_path / "run" / "text-mass.png").exists()
        assert ("text.csv" in page) == bool(text) and f"window-2x2{ending}" in page
        for name in re.findall(r'src="([^"]*)"', page):
            assert (tmp_path / "run" / name.replace("%2B", "+")).is_file()


@pytest.mark.usefixtures("no_page")
def test_timestep_noise_prompt_and_dtype_change_the_numbers(folder_of: Folder, clips: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    save_file({"prompt": 3 * torch.randn(TEXT, 6)}, tmp_path / "words.safetensors")
    asked = {
        "usual": [],
        "late": ["--timestep", "900"],
        "clean": ["--clean"],
        "prompt": ["--prompt-embeds", str(tmp_path / "words.safetensors")],
        "half": ["--dtype", "bfloat16"],
    }
    kl, masses = {}, {}
    for name, more in asked.items():
        assert main(profiled(folder_of("cogvideox-1.5"), clips / "a.mkv", tmp_path / name, *more)) == 0
        heads = read_heads(tmp_path / name / "heads.csv")
        kl[name], masses[name] = heads["kl_mean"], pd.read_csv(tmp_path / name / "text.csv")["text_mass"]
        assert set(heads["timestep"]) == {900 if name == "late" else 500}
        assert set(heads["dtype"]) == {"bfloat16" if name == "half" else "float32"}
        command = json.loads((tmp_path / name / "run.json").read_text())["command"]
        assert all(word in command for word in more)
    for name in ("late", "clean", "prompt"):
        assert (kl[name] - kl["usual"]).abs().max() > 1e-3, name
        assert (masses[name] - masses["usual"]).abs().max() > 1e-4, name
    assert 0 < (kl["half"] - kl["usual"]).abs().max() < 0.05
    assert main(profiled(folder_of("cogvideox-1.5"), clips / "a.mkv", tmp_path / "again")) == 0
    for name in ("heads.csv", "text.csv", "profiles.csv", "routing.json", "looks.npz"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "usual" / name).read_bytes(), name


@pytest.mark.usefixtures("no_page")
def test_the_clean_clip_is_read_where_there_is_one(folder_of: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = adapters.load

    def loading(*given: object) -> object:
        model = real(*given)
        arguments = type(model).arguments
        monkeypatch.setattr(type(model), "arguments", lambda self, clip: seen.append(clip) or arguments(self, clip))
        return model

    monkeypatch.setattr(adapters, "load", loading)
    monkeypatch.setattr(profiling.clips, "load", lambda *_, **__: iter([clip()]))
    command = ["profile", "--model", f"diffusers:{folder_of('wan')}", "--out", str(tmp_path / "run"), "--device", "cpu"]
    assert main([*command, "--frames", "1", "--crop", "16x32", "--patterns", "frame,window-1x1"]) == 0
    assert torch.equal(seen[0], clip().hr[:1, :, 8:24, 0:32])


def clip() -> profiling.clips.LoadedClip:
    return profiling.clips.LoadedClip(name="both", lq=frames(5, 8, 8, seed=1), hr=frames(5, 32, 32, seed=2), fps=Fraction(25))


@pytest.mark.parametrize(
    ("model", "more", "message"),
    [
        ("diffusers:none", [], r"none/transformer/config\.json: no such file; diffusers:PATH is a pipeline's folder"),
        ("diffusers:@/transformer", [], "a transformer alone cannot read clips"),
        ("diffusers:@", ["--timestep", "1001"], "--timestep is 1001; allowed: 0 to 1000"),
        ("diffusers:@", ["--timestep", "nan"], "--timestep is nan; allowed: 0 to 1000"),
        ("diffusers:@", ["--backend", "flex"], "--backend flex has no meaning for diffusers:"),
        ("diffusers:@", ["--prompt-embeds", "none.safetensors"], r"none\.safetensors: no such file"),
        ("diffusers:@", ["--dtype", "int8"], "invalid choice: 'int8'"),
        ("diffusers:@", ["--patterns", "frame+text5"], r"patterns are frame\+text5; .* nor with \+text, which is the model's"),
        ("tiny", ["--timestep", "5"], "model 'tiny' takes no --timestep, --clean, --prompt-embeds or --dtype"),
        ("tiny", ["--clean"], "model 'tiny' takes no --timestep, --clean, --prompt-embeds or --dtype"),
    ],
)
def test_the_command_says_in_a_sentence_what_does_not_fit(
    model: str,
    more: list[str],
    message: str,
    folder_of: Folder,
    clips: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = model.replace("@", str(folder_of("wan")))
    command = ["profile", "--model", model, "--data", str(clips), "--device", "cpu", "--out", str(tmp_path / "run"), *more]
    assert main(command) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and re.search(message, lines[0]), lines
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("no_page")
def test_a_text_file_of_another_run_is_not_read(folder_of: Folder, clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert main(profiled(folder_of("cogvideox-1.0"), clips / "a.mkv", out)) == 0
    rows = pd.read_csv(out / "text.csv")
    for broken, message in (
        (rows.iloc[1:], r"text\.csv: must have every clip, layer and head of heads\.csv once \(6 rows, got 5\)"),
        (rows.assign(text_mass=1.5), r"text\.csv: column 'text_mass' must lie between 0 and 1"),
        (rows.rename(columns={"text_mass": "mass"}), r"text\.csv: needs rows with the columns clip, layer, head, text_mass"),
    ):
        broken.to_csv(out / "text.csv", index=False)
        with pytest.raises(ValueError, match=message):
            read_run(out)
    (out / "text.csv").unlink()
    with pytest.raises(ValueError, match=r"text\.csv: no such file, but the patterns of heads\.csv have text tokens"):
        read_run(out)
    rows.to_csv(out / "text.csv", index=False)
    assert main(profiled(folder_of("wan"), clips / "a.mkv", out)) == 0
    run = read_run(out)
    assert run.text is None and "text.csv" not in run.files


@pytest.mark.usefixtures("no_page")
def test_shards_are_read_hashed_with_their_index_and_routed(
    folder_of: Folder, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(folder_of("wan"), tmp_path / "wan"))
    (folder / "transformer" / "diffusion_pytorch_model.safetensors").unlink()
    transformer("wan").save_pretrained(folder / "transformer", max_shard_size="40KB")
    shards = sorted((folder / "transformer").glob("*-of-*.safetensors"))
    assert len(shards) > 1
    capsys.readouterr()
    assert main(profiled(folder, clips / "a.mkv", tmp_path / "sharded")) == 0
    assert "Loading" not in capsys.readouterr().err
    assert main(profiled(folder_of("wan"), clips / "a.mkv", tmp_path / "whole")) == 0
    one, other = (read_heads(tmp_path / name / "heads.csv") for name in ("sharded", "whole"))
    assert one["kl_mean"].equals(other["kl_mean"]) and one["weights_sha256"][0] != other["weights_sha256"][0]
    table = RoutingTable.load(tmp_path / "sharded" / "routing.json")
    model = diffusers.WanTransformer3DModel.from_pretrained(folder, subfolder="transformer")
    adapters.route(model, table)
    adapters.unroute(model)
    state = tensors.read(shards[0])
    save_file({name: tensor + 1 for name, tensor in state.items()}, shards[0], metadata={"format": "pt"})
    with pytest.raises(ValueError, match="the routing table is for weights"):
        adapters.route(model, table)
    shards[0].unlink()
    capsys.readouterr()
    assert main(profiled(folder, clips / "a.mkv", tmp_path / "lost")) == 2
    assert re.fullmatch(r"error: .*\n", capsys.readouterr().err)
