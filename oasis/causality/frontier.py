"""`oasis frontier`: from the files of `oasis harm` to a chapter."""

from pathlib import Path

from oasis import dist, files
from oasis.causality import executed, front_chapter, seconds
from oasis.causality.executed import Request
from oasis.report.chapters import Chapter


def run(request: Request, work: Path, out: Path, *, workers: int = 1, engine: dist.Engine = "local") -> Chapter:
    """Choose routings, execute them on held-out clips, time a few and write the chapter into `out`.

    A stopped run goes on from what `work` keeps; one program writes there at a time.
    """
    work.mkdir(parents=True, exist_ok=True)
    with files.alone(work):
        executed.execute(request, work, out, workers=workers, engine=engine)
        if not (out / "seconds.csv").exists():
            seconds.write(request, request.arms(), out / "seconds.csv")
        return front_chapter.write(out, request)
