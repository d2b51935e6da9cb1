"""`oasis harm`: from a request to a chapter."""

from pathlib import Path

from oasis import dist, files
from oasis.causality import chapter, latency, measured
from oasis.causality.measured import Request
from oasis.report.chapters import Chapter


def run(request: Request, work: Path, out: Path, *, workers: int = 1, engine: dist.Engine = "local") -> Chapter:
    """Change heads, measure what that does and write the chapter into `out`, with latency.csv for budgets of time.

    A stopped run goes on from what `work` keeps; one program writes there at a time.
    """
    work.mkdir(parents=True, exist_ok=True)
    with files.alone(work):
        measured.measure(request, work, out, workers=workers, engine=engine)
        if not (out / "latency.csv").exists():
            latency.write(request, out / "heads.csv", out / "latency.csv")
        return chapter.write(out)
