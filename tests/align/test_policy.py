import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oasis.align.policy import NONE, Crop, Frames, Policy, Resize, Shift, Size, parse

sides = st.integers(1, 40)
optional = st.none() | sides
crops = st.builds(Crop, left=st.integers(0, 20), top=st.integers(0, 20), width=optional, height=optional)
shifts = st.builds(Shift, x=st.integers(-9, 9), y=st.integers(-9, 9))
numbers = st.builds(Frames, start=st.integers(-9, 9), count=optional)
policies = st.builds(
    Policy,
    resize=st.none() | st.builds(Resize, width=sides, height=sides),
    crop=st.none() | crops,
    shift=st.none() | shifts,
    frames=st.none() | numbers,
    as_is=st.booleans(),
) | st.just(Policy(unregistered=True))
sizes = st.builds(Size, frames=st.integers(1, 12), height=st.integers(4, 30), width=st.integers(4, 30))


def plane(height, width):
    """Pixels that say where they are: column, row, 0."""
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([columns, rows, np.zeros_like(rows)], axis=-1).astype(np.uint8)


@given(policies)
def test_what_is_written_is_read_again(policy):
    assert parse(str(policy)) == policy


def test_the_text_is_canonical():
    assert str(NONE) == "none" and parse("none") == NONE
    assert str(parse("as-is; crop:height=720 , left=4")) == "crop:left=4,top=0,height=720;as-is"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "centre",
        "crop",
        "crop:",
        "crop:left",
        "crop:left=",
        "crop:left=1.5",
        "crop:left=-1",
        "crop:width=0",
        "crop:left=1,left=2",
        "crop:x=1",
        "shift:left=1",
        "frames:count=0",
        "resize:width=10",
        "as-is:1",
        "as-is;as-is",
        "crop:left=1;crop:top=1",
        "unregistered;as-is",
        "unregistered;crop:left=1",
        "none;as-is",
    ],
)
def test_nonsense_is_refused(text):
    with pytest.raises(ValueError, match=r"^--align .*(allow|needs|twice)"):
        parse(text)


@given(policies, sizes, sizes)
def test_what_is_compared_is_what_both_show(policy, output, reference):
    """The specification: try every pixel and every frame."""
    try:
        fit = policy.fit(output, reference)
    except ValueError:
        return
    assert not policy.unregistered or fit.seen is None
    if fit.seen is None:
        return
    height, width = (policy.resize.height, policy.resize.width) if policy.resize else (output.height, output.width)
    crop = policy.crop or Crop(width=reference.width, height=reference.height)
    shift = policy.shift or Shift()
    columns, rows = crop.width or width, crop.height or height
    pairs = {
        (i, j): (crop.left + i + shift.x, crop.top + j + shift.y)
        for i in range(width)
        for j in range(height)
        if 0 <= i + shift.x < columns and 0 <= j + shift.y < rows
    }
    shown, seen = plane(height, width)[fit.shown], fit.reference(plane(reference.height, reference.width))
    assert seen.shape == (fit.height, fit.width, 3)
    found = dict(zip(map(tuple, shown[..., :2].reshape(-1, 2)), map(tuple, seen[..., :2].reshape(-1, 2)), strict=True))
    assert found == pairs
    start = policy.frames.start if policy.frames else 0
    assert [j - i for i, j in zip(fit.output_frames, fit.reference_frames, strict=True)] == [start] * len(fit.output_frames)
    assert fit.output_frames and fit.output_frames[-1] < output.frames and fit.reference_frames[-1] < reference.frames
    assert fit.output_frames[0] >= 0 and fit.reference_frames[0] >= 0 and 0 in (fit.output_frames[0], fit.reference_frames[0])


@given(st.builds(Policy, crop=crops), sizes, sizes)
def test_a_crop_fits_if_it_is_inside_and_of_the_outputs_size(policy, output, reference):
    crop = policy.crop
    width, height = crop.width or output.width, crop.height or output.height
    inside = crop.left + width <= reference.width and crop.top + height <= reference.height
    expected = inside and (width, height) == (output.width, output.height) and output.frames == reference.frames
    try:
        policy.fit(output, reference)
    except ValueError:
        assert not expected
    else:
        assert expected


@given(sizes)
def test_equal_sizes_need_no_policy_and_pass_untouched(size):
    fit, frame = NONE.fit(size, size), plane(size.height, size.width)
    assert (fit.height, fit.width, len(fit.output_frames)) == (size.height, size.width, size.frames)
    assert np.array_equal(fit.output(frame), frame) and np.array_equal(fit.reference(frame), frame)


def test_unregistered_takes_the_whole_output_and_no_reference():
    fit = Policy(unregistered=True).fit(Size(frames=3, height=4, width=5), Size(frames=9, height=8, width=7))
    assert fit.reference(plane(8, 7)) is None and len(fit.output_frames) == 3
    assert np.array_equal(fit.output(plane(4, 5)), plane(4, 5))


def test_a_resize_is_of_the_output_only():
    fit = parse("resize:width=8,height=6").fit(Size(frames=1, height=12, width=16), Size(frames=1, height=6, width=8))
    blocks = np.kron(plane(6, 8), np.ones((2, 2, 1), np.uint8))
    assert np.array_equal(fit.output(blocks), plane(6, 8)) and np.array_equal(fit.reference(plane(6, 8)), plane(6, 8))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("none", "frames are 20x10, the reference 30x10"),
        ("crop:left=11", "the crop reaches to column 31 and row 10, the reference has 30x10 pixels"),
        ("crop:width=25", "frames are 20x10, the reference 30x10, the crop 25x10"),
        ("resize:width=31,height=10", "frames are 20x10, resized to 31x10, the reference 30x10"),
        ("shift:x=30", "nothing overlaps"),
        ("crop:left=0", "the output has 5 frames, the reference 6"),
        ("crop:left=0;frames:start=2", "output frames 0 to 4 of 5 and reference frames 2 to 6 of 6 are not there"),
        ("crop:left=0;frames:start=-5", "output frames 5 to 4 of 5"),
    ],
)
def test_errors_name_the_sizes(text, message):
    with pytest.raises(ValueError, match=message):
        parse(text).fit(Size(frames=5, height=10, width=20), Size(frames=6, height=10, width=30))
