"""DOVER as its authors' code computes it: one network, three numbers that papers print under one name."""

from oasis.measures.measure import Measure


def _dover(protocol: str, what: str) -> Measure:
    return Measure(
        name=f"dover@{protocol}",
        unit="",
        better="higher",
        needs="nothing",
        what=f"{what}. 0..1, mean over 5 draws of frames and fragments seeded by the clip's name; resized without antialias, "
        "as with the pinned torch 1.13. DOVE's and OASIS's own DOVER column is another number and cannot be reproduced",
        source="VQAssessment/DOVER@f1ddc96, dover.yml val-l1080p, evaluate_a_set_of_videos.py",
        licence="S-Lab-1.0, non-commercial (weights)",
        weights=("dover",),
        version=2,
    )


DOVER = (
    _dover("fused", "sigmoid of 0.6104 technical + 0.3896 aesthetic, each standardised: what STAR prints"),
    _dover("technical", "sigmoid of the standardised technical branch: times 100, what SeedVR2 and FlashVSR print"),
    _dover("aesthetic", "sigmoid of the standardised aesthetic branch, which below 32 frames sees only the first"),
)
