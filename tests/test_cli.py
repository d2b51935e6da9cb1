"""The `oasis` command: what works, and bad input, which gets one sentence and leaves every file as it was."""

import errno
import json
import os
import re
import shutil
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from little import WAN, checkpoint, moving
from safetensors.torch import load_file, save_file

from oasis import files, profiling, video
from oasis.attention import BACKENDS
from oasis.cli import main
from oasis.heads import COLUMNS
from oasis.routing import FRAME, GLOBAL, RoutingTable, window

BARS = ("probing:", "upscaling:")


class World:
    """Good and bad inputs in one folder, which no refused command may change."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.out = root / "out"
        self.model = checkpoint(root / "model")
        checkpoint(root / "wan", vae=WAN)
        digest = files.sha256(self.model / "model.safetensors")
        self.table = RoutingTable(
            model="little", weights_sha256=digest, patterns={"G": GLOBAL, "F": FRAME, "W": window(2, 2)}, layers=("FW", "WG")
        )
        self.table.save(root / "routing.json")
        self._clips()
        self._checkpoints()
        self._tables(digest)

    def __call__(self, text: str) -> list[str]:
        """Split a command line; what begins with @ is a name in the folder."""
        return [str(self.root / word[1:]) if word.startswith("@") else word for word in text.split()]

    def state(self) -> dict[str, bytes | None]:
        found = sorted(self.root.rglob("*"))
        return {str(path.relative_to(self.root)): path.read_bytes() if path.is_file() else None for path in found}

    def _clips(self) -> None:
        video.write(self.root / "clip.mkv", moving(5, 16, 16), Fraction(30000, 1001))
        video.write(self.root / "png", moving(5, 16, 16), 25)
        video.write(self.root / "dot.mkv", moving(1, 1, 1), 25)
        (self.root / "grids").mkdir()
        video.write(self.root / "grids" / "a.mkv", moving(2, 16, 16), 25)
        video.write(self.root / "grids" / "b.mkv", moving(2, 16, 24), 25)
        (self.root / "nothing").mkdir()
        (self.root / "text.txt").write_text("words\n" * 99)
        (self.root / "text.mp4").write_text("words\n" * 99)
        (self.root / "empty.mp4").write_bytes(b"")
        for name, count in (("cut.mp4", 30), ("cut.mkv", 30)):
            video.write(self.root / name, moving(count, 16, 16), 25)
            content = (self.root / name).read_bytes()
            (self.root / name).write_bytes(content[: len(content) * 3 // 4])
        with av.open(str(self.root / "frameless.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.height, stream.width, stream.pix_fmt = 16, 16, "bgr0"
            container.start_encoding()

    def _checkpoints(self) -> None:
        state = load_file(self.model / "model.safetensors")

        def changed(name: str, tensors: dict[str, torch.Tensor]) -> None:
            folder = Path(shutil.copytree(self.model, self.root / name))
            save_file(tensors, folder / "model.safetensors")
            config = json.loads((folder / "config.json").read_text())
            config["weights_sha256"] = files.sha256(folder / "model.safetensors")
            (folder / "config.json").write_text(json.dumps(config))

        bad = state["dit.head.projection.bias"].clone()
        bad[0] = float("nan")
        changed("nan", state | {"dit.head.projection.bias": bad})
        changed("lacking", {name: tensor for name, tensor in state.items() if name != "prompt"})
        changed("wider", state | {"prompt": torch.zeros(1, 3, 9)})
        replaced = Path(shutil.copytree(self.model, self.root / "replaced"))
        save_file(state | {"prompt": state["prompt"] + 1}, replaced / "model.safetensors")
        cut = Path(shutil.copytree(self.model, self.root / "cut")) / "model.safetensors"
        cut.write_bytes(cut.read_bytes()[:1000])

    def _tables(self, digest: str) -> None:
        text = (self.root / "routing.json").read_text()
        for name, old, new in (
            ("other-weights.json", digest, "ab" * 32),
            ("other-model.json", '"little"', '"oasis-tiny"'),
            ("layers.json", '"FW",', '"FW", "FW",'),
            ("letter.json", '"FW",', '"FQ",'),
            ("pattern.json", '"frame"', '"diagonal"'),
            ("not.json", "{", "["),
        ):
            assert old in text
            (self.root / name).write_text(text.replace(old, new))
        (self.root / "binary.json").write_bytes(bytes(range(128, 256)))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def before(world):
    return world.state()


@pytest.fixture
def refused(world, before, capsys):
    """Return a function that runs a command which must fail, and returns its one sentence."""

    def run(arguments, *, late=False):
        assert main(arguments) == 2
        said = capsys.readouterr()
        lines = [line for line in said.err.splitlines() if line.strip()]
        if late:  # the progress bar is there already
            lines = [line for line in lines if not line.startswith(BARS)]
        assert len(lines) == 1 and lines[0].startswith("error: ") and said.out == "", said
        assert world.state() == before
        return lines[0]

    return run


@pytest.fixture
def no_page(monkeypatch):
    """Leave out the pictures, which take most of the time."""
    monkeypatch.setattr(profiling.page, "write_page", lambda folder: [])


PROFILE = "profile --model @model --data @clip.mkv --patterns frame,window-2x2 --out @out"
UPSCALE = "upscale @clip.mkv @out.mkv --model @model"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--data @none.mp4", r"@none\.mp4: no such file or folder, and not one of builtin, builtin-train, builtin-test"),
        ("--data @text.txt", r"@text\.txt: not a video"),
        ("--data @text.mp4", r"@text\.mp4: not a video"),
        ("--data @empty.mp4", r"@empty\.mp4: not a video"),
        ("--data @frameless.mkv", r"@frameless\.mkv: .*(without|not a video)"),
        ("--data @cut.mp4", r"@cut\.mp4: .*(cut off|without)"),
        ("--data @cut.mkv", r"@cut\.mkv: .*cut off"),
        ("--data @nothing", r"@nothing: no clips; looked for .*\.mp4"),
        ("--data @grids", "clip 'b' has a token grid of 2x8x12 .*clip 'a' of 2x8x8; all clips need the same"),
        (
            "--model huge",
            "model 'huge' is unknown; allowed: tiny, tiny-routed, random-tiny, random-wan-1.3b, random-wan-1.3b-fast,"
            " or the folder of a checkpoint",
        ),
        (
            "--model @nothing",
            r"@nothing/config\.json: no such file; a model is a folder with config.json and model.safetensors",
        ),
        ("--model @nan", r"@nan/model\.safetensors: tensor 'dit\.head\.projection\.bias' holds NaN or infinity"),
        ("--model @lacking", r"@lacking/model\.safetensors: weights do not fit: 1 missing \(prompt\)"),
        (
            "--model @wider",
            r"@wider/model\.safetensors: weights do not fit: 1 misshapen \(prompt \(1, 3, 9\) for \(1, 3, 8\)\)",
        ),
        ("--model @replaced", r"@replaced/model\.safetensors: its sha256 is .*, but config\.json names"),
        ("--model @cut", r"@cut/model\.safetensors: not a safetensors file, or cut off"),
        (
            "--rule knapsack:ratio=1",
            "rule 'knapsack' is unknown; allowed: threshold, quota, budget, greedy, random, random-within, uniform",
        ),
        ("--rule budget", "rule 'budget' needs the parameter 'ratio'"),
        ("--rule budget:tau=1", "rule 'budget' has no parameter 'tau'; allowed: ratio"),
        ("--rule budget:ratio=2", "parameter 'ratio' of rule 'budget' must be a number above 0 and at most 1, got 2"),
        ("--rule budget:ratio", "'ratio' must have the form name=value"),
        ("--rule budget:ratio=0.01", r"budget ratio 0\.01 is out of reach; the lowest ratio of these patterns is 0\.0625"),
        ("--rule uniform:pattern=window-8x8", "pattern 'window-8x8' is not in the .*; allowed: global, frame, window-2x2"),
        ("--rule quota:global=0.5,frame=0.2", r"shares must add up to 1, or to the 4 heads, got 0\.7"),
        ("--rule random:seed=0,like=@none.json", r"none\.json: No such file or directory"),
        (
            "--patterns frame,spiral",
            "pattern 'spiral' is unknown; allowed: global, frame, window-AxC.*, neighbour-K, sliding-rRxS",
        ),
        ("--patterns frame,window-0x8", r"pattern field 'size' must be 2 whole number\(s\) of at least 1, got \(0, 8\)"),
        ("--patterns frame,global", "patterns are frame, global; allowed: each once, and not global"),
        ("--patterns frame,frame", "patterns are frame, frame; allowed: each once"),
        ("--crop 48", "--crop is '48'; allowed: 2 whole numbers with 'x' between them, such as 16x16"),
        ("--crop 0x80", "--crop is '0x80'; allowed"),
        ("--crop -4x80", "--crop is '-4x80'|--crop: expected one argument"),
        ("--frames 0", "--frames is 0; allowed: a whole number of at least 1"),
        ("--frames many", "argument --frames: invalid int value: 'many'"),
        ("--backend dense", "argument --backend: invalid choice: 'dense' .*folded.*masked.*flex"),
        ("--device tpu", "argument --device: invalid choice: 'tpu' .*cpu.*cuda"),
        ("--out @text.txt", r"@text\.txt: there is a file of this name, but a folder is to be written"),
        ("--out @text.txt/run", r"@text\.txt: (File exists|Not a directory)|text\.txt/run: Not a directory"),
        ("--colour red", "unrecognized arguments: --colour red"),
    ],
)
def test_profile_refuses(world, refused, change, message):
    said = refused(world(f"{PROFILE} {change}"))
    assert re.search(message.replace("@", re.escape(f"{world.root}/")), said), said


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("@none.mp4 @out.mkv", r"@none\.mp4: no such file or folder"),
        ("@text.txt @out.mkv", r"@text\.txt: not a video"),
        ("@empty.mp4 @out", r"@empty\.mp4: not a video"),
        ("@nothing @out", r"@nothing: no clips; looked for"),
        ("@clip.mkv @out.gif", r"@out\.gif: cannot write '\.gif'; allowed: \.mp4, \.mkv, \.mov, or a folder"),
        ("@clip.mkv @none/out.mkv", r"@none/out\.mkv: there is no folder @none to write it into"),
        ("@clip.mkv @none/out", r"@none/out: there is no folder @none to write it into"),
        ("@clip.mkv @text.txt", r"@text\.txt: cannot write '\.txt'"),
        ("@png @png", "@png: IN and OUT are the same"),
        ("@clip.mkv @clip.mkv", r"@clip\.mkv: IN and OUT are the same"),
        ("@clip.mkv @out --routing @none.json", r"@none\.json: No such file or directory"),
        ("@clip.mkv @out --routing @not.json", r"@not\.json: not a JSON file"),
        ("@clip.mkv @out --routing @binary.json", r"@binary\.json: not a JSON file"),
        ("@clip.mkv @out --routing @clip.mkv", r"@clip\.mkv: not a JSON file"),
        ("@clip.mkv @out --routing @letter.json", r"@letter\.json: layer 0 names pattern 'Q'; allowed: F, G, W"),
        (
            "@clip.mkv @out --routing @pattern.json",
            r"@pattern\.json: pattern kind 'diagonal' is unknown; allowed: global, frame,",
        ),
        ("@clip.mkv @out --routing @layers.json", "the routing table has 3 layers of 2 heads, the model 2 of 2"),
        ("@clip.mkv @out --routing @other-weights.json", "the routing table is for weights abab.*, these are [0-9a-f]{64}"),
        ("@clip.mkv @out --routing @other-model.json", "the routing table is for model 'oasis-tiny', this is 'little'"),
        ("@clip.mkv @out --model huge", "model 'huge' is unknown; allowed: tiny, tiny-routed, random-tiny"),
        ("@clip.mkv @out --model @nan", r"@nan/model\.safetensors: tensor .* holds NaN"),
        ("@clip.mkv @out --tile 16x16", "--tile is '16x16'; allowed: 3 whole numbers with 'x' between them, such as 16x16x16"),
        ("@clip.mkv @out --tile 17x0x80", "--tile is '17x0x80'"),
        ("@clip.mkv @out --frames 0", "--frames is 0; allowed"),
        ("@clip.mkv @out --backend dense", "invalid choice: 'dense'"),
        (
            "@clip.mkv @out --decoder-tile 4x4",
            "the decoder of 'little' is of kind 'small'; allowed in tiles: that of kind 'wan'",
        ),
        ("@clip.mkv @out --decoder-tile 4", "--decoder-tile is '4'; allowed: 2 whole numbers"),
        ("@clip.mkv @out --decoder-overlap 2", "--decoder-overlap is 2, but there are no tiles"),
        ("@clip.mkv @out --model @wan --decoder-tile 4x4", "tiles of 4 cannot share 4; allowed: less than half"),
        (
            "@clip.mkv @out --device cpu --fp8",
            r"fp8 needs a CUDA device of compute capability 8\.9 or more, and this model is on cpu",
        ),
        ("@clip.mkv @out --device cpu --graph", "CUDA graphs need a CUDA device, and this model is on cpu"),
        ("@clip.mkv @out --graph --parallel context", "--graph cannot hold the exchanges of --parallel context"),
        ("@clip.mkv", "the following arguments are required: OUT"),
    ],
)
def test_upscale_refuses(world, refused, command, message):
    model = "" if "--model" in command else " --model @model"
    said = refused(world(f"upscale {command}{model}"))
    assert re.search(message.replace("@", re.escape(f"{world.root}/")), said), said


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "frameless.mkv"])
@pytest.mark.parametrize("out", ["@out.mkv", "@out"])
def test_upscale_refuses_a_damaged_clip_wherever_the_damage_is(world, refused, name, out):
    said = refused(world(f"upscale @{name} {out} --model @model --tile 5x16x16"), late=True)
    assert re.search(rf"{re.escape(name)}: .*(cut off|without|not a video)", said)


def test_an_output_of_the_other_kind_is_refused_before_any_work(world, refused, tmp_path):
    (tmp_path / "folder.mkv").mkdir()
    (tmp_path / "file").write_text("mine")
    for name, there, wanted in (("folder.mkv", "folder", "file"), ("file", "file", "folder")):
        said = refused([*world("upscale @clip.mkv --model @model"), str(tmp_path / name)])
        assert f"{tmp_path / name}: there is a {there} of this name, but a {wanted} is to be written" in said
    assert (tmp_path / "file").read_text() == "mine" and not list((tmp_path / "folder.mkv").iterdir())


def test_other_commands_refuse(world, refused, tmp_path):
    table = tmp_path / "heads.csv"
    table.write_text("a,b\n1,2\n")
    for arguments, message in (
        ([], "the following arguments are required: COMMAND"),
        (["sharpen"], "invalid choice: 'sharpen' .*profile.*route.*plot.*upscale.*train.*doctor"),
        (world("route @none.csv --rule all"), r"none\.csv: No such file or directory"),
        (["route", str(table), "--rule", "all"], rf"heads\.csv: column 1 is 'a', not 'model'.*{COLUMNS[-1]}"),
        (world("plot @none"), r"none: heads\.csv is missing; a run's folder holds heads\.csv, routing\.json"),
        (world("plot @nothing"), r"nothing: heads\.csv is missing"),
    ):
        assert re.search(message, refused(arguments))
    assert list(tmp_path.iterdir()) == [table]


def denied(*_, **names):
    raise PermissionError(errno.EACCES, "Permission denied", f"{names['dir']}/{names['prefix']}x7")


@pytest.mark.parametrize(
    ("command", "name"), [(PROFILE, "out"), (UPSCALE, "out.mkv"), ("upscale @clip.mkv @out --model @model", "out")]
)
def test_a_folder_that_may_not_be_written_is_told_before_any_work(world, refused, monkeypatch, command, name):
    monkeypatch.setattr(tempfile, "mkdtemp", denied)
    monkeypatch.setattr(tempfile, "mkstemp", denied)
    place = f".{name}.parts/run.json" if command.startswith("upscale") else name
    assert refused(world(command), late=True) == f"error: {world.root / place}: Permission denied"


@pytest.mark.parametrize("limit", [20, 600])
@pytest.mark.parametrize(
    ("command", "name"), [(PROFILE, "out"), (UPSCALE, "out.mkv"), ("upscale @clip.mkv @out --model @model", "out")]
)
def test_a_write_that_fails_leaves_nothing(world, refused, monkeypatch, no_page, command, name, limit):
    """The system refuses every byte of a file after the first few, as a full disk does, wherever it is written from."""
    resource = pytest.importorskip("resource")
    arguments, (soft, hard) = world(command), resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        said = refused(arguments, late=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    place = f".{name}.parts/run.json" if command.startswith("upscale") else name
    assert said == f"error: {world.root / place}: {os.strerror(errno.EFBIG)}"


@pytest.mark.parametrize("stage", ["probe", "decide", "page"])
def test_a_disk_that_fills_up_leaves_nothing_at_any_stage(world, refused, monkeypatch, stage):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = {
        "probe": (profiling.probe, "probe"),
        "decide": (profiling.decide, "decide"),
        "page": (profiling.page, "write_page"),
    }
    monkeypatch.setattr(*target[stage], full)
    assert refused(world(PROFILE), late=True) == f"error: {world.out}: No space left on device"


@pytest.mark.parametrize("command", [PROFILE, UPSCALE, "upscale @png @out --model @model --tile 1x16x16"])
def test_an_interrupt_leaves_nothing(world, refused, monkeypatch, command):
    calls = []

    def interrupted(self, *_, **__):
        calls.append(self)
        if len(calls) > 1 or command != "upscale @png @out --model @model --tile 1x16x16":
            raise KeyboardInterrupt
        return torch.rand(1, 3, 1, 64, 64)

    monkeypatch.setattr("oasis.model.oasis.Oasis.forward", interrupted)
    monkeypatch.setattr("oasis.model.oasis.Oasis.latents", interrupted)
    assert refused(world(command), late=True) == "error: stopped; no file is left half-written"


def test_a_run_that_fails_leaves_the_one_before(world, monkeypatch, no_page, tmp_path, capsys):
    command = [*world(PROFILE), "--out", str(tmp_path / "run")]
    assert main(command) == 0
    state = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    monkeypatch.setattr(profiling.decide, "decide", lambda *_, **__: (_ for _ in ()).throw(ValueError("no")))
    assert main([*command, "--frames", "1"]) == 2
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == state
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_one_frame_of_one_pixel_works(world, no_page, tmp_path, capsys):
    assert main(["profile", *world("--model @model --data @dot.mkv --out"), str(tmp_path / "run")]) == 0
    for name in ("out.mkv", "out.mp4", "out"):
        assert main(["upscale", *world("@dot.mkv --model @model"), str(tmp_path / name)]) == 0
        assert video.read(tmp_path / name).frames.shape == (1, 3, 4, 4)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("G  global") and said[3] == "attention FLOPs  1.0000 of dense"


def test_upscale_dense_and_routed(world, tmp_path, capsys):
    common = [*world("upscale @clip.mkv --model @model"), "--tile", "5x8x12"]
    assert main([*common, str(tmp_path / "dense.mkv")]) == 0
    assert main([*common, str(tmp_path / "routed.mkv"), "--routing", str(world.root / "routing.json")]) == 0
    assert main([*common, str(tmp_path / "first"), "--frames", "2"]) == 0
    dense, routed = (video.read(tmp_path / f"{name}.mkv") for name in ("dense", "routed"))
    assert dense.frames.shape == routed.frames.shape == (5, 3, 64, 64) and dense.fps == Fraction(30000, 1001)
    assert not torch.equal(dense.frames, routed.frames)
    assert video.read(tmp_path / "first").frames.shape[0] == 2
    lines = capsys.readouterr().out.splitlines()
    for line, name, kind in zip(
        lines, ("dense", "routed"), ("dense", f"routed by {world.root / 'routing.json'}"), strict=False
    ):
        path = tmp_path / f"{name}.mkv"
        assert line == f"{path}  5 frames of 64x64; little, {kind}, attention folded; {path}.json"


def test_upscale_with_tokens_in_the_order_of_windows_is_close_and_recorded(world, tmp_path):
    command = [*world("upscale @clip.mkv --model @model --routing @routing.json"), "--tile", "5x8x12"]
    for name in ("folded", "ordered"):
        assert main([*command, str(tmp_path / f"{name}.mkv"), "--backend", name]) == 0
    folded, ordered = (video.read(tmp_path / f"{name}.mkv").frames.int() for name in ("folded", "ordered"))
    assert (folded - ordered).abs().max() <= 1
    record = json.loads((tmp_path / "ordered.mkv.json").read_text())
    assert record["backend"] == "ordered" and record["kernels"] == dict.fromkeys(("frame", "window-2x2", "global"), "sdpa")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_upscale_in_half_precision_is_asked_for_recorded_and_close(world, tmp_path, dtype):
    for name, options in (("wide.mkv", []), ("half.mkv", ["--dtype", dtype])):
        assert main([*world("upscale @clip.mkv --model @model"), "--tile", "5x8x12", str(tmp_path / name), *options]) == 0
    wide, half = (video.read(tmp_path / name).frames.float() for name in ("wide.mkv", "half.mkv"))
    assert 0 < (wide - half).abs().mean() < 3
    assert json.loads((tmp_path / "half.mkv.json").read_text())["dtype"] == dtype


@pytest.mark.parametrize("overlap", [[], ["--decoder-overlap", "1"]])
def test_upscale_and_estimate_with_tiles_of_the_decoder(world, tmp_path, capsys, overlap):
    command = [*world("@clip.mkv --model @wan"), str(tmp_path / "out.mkv"), "--decoder-tile", "9x9", *overlap]
    assert main(["estimate", *command]) == 0 and "MiB" in capsys.readouterr().out
    assert main(["upscale", *command]) == 0
    record = json.loads((tmp_path / "out.mkv.json").read_text())
    assert record["decoder_tiles"] == {"size": [9, 9], "overlap": 1 if overlap else 4}


def test_upscale_by_random_weights_says_so(world, tmp_path, capsys):
    model = checkpoint(tmp_path / "random", trained=False)
    assert main([*world("upscale @dot.mkv"), str(tmp_path / "out.mkv"), "--model", str(model)]) == 0
    assert "UNTRAINED WEIGHTS: the output says nothing about a trained model" in capsys.readouterr().err


def test_from_a_clip_to_a_table_and_through_the_later_steps(world, no_page, monkeypatch, tmp_path, capsys):
    out = tmp_path / "deep" / "run"
    assert main([*world(PROFILE), "--out", str(out), "--rule", "threshold:tau=0.5"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line[:1] for line in said[:3]] == ["G", "F", "W"] and said[3].startswith("attention FLOPs  ")
    assert said[4:] == [str(out / name) for name in ("heads.csv", "looks.npz", "profiles.csv", "routing.json", "run.json")]
    record = json.loads((out / "run.json").read_text())
    assert record["command"].startswith(
        f"oasis profile --model {world.model} --data {world.root / 'clip.mkv'} --rule threshold"
    )

    first = (out / "routing.json").read_bytes()
    assert main(["route", str(out / "heads.csv"), "--rule", "threshold:tau=0.5"]) == 0
    assert (out / "routing.json").read_bytes() == first
    assert main(["route", str(out / "heads.csv"), "--rule", "uniform:pattern=frame", "--out", str(tmp_path / "all.json")]) == 0
    assert RoutingTable.load(tmp_path / "all.json").counts() == {"G": 0, "F": 4, "W": 0}
    capsys.readouterr()
    assert main(["route", str(out / "heads.csv"), "--rule", "all"]) == 0
    assert "budget:ratio=" in capsys.readouterr().out and (out / "routing.json").read_bytes() == first
    assert main([*world(UPSCALE), str(tmp_path / "out.mkv"), "--routing", str(tmp_path / "all.json")]) == 2  # two OUTs
    assert (
        main([*world("upscale @clip.mkv --model @model --routing"), str(tmp_path / "all.json"), str(tmp_path / "o.mkv")]) == 0
    )


def test_help_and_version(capsys):
    for arguments, shown in ((["--help"], "profile"), (["--version"], "oasis-vsr "), (["profile", "--help"], "budget:ratio=")):
        with pytest.raises(SystemExit) as done:
            main(arguments)
        assert done.value.code == 0 and shown in capsys.readouterr().out


def test_every_backend_can_be_asked_for(world, tmp_path, monkeypatch, capsys):
    used = []

    def nearest(model, lq, tiling):
        used.append(model.dit.backend)
        return lq.repeat_interleave(4, -1).repeat_interleave(4, -2)

    monkeypatch.setattr("oasis.upscale.work.upscale_chunk", nearest)
    for backend in BACKENDS:
        assert main([*world("upscale @clip.mkv --model @model"), str(tmp_path / f"{backend}.mkv"), "--backend", backend]) == 0
    assert used == list(BACKENDS)
