import math

import numpy as np
import pytest

from oasis import measures, metrics
from oasis.measures import MEASURES
from oasis.metrics import flow
from oasis.metrics.frames import Frame
from oasis.metrics.meter import Setting

RAMP = np.tile(np.arange(192, dtype=np.uint8)[:, None], (176, 1, 3))


def scored(names, frames):
    """Score a clip against itself, as `oasis.score` does: what raises is dropped with the measures of its group."""
    height, width = frames[0].shape[:2]
    groups, refused = metrics.meters(names, Setting(clip="clip", frames=len(frames), height=height, width=width))
    assert not refused
    values, reasons = {}, {}
    for group in groups:
        try:
            for rgb in frames:
                group.meter.add(Frame(rgb), Frame(rgb))
            values |= {name: result.value for name, result in group.meter.result().items()}
        except ValueError as error:
            reasons |= dict.fromkeys(group.names, str(error))
    return values, reasons


def test_a_measure_that_fails_takes_no_other_along():
    values, reasons = scored(["ms_ssim@pyiqa", "vif@pyiqa", "gmsd@pyiqa"], [RAMP])
    assert values == pytest.approx({"ms_ssim@pyiqa": 1, "gmsd@pyiqa": 0})
    assert reasons == {"vif@pyiqa": "clip: vif@pyiqa of frame 0 is nan, which is no score"}
    flat = [np.full((64, 64, 3), 90, dtype=np.uint8)] * 5
    values, reasons = scored(["psnr@rgb", "psnr@tecogan", "ssim@tecogan", "ssim@y"], flat)
    assert values == {"psnr@rgb": math.inf, "psnr@tecogan": math.inf, "ssim@y": 1}
    assert set(reasons) == {"ssim@tecogan"}
    values, reasons = scored(["tof@farneback", "flicker@static"], [RAMP, np.roll(RAMP, 9, axis=1)])
    assert (set(values), set(reasons)) == ({"tof@farneback"}, {"flicker@static"})


def test_an_error_and_its_excess_share_one_flow(monkeypatch):
    calls = []
    dis = flow.dis
    monkeypatch.setattr(flow, "dis", lambda *pair: calls.append(pair) or dis(*pair))
    scored(["ewarp@dis-full-occ-x1000", "ewarp_excess@dis-full-occ-x1000"], [RAMP] * 3)
    assert len(calls) == 4  # two pairs, forward and backward


IN_TIME = ("ewarp", "tof", "tlp", "flicker", "boundary", "dover", "vmaf")


def test_three_frames_are_taken_of_measures_that_look_at_single_frames():
    for name in MEASURES:
        if name.startswith(IN_TIME) or name.endswith("@tecogan"):
            with pytest.raises(ValueError, match=r"looks at frames in a row|has a rule of its own for frames"):
                measures.find(f"{name}-3f")
        else:
            assert measures.find(f"{name}-3f").what.endswith("; frames 0, 50, 99 only")
    with pytest.raises(ValueError, match="boundary@chunk-5-3f: it looks at frames in a row"):
        measures.find("boundary@chunk-5-3f")


def test_three_frames_are_those_and_no_others():
    frames = [np.full((12, 12, 3), number, dtype=np.uint8) for number in range(101)]
    (group,), _ = metrics.meters(["psnr@rgb-3f"], Setting(clip="clip", frames=101, height=12, width=12))
    for number, rgb in enumerate(frames):
        group.meter.add(Frame(rgb + np.uint8(1 + (number not in (0, 50, 99)))), Frame(rgb))
    result = group.meter.result()["psnr@rgb-3f"]
    assert result.numbers == (0, 50, 99)
    assert result.series == pytest.approx([20 * math.log10(255)] * 3)
    groups, refused = metrics.meters(["psnr@rgb-3f"], Setting(clip="clip", frames=99, height=12, width=12))
    assert not groups and "it has 99 frames; frames 0, 50, 99" in str(refused["psnr@rgb-3f"])


def test_a_near_name_is_offered():
    with pytest.raises(ValueError, match=r"no measure 'ewarp@true-flow'; .* did you mean ewarp@true-flow-x1000\?"):
        measures.find("ewarp@true-flow")
