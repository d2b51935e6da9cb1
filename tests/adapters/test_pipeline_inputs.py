"""From pixels to what a transformer reads: against diffusers' VAEs, schedulers, pipelines and text encoders."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from little_pipelines import TEXT, frames
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel, UMT5Config, UMT5EncoderModel

from oasis import adapters, video
from oasis.adapters import Asked, inputs
from oasis.adapters.cogvideox import centred_box, rotary_positions
from oasis.grid import Grid
from oasis.model import tensors

Folder = Callable[[str], Path]


def load(folder: Path, **asked: Any) -> Any:
    return adapters.load(f"diffusers:{folder}", Asked(**asked))


@pytest.mark.parametrize("kind", ["wan", "vace"])
def test_wan_reads_normalised_latents_at_its_timestep(kind: str, folder_of: Folder) -> None:
    model = load(folder_of(kind), timestep=250.0)
    clip = frames(9, 48, 64)
    given = model.arguments(clip)
    pixels = video.to_network(clip).transpose(0, 1)[None]
    pipe = diffusers.AutoencoderKLWan.from_pretrained(folder_of(kind) / "vae")
    mean = torch.tensor(pipe.config.latents_mean).view(1, 4, 1, 1, 1)
    std = torch.tensor(pipe.config.latents_std).view(1, 4, 1, 1, 1)
    with torch.no_grad():
        latents = (pipe.encode(pixels).latent_dist.mode() - mean) / std
        silent = (pipe.encode(torch.zeros_like(pixels)).latent_dist.mode() - mean) / std
    assert latents.shape == (1, 4, 3, 6, 8)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(given["hidden_states"], 0.75 * latents + 0.25 * noise, rtol=0, atol=1e-6)
    assert given["timestep"].tolist() == [250.0] and given["encoder_hidden_states"].shape == (1, 512, 8)
    if kind == "vace":
        control = torch.cat([silent, latents, torch.ones(1, 64, 3, 6, 8)], dim=1)
        torch.testing.assert_close(given["control_hidden_states"], control, rtol=0, atol=1e-6)
    clean = load(folder_of(kind), timestep=250.0, clean=True).arguments(clip)
    torch.testing.assert_close(clean["hidden_states"], latents, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow_noise_is_the_schedulers_own(shift: float, folder_of: Folder) -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(7)
    family = adapters.FAMILIES["WanTransformer3DModel"]
    x, noise = torch.randn(2, 1, 4, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    config = json.loads((folder_of("wan") / "scheduler" / "scheduler_config.json").read_text())
    for timestep in scheduler.timesteps:
        expected = scheduler.scale_noise(x, timestep[None], noise)
        torch.testing.assert_close(family.noised(x, noise, float(timestep), config), expected, rtol=0, atol=1e-6)
    unipc = {"_class_name": "UniPCMultistepScheduler", "prediction_type": "flow_prediction"}
    torch.testing.assert_close(family.noised(x, noise, 500.0, unipc), (x + noise) / 2)
    with pytest.raises(ValueError, match="scheduler DDIMScheduler predicts no flow"):
        family.noised(x, noise, 500.0, {"_class_name": "DDIMScheduler", "prediction_type": "epsilon"})


@pytest.mark.parametrize("kind", ["cogvideox-1.0", "cogvideox-1.5"])
@pytest.mark.parametrize("length", [1, 5, 9])
def test_cogvideox_reads_scaled_latents_with_the_first_repeated(kind: str, length: int, folder_of: Folder) -> None:
    model = load(folder_of(kind), timestep=399.0)
    clip = frames(length, 32, 48)
    given = model.arguments(clip)
    pipe = diffusers.AutoencoderKLCogVideoX.from_pretrained(folder_of(kind) / "vae")
    with torch.no_grad():
        latents = pipe.encode(video.to_network(clip).transpose(0, 1)[None]).latent_dist.mode() * 0.7
    scheduler = diffusers.CogVideoXDPMScheduler.from_pretrained(folder_of(kind) / "scheduler")
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    noised = scheduler.add_noise(latents, noise, torch.tensor([399])).transpose(1, 2)
    if kind == "cogvideox-1.5" and noised.shape[1] % 2:
        noised = torch.cat([noised[:, :1], noised], dim=1)
    torch.testing.assert_close(given["hidden_states"], noised, rtol=0, atol=1e-6)
    assert given["timestep"].tolist() == [399] and given["timestep"].dtype == torch.int64
    assert len(given["image_rotary_emb"][0]) == model.grid(clip).tokens


@pytest.mark.parametrize("kind", ["wan", "vace", "cogvideox-1.0", "cogvideox-1.5"])
@pytest.mark.parametrize(("t", "h", "w"), [(1, 16, 16), (5, 33, 47), (7, 40, 56), (9, 1, 31)])
def test_the_grid_is_that_of_the_forward_whatever_the_clips_size(kind: str, t: int, h: int, w: int, folder_of: Folder) -> None:
    model = load(folder_of(kind))
    clip = frames(t, h, w)
    seen: list[tuple[int, ...]] = []
    model.run(clip, lambda layer, q, k, v: seen.append(tuple(q.shape)))
    grid = model.grid(clip)
    latent = -(-(t - 1) // 4) + 1
    wanted = Grid(-(-latent // 2) if kind == "cogvideox-1.5" else latent, -(-h // 16), -(-w // 16))
    assert grid == wanted and {shape[2] for shape in seen} == {model.about.text + grid.tokens}


def test_padding_repeats_what_is_last() -> None:
    clip = frames(6, 17, 30)
    padded = inputs.as_pixels(clip, (4, 8), (1, 2, 2))
    assert padded.shape == (1, 3, 9, 32, 32) and padded.min() >= -1 and padded.max() <= 1
    assert torch.equal(padded[0, :, :6, :17, :30], video.to_network(clip).transpose(0, 1))
    assert torch.equal(padded[0, :, 8], padded[0, :, 5]) and torch.equal(padded[..., 31, :], padded[..., 16, :])


@pytest.mark.parametrize(
    ("kind", "length", "shown"),
    [
        ("wan", 9, [0, 4, 8]),
        ("cogvideox-1.0", 9, [0, 4, 8]),
        ("cogvideox-1.5", 9, [0, 4]),  # latents [0 0] [1 2]
        ("cogvideox-1.5", 13, [0, 8]),  # [0 1] [2 3]
        ("cogvideox-1.5", 1, [0]),
    ],
)
def test_a_token_frame_shows_the_frame_that_it_began_with(kind: str, length: int, shown: list[int], folder_of: Folder) -> None:
    model = load(folder_of(kind))
    grid = model.grid(frames(length, 16, 16))
    assert [model.frame_of(t, length) for t in range(grid.t)] == shown


@given(st.tuples(st.integers(1, 90), st.integers(1, 90)), st.tuples(st.integers(2, 90), st.integers(2, 90)))
def test_the_box_of_positions_is_diffusers(shape: tuple[int, int], room: tuple[int, int]) -> None:
    from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid

    assert centred_box(shape, room) == get_resize_crop_region_for_grid(shape, room[1], room[0])


@pytest.mark.parametrize("grid", [Grid(3, 2, 3), Grid(2, 4, 5), Grid(1, 30, 45)])
def test_positions_are_the_pipelines_also_on_grids_larger_than_trained_ones(grid: Grid, folder_of: Folder) -> None:
    from diffusers import CogVideoXPipeline

    for kind in ("cogvideox-1.0", "cogvideox-1.5"):
        model = load(folder_of(kind))
        config = model.transformer.config
        stand_in = type("", (), {"transformer": model.transformer, "vae_scale_factor_spatial": 8})()
        if kind == "cogvideox-1.5" and (grid.h > config.sample_height // 2 or grid.w > config.sample_width // 2):
            assert len(rotary_positions(grid, config)[0]) == grid.tokens  # the pipeline has no positions there
            continue
        size = (16 * grid.h, 16 * grid.w, grid.t * (config.patch_size_t or 1))
        expected = CogVideoXPipeline._prepare_rotary_positional_embeddings(stand_in, *size, torch.device("cpu"))
        for ours, theirs in zip(rotary_positions(grid, config), expected, strict=True):
            assert torch.equal(ours, theirs)


def test_prompts_come_from_a_file_or_are_zeros(folder_of: Folder, tmp_path: Path) -> None:
    wan, cog = load(folder_of("wan")), load(folder_of("cogvideox-1.0"))
    assert wan.prompt.source == cog.prompt.source == "no prompt: zeros"
    assert not wan.prompt.embedding.any() and cog.prompt.embedding.shape == (1, TEXT, 6)
    words = torch.randn(3, 8)
    save_file({"prompt": words}, tmp_path / "wan.safetensors")
    found = load(folder_of("wan"), prompt_embeds=tmp_path / "wan.safetensors").prompt
    assert torch.equal(found.embedding[0, :3], words) and not found.embedding[0, 3:].any()
    assert found.source.startswith(f"{tmp_path / 'wan.safetensors'} (sha256 ")
    for content, message in (
        ({"a": words, "b": words + 1}, r"holds \(3, 8\), \(3, 8\); allowed: one tensor"),
        ({"a": torch.zeros(2, 3, 8)}, r"holds \(2, 3, 8\); allowed: one tensor"),
        ({"a": words[:, :5].contiguous()}, r"the prompt is \(3, 5\); allowed: at most 512 x 8"),
        ({"a": torch.zeros(513, 8)}, r"the prompt is \(513, 8\); allowed: at most 512 x 8"),
        ({"a": words / 0}, "the prompt holds NaN or infinity"),
    ):
        save_file(content, tmp_path / "bad.safetensors")
        with pytest.raises(ValueError, match=message):
            load(folder_of("wan"), prompt_embeds=tmp_path / "bad.safetensors")
    save_file({"a": torch.zeros(TEXT - 1, 6)}, tmp_path / "short.safetensors")
    with pytest.raises(ValueError, match=r"the prompt is \(4, 6\); allowed: 5 x 6"):
        load(folder_of("cogvideox-1.0"), prompt_embeds=tmp_path / "short.safetensors")
    with pytest.raises(ValueError, match=r"words\.txt: --prompt-embeds reads a \.safetensors file"):
        load(folder_of("wan"), prompt_embeds=tmp_path / "words.txt")


@pytest.mark.parametrize("kind", ["wan", "cogvideox-1.0"])
def test_the_folders_text_encoder_says_the_empty_prompt_as_the_pipeline_does(
    kind: str, folder_of: Folder, tmp_path: Path
) -> None:
    folder = tmp_path / kind
    shutil.copytree(folder_of(kind), folder)
    sizes = {"vocab_size": 8, "d_model": 8 if kind == "wan" else 6, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    torch.manual_seed(2)
    encoder: Any = UMT5EncoderModel(UMT5Config(**sizes)) if kind == "wan" else T5EncoderModel(T5Config(**sizes))
    encoder.eval().save_pretrained(folder / "text_encoder")
    with pytest.raises(ValueError, match="no whole text encoder with its tokenizer"):
        load(folder)
    words = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    tokenizer.save_pretrained(folder / "tokenizer")
    kinds = {"wan": diffusers.WanPipeline, "cogvideox-1.0": diffusers.CogVideoXPipeline}
    stand_in = type("", (), {"tokenizer": tokenizer, "text_encoder": encoder, "_execution_device": "cpu"})()
    length = 512 if kind == "wan" else TEXT
    with torch.no_grad():
        expected = kinds[kind]._get_t5_prompt_embeds(stand_in, "", max_sequence_length=length, device="cpu")
    found = load(folder).prompt
    assert found.source == "the empty prompt, by the folder's text encoder"
    torch.testing.assert_close(found.embedding, expected, rtol=0, atol=1e-6)
    assert bool(found.embedding[0, 1:].any()) == (kind != "wan")


def edited(folder: Path, name: str, **changes: Any) -> Path:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def test_folders_that_do_not_fit_are_refused_in_a_sentence(folder_of: Folder, tmp_path: Path) -> None:
    copies = iter(range(99))

    def copy(kind: str = "wan") -> Path:
        return Path(shutil.copytree(folder_of(kind), tmp_path / str(next(copies))))

    def without(name: str) -> Path:
        folder = copy()
        shutil.rmtree(folder / name)
        return folder

    def renamed(where: str, change: Callable[[dict[str, Any]], None], kind: str = "wan") -> Path:
        folder = copy(kind)
        path = folder / where / "diffusion_pytorch_model.safetensors"
        state = tensors.read(path)
        change(state)
        save_file({name: tensor.clone() for name, tensor in state.items()}, path)
        return folder

    def lose(state: dict[str, Any]) -> None:
        del state["blocks.1.attn1.to_q.weight"]

    def gain(state: dict[str, Any]) -> None:
        state["blocks.1.attn1.to_z.weight"] = torch.zeros(1)

    empty = copy()
    (empty / "transformer" / "diffusion_pytorch_model.safetensors").unlink()
    text = copy()
    (text / "vae" / "config.json").write_text("{")
    network, coder, steps = "transformer/config.json", "vae/config.json", "scheduler/scheduler_config.json"
    cases = [
        (tmp_path / "none", r"none/transformer/config\.json: no such file; diffusers:PATH is a pipeline's folder"),
        (folder_of("wan") / "transformer", "a transformer alone cannot read clips; name a pipeline's folder with"),
        (without("vae"), r"vae/config\.json: no such file"),
        (without("scheduler"), r"scheduler_config\.json: no such file"),
        (text, r"vae/config\.json: not a JSON file"),
        (empty, "transformer: no weights in this folder"),
        (
            edited(copy(), network, _class_name="FluxTransformer2DModel"),
            "'FluxTransformer2DModel' has no adapter; allowed: Wan",
        ),
        (edited(copy(), network, _class_name=None), "must be a JSON object with the field '_class_name'"),
        (edited(copy(), coder, _class_name="AutoencoderKL"), "the VAE is AutoencoderKL; allowed for this .*: AutoencoderKLWan"),
        (edited(copy(), steps, _class_name="DDIMScheduler"), "scheduler DDIMScheduler predicts no flow"),
        (edited(copy("cogvideox-1.0"), steps, _class_name="Mine"), "scheduler Mine has no adapter"),
        (edited(copy(), network, image_dim=4), "weights do not fit: missing tensor"),
        (edited(copy(), network, num_layers=2), "weights do not fit: unexpected tensor"),
        (renamed("transformer", lose), "weights do not fit: missing tensor blocks.1.attn1.to_q.weight"),
        (renamed("transformer", gain), "weights do not fit: unexpected tensor blocks.1.attn1.to_z.weight"),
    ]
    for folder, message in cases:
        with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
            load(folder)
        assert "\n" not in str(caught.value)
    for asked, message in (
        ({"timestep": 1000.5}, "--timestep is 1000.5; allowed: 0 to 1000"),
        ({"timestep": -1.0, "clean": True}, "--timestep is -1; allowed: 0 to 1000"),
        ({"dtype": "int8"}, "--dtype is 'int8'; allowed: float32, bfloat16"),
    ):
        with pytest.raises(ValueError, match=message):
            load(folder_of("wan"), **asked)
    for timestep in (399.5, 1000.0):
        with pytest.raises(ValueError, match="allowed: whole numbers from 0 to 999"):
            load(folder_of("cogvideox-1.0"), timestep=timestep, clean=True)
    load(without("scheduler"), clean=True)


def test_positions_that_are_added_need_no_rotation(folder_of: Folder, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folder_of("cogvideox-1.0"), tmp_path / "2b"))
    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    table = {"patch_embed.pos_embedding": torch.zeros(1, 23, 48)}  # files may hold it, but it is computed
    save_file({name: tensor.clone() for name, tensor in tensors.read(path).items()} | table, path, {"format": "pt"})
    model = load(edited(folder, "transformer/config.json", use_rotary_positional_embeddings=False))
    layers: list[int] = []
    model.run(frames(5, 32, 48), lambda layer, q, k, v: layers.append(layer))
    assert layers == [0, 1] and model.arguments(frames(5, 32, 48))["image_rotary_emb"] is None


def test_image_to_video_has_no_adapter(folder_of: Folder) -> None:
    for kind, change in (("wan", {"in_channels": 36}), ("cogvideox-1.0", {"in_channels": 32})):
        model = load(folder_of(kind))
        config = type("", (), dict(model.transformer.config) | change)()
        with pytest.raises(
            ValueError, match=r"the transformer reads 3[26] channels, the VAE makes 4; image-to-video has no adapter"
        ):
            model.family.check(config, model.vae.config)
