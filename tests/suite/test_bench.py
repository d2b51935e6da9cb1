"""The whole bench through its real path: a little network, one clip, few frames, few routings."""

import functools
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import little
import numpy as np
import pytest
from PIL import Image

from oasis import costs, files, methods, results, routings, timings, video
from oasis.cli import main
from oasis.data import builtin
from oasis.suite import bench, judging
from oasis.suite.routings import choose
from oasis.suite.settings import Settings

ABLE = ["bicubic", "lanczos", "little-dense", "little-quota", "little-random-0"]
FRAMES = 5


@dataclass(frozen=True)
class Ran:
    settings: Settings
    out: Path
    work: Path
    done: bench.Done

    def again(self) -> bench.Done:
        return bench.run(self.settings, self.out, self.work, workers=1)

    def measured(self, method: str) -> Path:
        return self.out / "results" / "measured" / f"{method}-builtin-test.csv"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OASIS_WEIGHTS", str(folder / "no-weights"))
        patch.setattr(judging, "METRICS", "psnr@y,ssim@y,ms_ssim@pyiqa")
        patch.setattr(bench, "ROUNDS", 2)
        patch.setattr(bench, "choose", lambda path: [each for each in choose(path) if each.name in ("quota", "random-0")])
        patch.setattr(builtin, "make", functools.cache(builtin.make))
        settings = Settings(model=str(little.checkpoint(folder / "little")), clips=1, frames=FRAMES)
        out, work = folder / "out", folder / "work"
        yield Ran(settings, out, work, bench.run(settings, out, work, workers=1))


def test_outputs_are_lossless_and_four_times_as_large(ran: Ran) -> None:
    assert sorted(path.name for path in (ran.work / "outputs").iterdir()) == ABLE
    for method in ABLE:
        path = ran.work / "outputs" / method / "chelsea-zoom.mkv"
        assert video.read(path).frames.shape == (FRAMES, 3, 192, 320)
        assert video.info(path).fps == builtin.FPS
    lq = video.read(ran.work / "test" / "lq" / "chelsea-zoom").frames
    image = Image.fromarray(lq[0].permute(1, 2, 0).numpy()).resize((320, 192), Image.Resampling.LANCZOS)
    first = video.read(ran.work / "outputs" / "lanczos" / "chelsea-zoom.mkv").frames[0]
    assert np.array_equal(first.permute(1, 2, 0).numpy(), np.asarray(image))


def test_routing_shows_in_the_pixels(ran: Ran) -> None:
    dense, quota = (video.read(ran.work / "outputs" / name / "chelsea-zoom.mkv").frames for name in ABLE[2:4])
    assert not dense.equal(quota)


def test_every_method_has_a_card_and_rows_of_test_clips_only(ran: Ran) -> None:
    cards = methods.load_all(ran.out / "methods")
    assert sorted(cards) == sorted([*ABLE, "imdn", "rlfn"])
    for name in cards:
        scores, about = results.read(ran.measured(name))
        assert (about["method"], about["dataset"]) == (name, "builtin-test")
        assert {score.clip for score in scores} == {"chelsea-zoom"} and len(scores) == 3
        assert {score.status for score in scores} == ({"ok"} if name in ABLE else {"unavailable"})


def test_missing_weights_are_said_in_rows_and_at_the_end(ran: Ran) -> None:
    scores, _ = results.read(ran.measured("imdn"))
    assert scores[0].reason.startswith("its weights imdn_x4_ntire.pth were not on the machine; they are at https://")
    assert any(
        line.startswith("imdn is unavailable: the imdn weights imdn_x4_ntire.pth are not in ") for line in ran.done.lines
    )


def test_heads_are_measured_on_training_clips_only(ran: Ran) -> None:
    record = json.loads((ran.work / "heads" / "run.json").read_text())
    _, about = routings.read(ran.out / "results" / "routings" / "little.csv")
    assert list(record["clips"]) == about["profiled_on"] == ["astronaut-zoom"]
    assert about["judged_on"] == ["chelsea-zoom"]


def test_routing_rows_say_cost_time_and_quality(ran: Ran) -> None:
    rows, _ = routings.read(ran.out / "results" / "routings" / "little.csv")
    assert [(row.rule.split(":")[0], row.control, row.measure) for row in rows] == [
        (rule, control, measure) for rule, control in (("quota", 0), ("random", 1)) for measure in judging.QUALITY
    ]
    assert rows[0].attention_flops_ratio == rows[3].attention_flops_ratio
    scores = {name: results.read(ran.measured(f"little-{name}"))[0] for name in ("quota", "dense")}
    assert rows[0].quality == judging.mean(scores["quota"], "psnr@y")
    assert rows[0].quality_dense == judging.mean(scores["dense"], "psnr@y")
    timed = {row.subject: row.ratio for row in timings.read(ran.out / "results" / "timings" / "bench-cpu.csv")[0]}
    assert rows[0].seconds_ratio == timed["little-quota"]


