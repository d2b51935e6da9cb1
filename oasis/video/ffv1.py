"""The checksums of FFV1, whose mismatch FFmpeg's decoder logs and then hides behind the frame before."""

import zlib

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def intact(packet: bytes) -> bool | None:
    """Return whether the checksums of a frame are right, None if it has none, or damage hides them.

    A frame is a chain of slices, read from its end; a slice ends in its length (3 bytes), a status and a CRC-32, highest
    bit first, from 0. Source: RFC 9043, section 4.9.
    """
    slices = []
    end = len(packet)
    while end:
        start = end - 8 - int.from_bytes(packet[end - 8 : end - 5]) if end > 8 else -1
        if start < 0:
            return None
        slices.append(packet[start:end])
        end = start
    # Of a slice and its checksum the remainder is 0; zlib reads bits in the other order and inverts before and after.
    return all(zlib.crc32(part.translate(_REVERSED), 0xFFFFFFFF) == 0xFFFFFFFF for part in slices)
