"""Files that are whole or absent: write to a temporary name, then rename; and folders that one program writes at a time."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds, remove it if not.

    The suffix is kept, because codecs and plotting libraries choose their format by it.
    """
    path = Path(path)
    prefix = f".{path.stem}."
    with _errors_name(path, prefix):
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; move its entries into `path` if the block succeeds, remove it if not.

    Entries that `path` already has are replaced one by one; others stay.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name}."
    with _errors_name(path, prefix):
        temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
        try:
            yield temporary
            path.mkdir(exist_ok=True)
            for entry in sorted(temporary.iterdir()):
                target = path / entry.name
                if target.is_dir():
                    shutil.rmtree(target)
                entry.replace(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other programs that ask for it out of a folder; ValueError if one is there. The hold ends with the program."""
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"{folder}: another program is writing here; wait for it, or name another folder") from error
        _held.add(file)
        try:
            yield
        finally:
            _held.discard(file)


_held: set[TextIO] = set()


def _let_go_in_worker() -> None:
    """Close a forked worker's copies: a lock lasts until its last copy is closed, and workers outlive a killed parent."""
    for file in _held:
        file.close()


os.register_at_fork(after_in_child=_let_go_in_worker)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_text(text: str) -> str:
    """Return the SHA-256 of `text` in UTF-8 as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def _errors_name(path: Path, prefix: str) -> Iterator[None]:
    """Let an OSError about a temporary file, or about no file (a full disk), name the path that the user knows."""
    try:
        yield
    except OSError as error:
        parts = Path(error.filename).parts if isinstance(error.filename, str) else ()
        if error.errno is None or (error.filename is not None and not any(part.startswith(prefix) for part in parts)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
