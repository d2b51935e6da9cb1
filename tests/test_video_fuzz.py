import collections
import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from oasis import video

MUTANTS = 160
SOURCES = ("clip.png", "ffv1.mkv", "ffv1.avi", "h264.mkv", "h264.mp4", "h264.264")


def make(folder):
    frames = torch.rand(4, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    frames = torch.nn.functional.interpolate(frames, size=(32, 48), mode="bilinear").mul(255).round().to(torch.uint8)
    video.write(folder / "h264.mp4", frames, 25)
    video.write(folder / "ffv1.mkv", frames, 25)
    for before, after, kind in (
        ("h264.mp4", "h264.264", "h264"),
        ("h264.mp4", "h264.mkv", "matroska"),
        ("ffv1.mkv", "ffv1.avi", "avi"),
    ):
        with av.open(str(folder / before)) as source, av.open(str(folder / after), "w", format=kind) as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            stream.time_base = Fraction(1, 25)
            for packet in source.demux(source.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
    video.write(folder / "png", frames, 25)
    # The mutated file is the second frame of a folder.
    (folder / "clip.png").write_bytes((folder / "png/00000001.png").read_bytes())


def mutated(content, generator):
    """Flip bits, cut off, zero a range, swap two blocks, or insert bytes."""
    data = bytearray(content)
    place, length = generator.randrange(len(data)), generator.randrange(1, 64)
    match generator.choice(["flip", "cut", "zero", "swap", "insert"]):
        case "flip":
            for _ in range(generator.choice([1, 1, 2, 8])):
                data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        case "cut":
            del data[place:]
        case "zero":
            data[place : place + length] = bytes(len(data[place : place + length]))
        case "swap":
            data[place : place + 2 * length] = data[place + length : place + 2 * length] + data[place : place + length]
        case "insert":
            data[place:place] = generator.randbytes(length)
    return bytes(data)


def verdict(path, original):
    try:
        found = list(video.arrays(path))
        about, counted = video.info(path), video.count(path)
    except (ValueError, FileNotFoundError) as error:
        return "refused" if str(path) in str(error) and "\n" not in str(error) else f"unclear: {error!r}"
    except Exception as error:
        return f"error: {error!r}"
    if {frame.shape for frame in found} != {original[0].shape} or (about.height, about.width, 3) != original[0].shape:
        return "size"
    if counted != len(found) or len(found) > len(original):
        return "number"
    if len(found) < len(original):
        return "fewer"
    return "same" if all(np.array_equal(a, b) for a, b in zip(found, original, strict=True)) else "changed"


def run(folder):
    make(folder)
    for name in SOURCES:
        content = (folder / name).read_bytes()
        path = folder / ("png" if name == "clip.png" else f"mutant{Path(name).suffix}")
        file = path / "00000001.png" if name == "clip.png" else path
        file.write_bytes(content)
        original = list(video.arrays(path))
        for seed in range(MUTANTS):
            sys.stdout.write(f"{name} {seed} ")
            sys.stdout.flush()
            file.write_bytes(mutated(content, random.Random(seed)))
            sys.stdout.write(verdict(path, original) + "\n")


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    # In another process: a crash or an endless loop in a decoder would take the tests with it. The last line names the mutant.
    command = [sys.executable, __file__, str(tmp_path_factory.mktemp("fuzz"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, (done.stdout[-300:], done.stderr[-3000:])
    found = {name: collections.Counter() for name in SOURCES}
    for line in done.stdout.splitlines():
        name, _, said = line.split(" ", 2)
        found[name][said] += 1
    return found


def test_a_damaged_file_is_refused_in_a_sentence_or_gives_frames_of_its_size(verdicts):
    assert sum(sum(counter.values()) for counter in verdicts.values()) == MUTANTS * len(SOURCES) >= 500
    said = set().union(*verdicts.values())
    assert said <= {"refused", "same", "changed", "fewer"}


@pytest.mark.parametrize("name", ["clip.png", "ffv1.mkv", "ffv1.avi"])
def test_what_has_checksums_is_whole_or_refused(verdicts, name):
    assert set(verdicts[name]) <= {"refused", "same"}


def test_checksums_of_the_container_guard_what_has_none(verdicts):
    # Only damage that also hits the mark of a checksum passes.
    assert verdicts["h264.mkv"]["changed"] + verdicts["h264.mkv"]["fewer"] <= MUTANTS // 50


@pytest.mark.parametrize("name", ["h264.mp4", "h264.264"])
def test_without_checksums_most_damage_to_the_structure_is_found(verdicts, name):
    # H.264 has no checksums: of 2,500 mutants each, 18 % (.mp4) and 37 % (.264) decode to other pixels, and nothing can tell.
    # Damage to an edit list hides frames, a lost start code of a raw stream joins two.
    assert verdicts[name]["refused"] >= MUTANTS // 4
    assert verdicts[name]["fewer"] <= MUTANTS // 20


if __name__ == "__main__":
    run(Path(sys.argv[1]))