def test_everything_is_timed_against_dense_and_counted(ran: Ran) -> None:
    timed, about = timings.read(ran.out / "results" / "timings" / "bench-cpu.csv")
    assert [row.subject for row in timed] == ABLE and {row.baseline for row in timed} == {"little-dense"}
    assert {(row.case, row.frames, row.rounds) for row in timed} == {("5x48x80", 5, 2)}
    assert next(row for row in timed if row.subject == "little-dense").ratio == 1
    assert about["harness_overhead"] < 0.01
    counted, _ = costs.read(ran.out / "results" / "costs" / "bench.csv")
    total = {(row.subject, row.kind): row.flops for row in counted if row.phase == "total"}
    assert total["little-dense", "dense"] == total["little-quota", "dense"] > total["little-quota", "useful"]
    assert total["random-wan-1.3b dense", "useful"] > 1e13


def test_pictures_are_whole_frames_and_slices(ran: Ran) -> None:
    folder = ran.out / "frames" / "builtin-test" / "chelsea-zoom"
    names = sorted(["ground-truth", *ABLE])
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [f"{n}.png" for n in names] + [f"{n}-xt.png" for n in names]
    )
    hr = video.read(ran.work / "test" / "gt" / "chelsea-zoom").frames
    assert np.array_equal(np.asarray(Image.open(folder / "ground-truth.png")), hr[3].permute(1, 2, 0).numpy())
    slice_ = np.asarray(Image.open(folder / "ground-truth-xt.png"))
    assert np.array_equal(slice_[::4], hr[:FRAMES, :, 96].permute(0, 2, 1).numpy()) and len(slice_) == 4 * FRAMES


def test_the_report_stands_beside_the_rows(ran: Ran) -> None:
    assert "little-quota" in (ran.out / "leaderboard.md").read_text()
    assert "little-quota" in (ran.out / "index.html").read_text()


def test_a_stopped_bench_goes_on_to_the_same_bytes(ran: Ran) -> None:
    def everything() -> dict[str, bytes]:
        return {str(path.relative_to(ran.out)): path.read_bytes() for path in sorted(ran.out.rglob("*")) if path.is_file()}

    before = everything()
    (ran.work / "outputs" / "little-quota" / "chelsea-zoom.mkv").unlink()
    shutil.rmtree(ran.work / "scores" / "lanczos")
    shutil.rmtree(ran.out)
    assert ran.again().complete
    assert everything() == before


def test_a_clip_that_fails_is_said(ran: Ran) -> None:
    output = ran.work / "outputs" / "lanczos" / "chelsea-zoom.mkv"
    whole = output.read_bytes()
    video.write(output, video.read(output).frames[:, :, :96], builtin.FPS)
    done = ran.again()
    assert not done.complete and any(line.startswith("FAILED lanczos, chelsea-zoom, psnr@y: ") for line in done.lines)
    output.write_bytes(whole)
    assert ran.again().complete


def test_a_folder_of_another_bench_is_refused(ran: Ran) -> None:
    other = Settings(model=ran.settings.model, clips=1, frames=FRAMES + 1)
    with pytest.raises(ValueError, match="a bench with frames 5, not 6 left this; remove the folder or name another"):
        bench.run(other, ran.out, ran.work, workers=1)


def test_a_folder_where_a_bench_is_at_work_is_refused(ran: Ran) -> None:
    with files.alone(ran.work), pytest.raises(ValueError, match="another program is writing here"):
        ran.again()


@pytest.mark.parametrize(
    ("wrong", "said"), [({"clips": 0}, "clips is 0; allowed: 1 to 4"), ({"frames": 18}, "frames is 18; allowed: 2 to 17")]
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Settings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--clips", "9"], "error: clips is 9; allowed: 1 to 4\n"),
        (["--workers", "0"], "error: --workers is 0; allowed: a whole number of at least 1\n"),
        (
            ["--model", "none"],
            "error: model 'none' is unknown; allowed: tiny, tiny-routed, random-tiny, random-wan-1.3b, random-wan-1.3b-fast",
        ),
    ],
)
def test_the_command_refuses_in_one_sentence_and_writes_nothing(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--out", str(tmp_path / "out"), *words]) == 2
    assert capsys.readouterr().err.startswith(said)
    assert not (tmp_path / "out").exists()
