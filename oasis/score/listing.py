"""What can be measured, as text: measures, profiles, and published columns that cannot be reproduced."""

import shutil
import textwrap

from oasis import measures, weights
from oasis.measures import Measure


def everything() -> list[str]:
    """Return a table of all measures, the profiles, and the columns that nobody can reproduce."""
    rows = [("measure", "unit", "better", "needs", "here", "licence")]
    rows += [(m.name, m.unit or "-", m.better, m.needs, here(m), m.licence.split(",")[0]) for m in measures.MEASURES.values()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    text += ["", f"weights are looked for in {weights.folder()} (OASIS_WEIGHTS); nothing is downloaded", ""]
    text += ["suffixes: -cropN cuts N pixels off every border (psnr, ssim); -3f takes frames 0, 50, 99 only (videolq-3f);"]
    text += ["boundary@chunk-N and boundary@tile-HxW take the sizes that a method was run with", "", "profiles:"]
    for profile in measures.PROFILES.values():
        text += _wrapped(f"{profile.name}: {', '.join(profile.measures)}", f"  = {profile.reproduces}")
    text += ["", "published columns that cannot be reproduced and are never compared with ours:"]
    for column in measures.IRREPRODUCIBLE:
        text += _wrapped(f"{column.column} of {', '.join(column.papers)}", f"  {column.reason}")
    return [*text, "", "`oasis metrics list NAME` says all about one measure or profile"]


def one(name: str) -> list[str]:
    """Return all that is known of one measure or profile."""
    if name in measures.PROFILES:
        profile = measures.PROFILES[name]
        return [f"{name}: {profile.reproduces}", "", *[line for part in profile.measures for line in [*_facts(part), ""]]][:-1]
    return _facts(name)


def _facts(name: str) -> list[str]:
    m = measures.find(name)
    text = _wrapped(name, f"  {m.what}")
    text += [f"  unit {m.unit or 'none'}; better {_direction(m)}; needs {m.needs}; version {m.version}"]
    text += [f"  licence {m.licence}", f"  source {m.source}"]
    for weight in (weights.WEIGHTS[part] for part in m.weights):
        place = weights.folder() / weight.file
        text += _wrapped(f"  weights {weight.name}: {weights.state(weight.name)} ({place}), {weight.licence}")
        text += [f"    from {weight.address}", f"    sha256 {weight.sha256 or 'not known'}"]
    return text


def _direction(measure: Measure) -> str:
    return {"zero": "near 0", "one": "near 1"}.get(measure.better, measure.better)


def here(measure: Measure) -> str:
    """Return whether a measure can be taken on this machine, as far as weights and programs go."""
    if measure.name.startswith("vmaf"):
        from oasis.metrics import vmaf  # imports torch, which takes seconds

        program = shutil.which("ffmpeg")
        return "no ffmpeg" if program is None else "yes" if vmaf.has_libvmaf(program) else "no libvmaf"
    states = {weights.state(name) for name in measure.weights}
    return "wrong weights" if "wrong" in states else "no weights" if "missing" in states else "yes"


def _wrapped(*paragraphs: str) -> list[str]:
    return [
        line
        for paragraph in paragraphs
        for line in textwrap.wrap(paragraph, 128, subsequent_indent="    ", break_on_hyphens=False, break_long_words=False)
    ]
