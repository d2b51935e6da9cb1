import multiprocessing
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from oasis import results, video
from oasis.cli import main
from oasis.results import Score
from oasis.score.request import Request, plan
from oasis.score.run import Done, preview, run

METRICS = "psnr@rgb,psnr@y-crop4,ssim@y"


def copied(pairs: Path, to: Path) -> Path:
    shutil.copytree(pairs, to)
    return to


def planned(root: Path, **more: object) -> Request:
    return Request(**{"outputs": root / "outputs", "gt": root / "gt", "metrics": METRICS, **more})  # type: ignore[arg-type]


def scored(root: Path, out: Path, *, workers: int = 1, **more: object) -> tuple[Done, list[Score]]:
    done = run(plan(planned(root, **more)), out, workers=workers, per_frame=True)
    return done, results.read(out / "scores.csv")[0]


def test_values_are_those_of_the_definition(pairs: Path, tmp_path: Path) -> None:
    done, rows = scored(pairs, tmp_path / "out")
    assert done.complete
    gt, output = (np.stack(list(video.arrays(pairs / name))).astype(float) for name in ("gt/001.mkv", "outputs/001"))
    expected = (10 * np.log10(255**2 / ((gt - output) ** 2).mean(axis=(1, 2, 3)))).mean()
    (row,) = [row for row in rows if (row.clip, row.measure) == ("001", "psnr@rgb")]
    assert row.value == pytest.approx(expected, abs=1e-6)
    assert (row.frames, row.align, row.status) == (6, "none", "ok")


def test_rows_stand_in_order_and_one_per_clip_and_measure(pairs: Path, tmp_path: Path) -> None:
    _, rows = scored(pairs, tmp_path / "out")
    assert [(row.clip, row.measure) for row in rows] == [
        (clip, measure) for clip in ("000", "001", "002") for measure in METRICS.split(",")
    ]


