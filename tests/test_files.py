"""Files are whole or absent."""

import errno
import hashlib
import os
import signal
import stat
import subprocess
import sys

import pytest

from oasis import files


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_name_appears_only_when_the_block_ends(tmp_path):
    path = tmp_path / "clip.mp4"
    with files.replacing(path) as temporary:
        assert temporary.suffix == ".mp4"
        assert temporary.parent == tmp_path
        assert not path.exists()
        temporary.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


def test_text_is_utf8_without_translation(tmp_path):
    path = tmp_path / "text.txt"
    files.write_text(path, "Grüße\n")
    assert path.read_bytes() == "Grüße\n".encode()
    files.write_text(path, "")
    assert path.read_bytes() == b""


@pytest.mark.skipif(os.name != "posix", reason="permission bits of POSIX")
def test_permissions_are_those_of_any_new_file(tmp_path):
    plain, ours = tmp_path / "plain", tmp_path / "ours"
    plain.write_text("x")
    files.write_text(ours, "x")
    assert stat.S_IMODE(ours.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_errors_name_the_path_that_was_asked_for(tmp_path):
    missing = tmp_path / "nowhere" / "table.json"
    with pytest.raises(FileNotFoundError) as caught:
        files.write_text(missing, "x")
    assert caught.value.filename == str(missing)
    with pytest.raises(IsADirectoryError) as caught:
        files.write_text(tmp_path, "x")
    assert caught.value.filename == str(tmp_path)
    with pytest.raises(OSError, match="No space left") as caught, files.replacing_folder(tmp_path / "run"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "run")
    with pytest.raises(FileNotFoundError) as caught, files.replacing(tmp_path / "table.json"):
        (tmp_path / "other").read_text()
    assert caught.value.filename == str(tmp_path / "other")


def test_folder_appears_whole(tmp_path):
    target = tmp_path / "runs" / "first"
    with files.replacing_folder(target) as temporary:
        (temporary / "heads.csv").write_text("rows")
        (temporary / "pictures").mkdir()
        (temporary / "pictures" / "a.png").write_text("a")
        assert not target.exists()
    assert (target / "heads.csv").read_text() == "rows"
    assert (target / "pictures" / "a.png").read_text() == "a"
    assert list(target.parent.iterdir()) == [target]


def test_folder_entries_are_replaced_and_others_stay(tmp_path):
    target = tmp_path / "run"
    (target / "pictures").mkdir(parents=True)
    (target / "pictures" / "old.png").write_text("old")
    (target / "heads.csv").write_text("old")
    (target / "notes.txt").write_text("mine")
    with files.replacing_folder(target) as temporary:
        (temporary / "heads.csv").write_text("new")
        (temporary / "pictures").mkdir()
        (temporary / "pictures" / "new.png").write_text("new")
    assert (target / "heads.csv").read_text() == "new"
    assert (target / "notes.txt").read_text() == "mine"
    assert [entry.name for entry in (target / "pictures").iterdir()] == ["new.png"]


def test_failure_in_a_folder_leaves_the_old_one(tmp_path):
    target = tmp_path / "run"
    target.mkdir()
    (target / "heads.csv").write_text("old")
    with pytest.raises(RuntimeError), files.replacing_folder(target) as temporary:
        (temporary / "heads.csv").write_text("half")
        raise RuntimeError
    assert (target / "heads.csv").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_failure_before_a_folder_exists_leaves_none(tmp_path):
    with pytest.raises(RuntimeError), files.replacing_folder(tmp_path / "run"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_folder_is_kept(tmp_path):
    target = tmp_path / "run"
    target.write_text("a file")
    with pytest.raises(FileExistsError), files.replacing_folder(target) as temporary:
        (temporary / "heads.csv").write_text("rows")
    assert target.read_text() == "a file"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_for_one_program_until_it_ends(tmp_path):
    said = f"from pathlib import Path; from oasis import files; hold = files.alone(Path({str(tmp_path)!r})); hold.__enter__(); "
    holder = subprocess.Popen(
        [sys.executable, "-c", said + "print(1, flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"1\n"
    with pytest.raises(ValueError, match="another program is writing here"), files.alone(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    for _ in range(2):
        with files.alone(tmp_path), pytest.raises(ValueError, match="another program"), files.alone(tmp_path):
            pass


def test_a_folder_is_free_when_its_program_was_killed_though_a_forked_worker_lives(tmp_path):
    code = (
        "import os, sys, time; from pathlib import Path; from oasis import files\n"
        f"with files.alone(Path({str(tmp_path)!r})):\n"
        "    worker = os.fork()\n"
        "    if worker: print(worker, flush=True)\n"
        "    time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    worker = int(holder.stdout.readline())
    try:
        with pytest.raises(ValueError, match="another program is writing here"), files.alone(tmp_path):
            pass
        holder.kill()
        holder.wait()
        os.kill(worker, 0)  # it lives
        with files.alone(tmp_path):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)
        holder.stdout.close()


def test_sha256_of_known_bytes(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"abc")
    assert files.sha256(path) == hashlib.sha256(b"abc").hexdigest()
    assert files.sha256(path).startswith("ba7816bf")
