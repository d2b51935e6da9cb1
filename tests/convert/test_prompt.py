"""The fixed prompt: what transformers' UMT5 says of it, padded and masked as Wan2.1 does, is what the network reads."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel
from wan_sources import SMALL, official, preset

from oasis.convert import Request, convert
from oasis.convert.prompt import Prompt, embed
from oasis.model import load_model
from oasis.train.presets import PRESETS

CONFIG = SMALL.dit
WORDS = ("<pad>", "</s>", "<unk>", "sharp", "video", "high", "quality")


def text_encoder(
    folder: Path, *, width: int = CONFIG.text_dim, vocabulary: int = 16, dtype: torch.dtype = torch.float32
) -> Path:
    """Write a UMT5 of a few hundred random weights and a tokenizer of seven words, as diffusers' pipelines hold them."""
    torch.manual_seed(3)
    sizes = UMT5Config(vocab_size=vocabulary, d_model=width, d_kv=4, d_ff=16, num_layers=2, num_heads=3)
    encoder = UMT5EncoderModel(sizes)
    for tensor in encoder.state_dict().values():
        tensor.add_(0.3 * torch.randn(tensor.shape))
    encoder.to(dtype).save_pretrained(folder / "text_encoder")
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    fast.save_pretrained(folder / "tokenizer")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return text_encoder(tmp_path / "umt5")


@pytest.mark.parametrize(("text", "tokens"), [("sharp video", 3), ("", 1), ("  high\n quality sharp\tvideo", 5)])
def test_the_embedding_is_that_of_a_padded_and_masked_prompt(folder: Path, text: str, tokens: int) -> None:
    encoder = UMT5EncoderModel.from_pretrained(folder / "text_encoder")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer")
    padded = tokenizer(text, padding="max_length", max_length=CONFIG.text_len, return_tensors="pt")
    with torch.no_grad():
        states = encoder(input_ids=padded.input_ids, attention_mask=padded.attention_mask).last_hidden_state
    found = embed(folder, text, CONFIG)
    assert found.embedding.shape == (1, tokens, CONFIG.text_dim) and int(padded.attention_mask.sum()) == tokens
    torch.testing.assert_close(found.embedding, states[:, :tokens], atol=1e-6, rtol=1e-5)
    assert found.text == " ".join(text.split())
    assert set(found.files) == {"model.safetensors", "tokenizer.json", "tokenizer_config.json"}


def test_the_model_reads_the_prompt_and_the_zeros_after_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "wan-1.3b", preset())
    request = Request(
        source=official(tmp_path / "wan"), embedding="random", text_encoder=folder, prompt="sharp video", dtype=torch.float32
    )
    record = convert(request, tmp_path / "out")
    model = load_model(tmp_path / "out").model
    expected = embed(folder, "sharp video", CONFIG).embedding
    assert model.config.prompt_tokens == 3 and torch.equal(model.prompt, expected)
    assert record["prompt"]["text"] == "sharp video" and record["prompt"]["tokens"] == 3
    assert "“sharp video”, 3 tokens embedded by UMT5" in (tmp_path / "out" / "README.md").read_text()
    # Wan2.1 hands all `text_len` rows over, zeros included: the same output as with the prompt alone.
    whole = torch.cat([expected, torch.zeros(1, CONFIG.text_len - 3, CONFIG.text_dim)], dim=1)
    timestep = torch.full((1,), model.config.timestep, dtype=torch.float64)
    x = torch.randn(1, CONFIG.in_channels, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    found, wanted = model.dit(x, model.condition()), model.dit(x, model.dit.condition(timestep, whole))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    without = model.dit(x, model.dit.condition(timestep, torch.zeros_like(whole)))
    assert (found - without).abs().max() > 1e-3


def test_an_encoder_may_be_stored_in_half_and_lie_beside_its_tokenizer(tmp_path: Path) -> None:
    folder = text_encoder(tmp_path / "half", dtype=torch.bfloat16)
    expected = embed(folder, "sharp", CONFIG)
    assert expected.embedding.dtype == torch.float32 and expected.embedding.std() > 0.1
    together = tmp_path / "together"
    together.mkdir()
    for path in [*(folder / "text_encoder").iterdir(), *(folder / "tokenizer").iterdir()]:
        path.rename(together / path.name)
    assert torch.equal(embed(together, "sharp", CONFIG).embedding, expected.embedding)


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "text_encoder" / "model.safetensors"
    state = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(state)
    save_file(state, path, metadata={"format": "pt"})


def reconfigure(folder: Path, **changes: Any) -> None:
    path = folder / "text_encoder" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


NORM = "encoder.final_layer_norm.weight"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: edit(f, lambda s: s.pop(NORM)), rf"text_encoder: weights do not fit: missing tensor '{NORM}'"),
        (lambda f: edit(f, lambda s: s.update(x=torch.zeros(1))), "text_encoder: weights do not fit: unexpected tensor 'x'"),
        (lambda f: edit(f, lambda s: s.update({NORM: torch.zeros(2)})), "no whole UMT5 with its tokenizer"),
        (lambda f: edit(f, lambda s: s[NORM].fill_(torch.nan)), "the prompt's embedding holds NaN or infinity"),
        (lambda f: (f / "text_encoder" / "model.safetensors").unlink(), "no whole UMT5 with its tokenizer"),
        (lambda f: (f / "text_encoder" / "model.safetensors").write_bytes(b"x"), "no whole UMT5 with its tokenizer"),
        (lambda f: (f / "tokenizer" / "tokenizer.json").unlink(), "no whole UMT5 with its tokenizer"),
        (lambda f: reconfigure(f, model_type="t5"), "field 'model_type' is 't5'; allowed: 'umt5'"),
        (lambda f: (f / "text_encoder" / "config.json").write_text("{"), r"config\.json: not JSON"),
        (lambda f: (f / "text_encoder" / "config.json").unlink(), r"config\.json: no such file; --text-encoder is a folder"),
    ],
)
def test_an_encoder_that_is_not_whole_is_refused(folder: Path, damage: Callable[[Path], Any], message: str) -> None:
    damage(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        embed(folder, "sharp", CONFIG)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(folder))


def test_what_does_not_fit_the_network_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--prompt has 11 tokens; allowed: at most 10"):
        embed(folder, "sharp " * 10, CONFIG)
    with pytest.raises(ValueError, match=r"16 tokens of width 15 do not fit: .* the network reads a width of 12"):
        embed(text_encoder(tmp_path / "wide", width=15), "sharp", CONFIG)
    with pytest.raises(ValueError, match="4 tokens of width 12 do not fit: the tokenizer knows a token 6"):
        embed(text_encoder(tmp_path / "few", vocabulary=4), "quality", CONFIG)


def test_without_transformers_one_sentence_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match="--text-encoder needs the package transformers"):
        embed(folder, "sharp", CONFIG)


def test_nothing_is_asked_of_the_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: Any) -> Any:
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr("socket.socket.connect", connect)
    assert isinstance(embed(folder, "sharp", CONFIG), Prompt)
    assert os.environ.get("HF_HUB_OFFLINE") is None  # it is not this that keeps it from asking