def test_two_workers_write_the_same_bytes(pairs: Path, tmp_path: Path) -> None:
    scored(pairs, tmp_path / "one")
    scored(pairs, tmp_path / "two", workers=2)
    for name in ("scores.csv", "clips.csv", "summary.csv", "frames.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_changed_clip_is_the_only_one_scored_again(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = copied(pairs, tmp_path / "data")
    _, before = scored(root, tmp_path / "out")
    shutil.copy(root / "gt" / "000.mkv", root / "outputs" / "000.mkv")
    assert "3 of 9 values are to be measured" in preview(plan(planned(root)), tmp_path / "out")[1]
    _, after = scored(root, tmp_path / "out")
    assert [row for row in after if row.clip != "000"] == [row for row in before if row.clip != "000"]
    assert [row.value for row in after if row.measure == "psnr@rgb" and row.clip == "000"] == [float("inf")]


def test_a_run_killed_at_20_moments_ends_with_the_same_bytes(pairs: Path, tmp_path: Path) -> None:
    scored(pairs, tmp_path / "whole")
    # A fork of this process, whose decoders have threads, could crash; a server that has only imported can be forked.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["oasis.score.run", "oasis.metrics.pixel"])

    def lasts(out: Path, seconds: float | None) -> tuple[float, bool]:
        child = context.Process(target=scored, args=(pairs, out))
        begun = time.monotonic()
        child.start()
        child.join(seconds)
        if child.is_alive():
            child.kill()
        child.join()
        assert child.exitcode in (0, -signal.SIGKILL)
        return time.monotonic() - begun, child.exitcode != 0

    whole = min(lasts(tmp_path / f"timed{number}", None)[0] for number in range(3))
    generator = np.random.default_rng(0)
    killed = 0
    for number in range(20):
        out = tmp_path / f"killed{number}"
        seconds, was_killed = lasts(out, generator.uniform(0, whole))
        killed += was_killed
        whole = whole if was_killed else min(whole, seconds)  # a machine that was busy before may be free now
        if (out / "scores.csv").exists():
            results.read(out / "scores.csv")
        scored(pairs, out)
        for name in ("scores.csv", "clips.csv", "summary.csv", "frames.csv"):
            assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert killed >= 10


def test_a_damaged_clip_is_a_failed_row_and_the_mean_says_so(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = copied(pairs, tmp_path / "data")
    path = root / "outputs" / "002.mkv"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    options = ["--outputs", str(root / "outputs"), "--gt", str(root / "gt"), "--metrics", METRICS, "--workers", "1"]
    assert main(["score", *options, "--out", str(tmp_path / "out")]) == 1
    assert "2/3" in capsys.readouterr().out
    failed = [row for row in results.read(tmp_path / "out" / "scores.csv")[0] if row.status != "ok"]
    assert {(row.clip, row.status, row.value) for row in failed} == {("002", "failed", None)}
    assert all("002.mkv" in row.reason for row in failed)


def test_a_missing_output_is_a_failed_row(pairs: Path, tmp_path: Path) -> None:
    root = copied(pairs, tmp_path / "data")
    (root / "outputs" / "000.mkv").unlink()
    done, rows = scored(root, tmp_path / "out")
    assert not done.complete
    assert {row.reason for row in rows if row.clip == "000"} == {"there is no output for this clip"}


def test_an_output_that_cannot_be_read_is_a_failed_row(pairs: Path, tmp_path: Path) -> None:
    root = copied(pairs, tmp_path / "data")
    (root / "outputs" / "001" / "00000003.png").unlink()
    (root / "outputs" / "001" / "00000003.png").mkdir()
    done, rows = scored(root, tmp_path / "out")
    assert not done.complete
    assert {row.status for row in rows if row.clip != "001"} == {"ok"}
    assert {row.status for row in rows if row.clip == "001"} == {"failed"}
    assert all("00000003.png" in row.reason for row in rows if row.clip == "001")


def test_weights_that_are_missing_are_a_row_of_their_own(pairs: Path, tmp_path: Path) -> None:
    done, rows = scored(pairs, tmp_path / "out", metrics="psnr@rgb,lpips@alex,dover@fused")
    assert not done.complete
    missing = [row for row in rows if row.measure != "psnr@rgb"]
    assert {row.status for row in missing} == {"unavailable"}
    assert all("OASIS_WEIGHTS" in row.reason for row in missing)
    assert {row.status for row in rows if row.measure == "psnr@rgb"} == {"ok"}


def test_a_cropped_output_is_refused_until_the_policy_says_so(pairs: Path, tmp_path: Path) -> None:
    root = copied(pairs, tmp_path / "data")
    for path in sorted((root / "gt").iterdir()):
        frames = [frame[:, 8:, :112] for frame in video.stream(path)]
        (root / "outputs" / f"{path.stem}.mkv").unlink(missing_ok=True)
        shutil.rmtree(root / "outputs" / path.stem, ignore_errors=True)
        video.write(root / "outputs" / path.name, frames, 25)
    done, rows = scored(root, tmp_path / "refused")
    assert {row.status for row in rows} == {"failed"}
    advised = "--align crop:left=0,top=8,width=112,height=88"
    assert any(advised in row.reason for row in rows), rows[0].reason
    done, rows = scored(root, tmp_path / "allowed", align=advised.removeprefix("--align "))
    assert done.complete
    assert {row.align for row in rows} == {advised.removeprefix("--align ")}
    assert {row.value for row in rows if row.measure == "psnr@rgb"} == {float("inf")}


def test_a_part_of_a_data_set_is_refused_until_the_policy_says_so(pairs: Path, tmp_path: Path) -> None:
    root = tmp_path / "vid4"
    for part in ("gt", "outputs"):
        (root / part).mkdir(parents=True)
        shutil.copy(pairs / part / "000.mkv", root / part / "calendar.mkv")
    asked = {"dataset": "vid4", "metrics": "psnr@rgb", "limit": 1}
    _, (refused,) = scored(root, tmp_path / "refused", **asked)
    assert (refused.status, refused.value) == ("failed", None)
    assert "has 6 frames, the data set says 41" in refused.reason
    advised = refused.reason.rsplit("--align ", 1)[1]
    _, (allowed,) = scored(root, tmp_path / "allowed", align=advised, **asked)
    assert (allowed.status, allowed.align, allowed.frames) == ("ok", "frames:start=0,count=6", 6)


def test_without_ground_truth_reference_measures_are_unavailable(pairs: Path, tmp_path: Path) -> None:
    _, rows = scored(pairs, tmp_path / "out", gt=None, metrics="sharpness@laplacian,psnr@y")
    assert {(row.measure, row.status) for row in rows} == {("sharpness@laplacian", "ok"), ("psnr@y", "unavailable")}


def test_the_builtin_set_knows_its_motion(tmp_path: Path) -> None:
    from oasis.data import builtin
    from oasis.data.clips import as_tensor

    (tmp_path / "ours").mkdir()
    video.write(tmp_path / "ours" / "astronaut-zoom.mkv", as_tensor(builtin.make("astronaut-zoom").hr), 25)
    request = Request(outputs=tmp_path / "ours", dataset="builtin", metrics="psnr@rgb,ewarp_excess@true-flow-x1000", limit=1)
    done = run(plan(request), tmp_path / "out")
    assert done.complete, done.lines
    rows = {row.measure: row.value for row in results.read(tmp_path / "out" / "scores.csv")[0]}
    assert rows == {"psnr@rgb": float("inf"), "ewarp_excess@true-flow-x1000": 0.0}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--metrics", "psnr"], "neither a profile"),
        (["--metrics", "psnr@blue"], "there is no measure 'psnr@blue'"),
        (["--dataset", "reds5"], "there is no data set 'reds5'"),
        (["--align", "trim:3"], "cannot read 'trim:3'"),
        (["--shift", "1"], "--shift is '1'; allowed: two whole numbers"),
        (["--limit", "0"], "--limit is 0"),
        (["--gt", "nowhere"], "nowhere"),
    ],
)
def test_wrong_input_ends_with_a_sentence(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    given = ["score", "--outputs", str(pairs / "outputs"), "--gt", str(pairs / "gt"), "--out", str(tmp_path / "out"), *options]
    assert main(given) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_dry_run_writes_nothing(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [
        "score",
        "--outputs",
        str(pairs / "outputs"),
        "--gt",
        str(pairs / "gt"),
        "--out",
        str(tmp_path / "out"),
        "--dry-run",
    ]
    assert main([*given, "--metrics", "dove"]) == 0
    assert "15 of 15 values are to be measured" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_metrics_list_shows_every_measure_profile_and_irreproducible_column(capsys: pytest.CaptureFixture[str]) -> None:
    from oasis import measures

    assert main(["metrics", "list"]) == 0
    out = capsys.readouterr().out
    assert [name for name in (*measures.MEASURES, *measures.PROFILES) if name not in out] == []
    assert "DOVER of DOVE, OASIS" in out
    assert main(["metrics", "list", "dove"]) == 0
    assert "DISTS" in capsys.readouterr().out


def test_every_profile_names_measures_that_exist() -> None:
    from oasis import measures

    for profile in measures.PROFILES.values():
        assert [measures.find(name).name for name in profile.measures] == list(profile.measures)


def test_datasets_are_listed_shown_and_checked(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from oasis import cards

    assert main(["datasets", "list"]) == 0
    listed = capsys.readouterr().out
    assert [name for name in cards.names() if name not in listed] == []
    assert main(["datasets", "show", "reds4"]) == 0
    assert "011" in capsys.readouterr().out
    assert main(["datasets", "check", "vid4", str(pairs / "gt")]) == 1
    assert "missing" in capsys.readouterr().out
