"""One function over many jobs: in this process, in worker processes, or on a Ray cluster; the only module that knows Ray."""

import contextlib
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Literal, TypeVar

Job = TypeVar("Job")
Answer = TypeVar("Answer")
Engine = Literal["local", "ray"]
TRIES = 3
"""How often a job is started before it counts as one that kills its worker."""
DIED = f"its worker died {TRIES} times (killed from outside, or out of memory)"
# A forked child of a process with threads (OpenCV, torch) can hang.
_SPAWN = multiprocessing.get_context("spawn")


class Lost(Exception):
    """A job whose worker died every time."""


def run(
    function: Callable[[Job], Answer], jobs: Sequence[Job], *, workers: int = 1, engine: Engine = "local"
) -> Iterator[tuple[int, Answer | Lost]]:
    """Yield (number of the job, answer) as answers come; a job that loses its worker is started again, then `Lost`.

    `function` and `jobs` must be picklable unless `workers` is 1 and `engine` "local", which stays in this process. What
    `function` raises is raised here. Ray joins the cluster of `RAY_ADDRESS`, or starts one of `workers` on this machine.
    """
    if engine == "ray":
        return _ray(function, jobs, workers)
    if workers == 1:
        return enumerate(map(function, jobs))
    return _processes(function, jobs, workers)


def _processes(function: Callable[[Job], Answer], jobs: Sequence[Job], workers: int) -> Iterator[tuple[int, Answer | Lost]]:
    waiting = deque(range(len(jobs)))
    while waiting:
        suspects = yield from _until_a_worker_dies(function, jobs, waiting, workers)
        for number in suspects:  # one of them killed its worker, and with it the pool; alone, the innocent come through
            yield number, _alone(function, jobs[number])


def _until_a_worker_dies(
    function: Callable[[Job], Answer], jobs: Sequence[Job], waiting: deque[int], workers: int
) -> Generator[tuple[int, Answer | Lost], None, list[int]]:
    """Take jobs from `waiting`; return those that were running when the pool broke."""
    with _pool(min(workers, len(waiting))) as pool:
        running: dict[Future[Answer], int] = {}
        while waiting or running:
            try:
                while waiting and len(running) < workers:
                    running[pool.submit(function, jobs[waiting[0]])] = waiting[0]
                    waiting.popleft()
            except BrokenProcessPool:  # a worker died since the last answer; what is running ends with the same error
                if not running:
                    return []
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            finished = [future for future in done if not isinstance(future.exception(), BrokenProcessPool)]
            for future in finished:
                yield running.pop(future), future.result()
            if len(finished) < len(done):
                return sorted(running.values())
    return []


def _alone(function: Callable[[Job], Answer], job: Job) -> Answer | Lost:
    for _ in range(TRIES - 1):
        with _pool(1) as pool, contextlib.suppress(BrokenProcessPool):
            return pool.submit(function, job).result()
    return Lost(DIED)


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=_SPAWN, initializer=_end_with_parent)


def _end_with_parent() -> None:
    # A parent that is killed says nothing, and its workers would wait for jobs, and keep their memory, forever.
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait_for_it() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_for_it, daemon=True).start()


def _ray(function: Callable[[Job], Answer], jobs: Sequence[Job], workers: int) -> Iterator[tuple[int, Answer | Lost]]:
    try:
        import ray
    except ImportError as error:
        raise ValueError("--engine ray needs the package ray: pip install 'oasis-vsr[ray]'") from error
    started = not ray.is_initialized()
    if started:
        cpus = None if os.environ.get("RAY_ADDRESS") else workers
        ray.init(num_cpus=cpus, include_dashboard=False, log_to_driver=False)
    try:
        remote = ray.remote(num_cpus=1, max_retries=TRIES - 1)(function)
        running = {remote.remote(job): number for number, job in enumerate(jobs)}
        while running:
            (done,), _ = ray.wait(list(running))
            number = running.pop(done)
            try:
                yield number, ray.get(done)
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError):
                yield number, Lost(DIED)
    finally:
        if started:
            ray.shutdown()
