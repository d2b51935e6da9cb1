"""What a bench tells its user at the end."""

from collections.abc import Iterator, Mapping, Sequence

from oasis import timings
from oasis.results import Score
from oasis.suite import judging, verdict
from oasis.suite.routings import Routed
from oasis.suite.state import Bench
from oasis.weights import Missing

HEAD = ("method", *judging.QUALITY, "s/clip", "x dense", "attention FLOPs")


def lines(
    bench: Bench,
    scores: Mapping[str, Sequence[Score]],
    routed: Sequence[Routed],
    missing: Mapping[str, Missing],
    failed: Sequence[Score],
) -> Iterator[str]:
    """Yield a table of the methods, the verdict on the routings, what is missing or failed, and how long the steps took."""
    yield from _table(bench, scores, routed)
    yield ""
    quality = {each.name: judging.qualities(scores, bench.variant(each.name)) for each in routed}
    yield from verdict.lines(routed, quality, len(bench.settings.names("test")))
    yield ""
    for name, error in missing.items():
        yield f"{name} is unavailable: {error}"
    for score in failed:
        yield f"FAILED {score.method}, {score.clip}, {score.measure}: {score.reason}"
    yield "seconds: " + ", ".join(f"{name} {seconds:.0f}" for name, seconds in bench.took.items())


def _table(bench: Bench, scores: Mapping[str, Sequence[Score]], routed: Sequence[Routed]) -> Iterator[str]:
    times = {row.subject: row for row in timings.read(bench.work / "timings.csv")[0]}
    flops = {bench.dense: 1.0, **{bench.variant(each.name): each.ratio for each in routed}}
    rows: list[tuple[str, ...]] = [HEAD]
    for name in scores:
        values = judging.qualities(scores, name).values()
        quality = ("-" if value is None else f"{value:.4f}" for value in values)
        share = f"{flops[name]:.3f}" if name in flops else ""
        rows.append((name, *quality, f"{times[name].p50:.3f}", f"{times[name].ratio:.3f}", share))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join([first.ljust(widths[0]), *cells]).rstrip()
