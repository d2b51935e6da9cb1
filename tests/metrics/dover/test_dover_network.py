import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, safe_open
from torch import Tensor

from oasis.metrics.dover import swin
from oasis.metrics.dover.convnext import ConvNeXt3D
from oasis.metrics.dover.network import Dover, load, published
from oasis.metrics.dover.swin import SwinTransformer3D, fragment_of, relative_position_index


def small(folder: Path) -> Dover:
    config = json.loads((folder / "config.json").read_text())
    technical, aesthetic = config["technical_SwinTransformer3D_kwargs"], config["aesthetic_ConvNeXt3D_kwargs"]
    network = Dover(
        SwinTransformer3D(
            technical["embed_dim"],
            tuple(technical["depths"]),
            tuple(technical["num_heads"]),
            tuple(technical["window_size"]),
        ),
        ConvNeXt3D(tuple(aesthetic["depths"]), tuple(aesthetic["dims"])),
        hidden=config["head_hidden_channels"],
    )
    network.load_state_dict(load_file(folder / "weights.safetensors"))
    return network.eval()


def stages(network: Dover, branch: str, clip: Tensor) -> dict[str, Tensor]:
    """Run a branch of one clip; every stage by its name in the shared outputs, channels first."""
    seen: dict[str, Tensor] = {}

    def keep(name: str, channels: int) -> Callable[..., None]:
        return lambda module, given, out: seen.update({name: out.movedim(channels, 0)})

    backbone = network.technical_backbone if branch == "technical" else network.aesthetic_backbone
    hooks = [backbone.register_forward_hook(keep("feat", 0))]
    if branch == "technical":
        hooks.append(backbone.patch_embed.register_forward_hook(keep("patch_embed_out", -1)))
        hooks += [x.register_forward_hook(keep(f"layer{i}_out", -1)) for i, x in enumerate(backbone.layers)]
    else:
        hooks += [x.register_forward_hook(keep(f"stage{i}_out", 0)) for i, x in enumerate(backbone.stages)]
    with torch.inference_mode():
        seen["score_map"] = (network.technical if branch == "technical" else network.aesthetic)(clip)
    for hook in hooks:
        hook.remove()
    return {f"{branch}_{name}": out for name, out in seen.items()}


@pytest.mark.parametrize("branch", ["technical", "aesthetic"])
@pytest.mark.parametrize("case", ["tiny", "tiny_padding"])
def test_every_stage_equals_the_authors(case: str, branch: str, shared: Callable[[str], Path]) -> None:
    folder = shared(f"golden/dover/{case}")
    network = small(folder)
    clips = load_file(folder / "inputs.safetensors")[f"{branch}_u8"]
    expected = {name: x for name, x in load_file(folder / "outputs.safetensors").items() if name.startswith(branch)}
    score = expected.pop(f"{branch}_score")
    found = [stages(network, branch, clip) for clip in clips]
    assert set(found[0]) == set(expected)
    for name, wanted in expected.items():
        torch.testing.assert_close(torch.stack([each[name] for each in found]), wanted, atol=2e-5, rtol=1e-4)
    maps = torch.stack([each[f"{branch}_score_map"] for each in found])
    assert maps.mean().item() == pytest.approx(score.item(), abs=2e-5)


def test_the_network_has_the_authors_names_shapes_and_types(shared: Callable[[str], Path]) -> None:
    lines = shared("golden/dover/names.txt").read_text().splitlines()
    wanted = {tuple(line.split("\t")) for line in lines}
    found = {(name, str(tuple(x.shape)), str(x.dtype)[6:]) for name, x in published().state_dict().items()}
    assert len(lines) == 381
    assert found == wanted


def test_the_index_of_offsets_is_the_one_in_the_authors_checkpoint(shared: Callable[[str], Path]) -> None:
    with safe_open(shared("golden/dover/tiny/weights.safetensors"), "pt") as weights:
        stored = weights.get_tensor("technical_backbone.layers.0.blocks.0.attn.relative_position_index")
    assert torch.equal(relative_position_index((4, 4, 4)), stored)


sides = st.integers(1, 4)


@settings(max_examples=20, deadline=None)
@given(window=st.tuples(sides, sides, sides))
def test_pairs_of_tokens_share_an_index_where_they_share_an_offset(window: swin.Size) -> None:
    index = relative_position_index(window).tolist()
    places = [(t, h, w) for t in range(window[0]) for h in range(window[1]) for w in range(window[2])]
    of_offset: dict[tuple[int, ...], int] = {}
    for i, a in enumerate(places):
        for j, b in enumerate(places):
            offset = tuple(x - y for x, y in zip(a, b, strict=True))
            assert of_offset.setdefault(offset, index[i][j]) == index[i][j]
    assert len(set(of_offset.values())) == len(of_offset)
    assert 0 <= min(of_offset.values()) <= max(of_offset.values()) < math.prod(2 * side - 1 for side in window)


def test_fragments_cover_a_map_evenly() -> None:
    row, column = fragment_of((2, 56, 14), (8, 7, 7)).unbind(-1)
    assert row[1, :, 3].tolist() == [i // 8 for i in range(56)]
    assert column[0, 9].tolist() == [j // 2 for j in range(14)]


def test_how_many_windows_share_a_call_changes_nothing(monkeypatch: pytest.MonkeyPatch, shared: Callable[[str], Path]) -> None:
    folder = shared("golden/dover/tiny_padding")
    network = small(folder)
    clip = load_file(folder / "inputs.safetensors")["technical_u8"][0]
    with torch.inference_mode():
        together = network.technical(clip)
        monkeypatch.setattr(swin, "AT_ONCE", 1)
        torch.testing.assert_close(network.technical(clip), together, atol=1e-6, rtol=0)


@pytest.mark.parametrize("content", ["text", "code", "list", "tensors"])
def test_a_file_that_is_not_the_authors_checkpoint_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "DOVER.pth"
    match content:
        case "text":
            path.write_text("Not Found")
        case "code":
            path.write_bytes(pickle.dumps(print, protocol=2))
        case "list":
            torch.save([torch.zeros(1)], path)
        case "tensors":
            torch.save({"technical_head.fc_last.bias": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"DOVER\.pth does not hold DOVER's weights") as caught:
        load(path)
    assert "\n" not in str(caught.value)
