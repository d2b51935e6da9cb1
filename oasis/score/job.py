"""One clip to be scored, and what became of it: what travels between processes."""

from dataclasses import dataclass, field
from pathlib import Path

from oasis.metrics.meter import Result
from oasis.results import Status

BUILTIN = "built-in"


@dataclass(frozen=True, kw_only=True)
class ClipJob:
    """One clip.

    `reference` is None where `has_reference` but its file is missing, or where it is `rendered` (the built-in clips); `lq` is
    what the outputs were made from, where known. `lengths` are the numbers of frames that the clip may have, empty where
    nothing is confirmed; `native` (columns, rows) and `scale` say how large outputs should be where there is only LQ.
    """

    clip: str
    output: Path | None
    reference: Path | None
    has_reference: bool
    rendered: bool
    lq: Path | None
    lengths: tuple[int, ...]
    native: tuple[int, int] | None
    scale: int
    measures: tuple[str, ...]
    policy: str
    device: str
    threads: int


@dataclass(frozen=True, kw_only=True)
class Value:
    """One measure of one clip: its result, or the reason why there is none."""

    status: Status
    result: Result | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class ClipFacts:
    """What was scored: sizes "WxH", decoded frames, hashes of decoded pixels, and what the alignment gate found."""

    frames: int = 0
    size: str = ""
    decoder: str = ""
    rate: str = ""
    output_sha256: str = ""
    reference_sha256: str = ""
    lq_sha256: str = ""
    alignment: str = ""


@dataclass(frozen=True, kw_only=True)
class ClipScores:
    """All that is known of a clip after its job."""

    facts: ClipFacts = field(default_factory=ClipFacts)
    values: dict[str, Value] = field(default_factory=dict)
