"""The whole measurement on a small network: exact skips, untouched weights, whole folders, pages without surprises."""

import math

import pandas as pd
import pytest
import torch
from little import checkpoint, moving, network

from oasis import video
from oasis.cli import main
from oasis.data.cutting import Cut
from oasis.probe import as_input
from oasis.redundancy import constants, effects, run, skips
from oasis.redundancy.seen import watch
from oasis.report.chapters import read_chapter
from oasis.routing import GLOBAL, RoutingTable, window


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for seed, name in enumerate(("a.mkv", "b.mkv")):
        video.write(folder / name, moving(6, 32, 36, seed=seed), 25)
    return folder


@pytest.fixture(scope="module")
def finished(clips, tmp_path_factory):
    model = checkpoint(tmp_path_factory.mktemp("model") / "little", layers=3, trained=False)
    out = tmp_path_factory.mktemp("runs") / "redundancy"
    assert main(["redundancy", str(out), "--model", str(model), "--data", str(clips), "--frames", "5"]) == 0
    return out


@pytest.mark.parametrize(("part", "weights"), [("self-attention", "self_attention.output"), ("mlp", "mlp.down")])
def test_a_part_left_out_is_a_part_whose_weights_are_zero(part, weights):
    frames, model, emptied = moving(5, 16, 16), network(), network()
    state = emptied.state_dict()
    for name in ("weight", "bias"):
        state[f"dit.blocks.1.{weights}.{name}"].zero_()
    with skips.skipped(model.dit.blocks[1], part):
        found = effects.output(model, frames)
    assert torch.equal(found.latents, effects.output(emptied, frames).latents)
    assert not torch.equal(found.latents, effects.output(model, frames).latents)


def test_a_layer_left_out_is_a_shorter_network():
    frames, model, shorter = moving(5, 16, 16), network(), network(layers=1)
    state = model.state_dict()
    shorter.load_state_dict({name: state[name] for name in shorter.state_dict()})
    with skips.skipped(model.dit.blocks[1], "layer"):
        found = effects.output(model, frames)
    assert torch.equal(found.latents, effects.output(shorter, frames).latents)


def test_what_is_seen_adds_up_and_keeps_the_checkpoint_s_heads():
    model, routed = network(heads=3), network(heads=3)
    table = RoutingTable(model="little", weights_sha256="0", patterns={"G": GLOBAL, "A": window(64, 64)}, layers=("GAG", "AGA"))
    routed.dit.route(table)  # other order of heads, but the windows hold every token
    frames = moving(5, 16, 16)
    one, other = (watch(each, as_input(each, frames)) for each in (model, routed))
    for a, b in zip(one.heads, other.heads, strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    assert torch.equal(one.latents, effects.output(model, frames).latents)


def test_constants_come_back_after_a_change():
    model = network()
    model.fold_constants()
    frames = moving(5, 16, 16)
    before, prompt, timestep = effects.output(model, frames), model.prompt.clone(), model.config.timestep
    changed = [row.latent_rel for row in constants.rows(model, "a", frames, None, before, lambda: None)]
    assert len(changed) == constants.COUNT and all(value > 0 for value in changed)
    assert torch.equal(effects.output(model, frames).latents, before.latents)
    assert torch.equal(model.prompt, prompt) and model.config.timestep == timestep


def test_an_equal_output_has_no_effect():
    found = effects.output(network(), moving(5, 16, 16))
    truth = torch.zeros(5, 3, 64, 64, dtype=torch.uint8)
    assert effects.effect(found, found, truth) == (0, math.inf, 0)


def test_the_folder_holds_chapters_tables_and_one_page(finished):
    assert {path.name for path in finished.iterdir()} == {"index.html", "layers", "profile", "similarity", "tokens"}
    rows = pd.read_csv(finished / "similarity" / "similarity.csv", skiprows=1)
    heads = rows[rows["of"] == "head"]
    assert len(heads) == 2 * 15 and heads["cka"].between(0, 1 + 1e-6).all()
    assert len(pd.read_csv(finished / "layers" / "skips.csv", skiprows=1)) == 2 * 3 * 4
    assert len(pd.read_csv(finished / "tokens" / "tokens.csv", skiprows=1)) == 2 * 4 * 4
    for name in ("similarity", "layers", "tokens"):
        chapter = read_chapter(finished / name)
        assert not chapter.trained and len(chapter.findings) >= 4
        assert not any("nan" in finding.text for finding in chapter.findings)
    page = (finished / "index.html").read_text(encoding="utf-8")
    assert "UNTRAINED WEIGHTS" in page and 'src="layers/skips.png"' in page


def test_equal_requests_give_equal_bytes(finished, clips, tmp_path):
    model = checkpoint(tmp_path / "little", layers=3, trained=False)
    run.run(run.Request(model=str(model), data=str(clips), cut=Cut(frames=5)), tmp_path / "again")
    for name in ("similarity/similarity.csv", "layers/skips.csv", "layers/skips.png", "tokens/tokens.csv"):
        one, other = ((folder / name).read_bytes() for folder in (finished, tmp_path / "again"))
        assert one.split(b"\n", 1)[1] == other.split(b"\n", 1)[1], name  # the first line names the model's folder


def test_nothing_is_left_of_a_run_that_fails(clips, tmp_path, capsys):
    model = checkpoint(tmp_path / "little", layers=1, heads=2)
    assert main(["redundancy", str(tmp_path / "out"), "--model", str(model), "--data", str(clips), "--frames", "5"]) == 2
    assert "at least 4" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["little"]
