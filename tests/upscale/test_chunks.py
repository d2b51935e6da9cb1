"""Chunks cover a clip, never span a cut, and join without a trace; a seam can be taken up in the middle."""

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from oasis.tiling import Tiling
from oasis.upscale.chunks import Seam, chunks

TILINGS = st.integers(1, 9).flatmap(
    lambda frames: st.builds(Tiling, frames=st.just(frames), overlap_frames=st.integers(0, (frames - 1) // 2))
)
CUTS = st.lists(st.booleans(), max_size=60)


def cut(marks: list[bool], tiling: Tiling) -> list:
    return list(chunks(enumerate_cuts(marks), tiling))


def enumerate_cuts(marks: list[bool]):
    return zip(range(len(marks)), marks, strict=True)


@given(marks=CUTS, tiling=TILINGS)
def test_every_frame_comes_out_once_and_in_order(marks: list[bool], tiling: Tiling) -> None:
    found = cut(marks, tiling)
    assert [frame for chunk in found for frame in chunk.frames[: chunk.ready]] == list(range(len(marks)))
    for chunk in found:
        assert list(chunk.span) == list(chunk.frames) and 1 <= len(chunk.frames) <= tiling.frames
    for before, after in itertools.pairwise(found):
        assert before.passed_on == after.shared
        assert before.frames[len(before.frames) - before.passed_on :] == after.frames[: after.shared]
    assert not found or (found[0].shared, found[-1].passed_on) == (0, 0)


@given(marks=CUTS, tiling=TILINGS)
def test_no_chunk_sees_two_scenes_and_none_ends_but_at_a_cut_or_when_it_is_full(marks: list[bool], tiling: Tiling) -> None:
    for chunk in cut(marks, tiling):
        assert not any(marks[frame] for frame in chunk.frames[1:])
        after = chunk.frames[-1] + 1
        if chunk.passed_on or tiling.overlap_frames == 0:
            assert len(chunk.frames) == tiling.frames or after == len(marks) or marks[after]
        else:
            assert after == len(marks) or marks[after]


@given(marks=CUTS, tiling=TILINGS, seed=st.integers(0, 2**20))
def test_a_seam_taken_up_in_the_middle_is_the_same(marks: list[bool], tiling: Tiling, seed: int) -> None:
    found = cut(marks, tiling)
    generator = torch.Generator().manual_seed(seed)
    outputs = [torch.rand(1, 3, len(chunk.frames), 2, 2, generator=generator) for chunk in found]
    seam = Seam()
    joined = [seam.join(chunk, output.clone()).clone() for chunk, output in zip(found, outputs, strict=True)]
    for number in range(1, len(found)):
        later = Seam()
        later.resume(found[number - 1], outputs[number - 1].clone())
        kept = later.copy()
        assert torch.equal(later.join(found[number], outputs[number].clone()), joined[number])
        assert torch.equal(kept.join(found[number], outputs[number].clone()), joined[number])  # a copy knows nothing of that


@given(marks=CUTS, tiling=TILINGS)
def test_equal_outputs_join_to_themselves(marks: list[bool], tiling: Tiling) -> None:
    seam = Seam()
    joined = [
        seam.join(chunk, torch.tensor(chunk.frames, dtype=torch.float64).reshape(1, 1, -1, 1, 1).repeat(1, 3, 1, 1, 1))
        for chunk in cut(marks, tiling)
    ]
    if joined:
        frames = torch.cat(joined, dim=2)[0, 0, :, 0, 0]
        torch.testing.assert_close(frames, torch.arange(len(marks), dtype=torch.float64), rtol=2**-51, atol=0)
