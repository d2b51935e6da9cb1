"""What was measured before, by what it was measured from: change one clip, and only that clip is measured again."""

import hashlib
import json
from pathlib import Path
from typing import Any

from oasis import files


def key(**parts: Any) -> str:
    """Return a name for a measurement: SHA-256 of everything that its value depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def content_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, or of the names and hashes of the PNG in a folder."""
    if not path.is_dir():
        return files.sha256(path)
    listing = "".join(f"{file.name} {files.sha256(file)}\n" for file in sorted(path.glob("*.png")))
    return hashlib.sha256(listing.encode()).hexdigest()


class Store:
    """A folder of JSON records, each whole or absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str) -> dict[str, Any] | None:
        """Return a record, None if there is none; ValueError if its file was damaged."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            return None
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path}: damaged ({error}); delete it, and the clip is measured again") from error
        return dict(record)

    def put(self, name: str, record: dict[str, Any]) -> None:
        """Keep a record."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files.write_text(self.folder / f"{name}.json", json.dumps(record))
