"""The checksums of a Matroska file, which FFmpeg writes (a CRC-32 first in every large element) and never reads."""

import zlib
from pathlib import Path
from typing import BinaryIO

_HEADER, _SEGMENT = 0x1A45DFA3, 0x18538067
# What a segment holds: seek head, info, tracks, tags, clusters, cues, chapters, attachments, nothing (RFC 9559, section 5).
_PARTS = {0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1254C367, 0x1F43B675, 0x1C53BB6B, 0x1043A770, 0x1941A469, 0xEC}
_CRC = b"\xbf\x84"  # a checksum of four bytes


def check(path: Path) -> None:
    """Check the structure and the checksums of a Matroska file, as far as its elements say how long they are.

    Other files pass. ValueError, with the path in it, if the file is cut off or damaged. Source: RFC 8794, sections 4 to 6
    and 11.3.1.
    """
    end = path.stat().st_size
    with path.open("rb") as file:
        identifier, length = _head(file)
        if identifier != _HEADER or length is None:
            return
        file.seek(max(length, 0), 1)
        identifier, length = _head(file)
        if identifier != _SEGMENT:
            return
        stop = end if length is None else file.tell() + length
        while (start := file.tell()) < min(stop, end):
            identifier, length = _head(file)
            if identifier not in _PARTS:
                raise ValueError(f"{path}: damaged or cut off at byte {start}: no element of Matroska is there")
            if length is None:
                return
            if length < 0 or file.tell() + length > end:
                raise ValueError(f"{path}: cut off: the element at byte {start} goes on after the end, byte {end}")
            if not _whole(file, length):
                raise ValueError(f"{path}: damaged between the bytes {start} and {file.tell()}: their checksum is wrong")
    if end < stop:
        raise ValueError(f"{path}: cut off: {stop} bytes are announced, {end} are there")


def _head(file: BinaryIO) -> tuple[int, int | None]:
    """Read the number of an element and the bytes that it holds, None if it does not say, negative if the file ends."""
    identifier, _ = _number(file)
    length, marker = _number(file)
    return identifier, None if length == 2 * marker - 1 else length - marker


def _number(file: BinaryIO) -> tuple[int, int]:
    """Read a number: zero bits as many as bytes follow, a marker bit, the value; return it with its marker, and the marker."""
    first = file.read(1) or b"\0"
    following = 8 - first[0].bit_length()
    return int.from_bytes(first + file.read(following)), 1 << 7 * (following + 1)


def _whole(file: BinaryIO, length: int) -> bool:
    """Pass over an element; return whether its checksum, where it has one, is right."""
    content = file.read(min(length, 6))
    if not content.startswith(_CRC):
        file.seek(length - len(content), 1)
        return True
    found, rest = 0, length - len(content)
    while part := file.read(min(rest, 1 << 20)):
        found, rest = zlib.crc32(part, found), rest - len(part)
    return found == int.from_bytes(content[2:], "little")
