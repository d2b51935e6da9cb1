import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oasis import dist


def square(number: int) -> int:
    return number * number


def fail(number: int) -> int:
    raise ValueError(f"no {number}")


def die_once(folder: str) -> str:
    marks = Path(folder)
    if not (marks / "died").exists():
        (marks / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def sleep(folder: str) -> None:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(300)


def run_sleepers(folder: str) -> None:
    list(dist.run(sleep, [folder] * 2, workers=2))


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def soon(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + 120
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return condition()


def die(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_every_job_is_answered_once(workers: int) -> None:
    assert dict(dist.run(square, [3, 1, 2], workers=workers)) == {0: 9, 1: 1, 2: 4}


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_job_raises_is_raised(workers: int) -> None:
    with pytest.raises(ValueError, match="no 5"):
        list(dist.run(fail, [5], workers=workers))


def test_no_jobs_no_answers() -> None:
    assert list(dist.run(square, [], workers=2)) == []


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    assert dict(dist.run(die_once, [str(tmp_path)] * 3, workers=2)) == {0: "alive", 1: "alive", 2: "alive"}


def test_workers_that_are_killed_between_two_answers_are_replaced() -> None:
    answers = {}
    for number, answer in dist.run(square, range(6), workers=2):
        if not answers:
            for worker in multiprocessing.active_children():
                worker.kill()
                worker.join()
            time.sleep(0.2)  # until the pool has noticed
        answers[number] = answer
    assert answers == {number: number * number for number in range(6)}


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    parent = multiprocessing.get_context("spawn").Process(target=run_sleepers, args=(str(tmp_path),))
    parent.start()
    assert soon(lambda: len(list(tmp_path.iterdir())) == 2)
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert all(map(is_alive, workers))
    parent.kill()
    parent.join()
    assert soon(lambda: not any(map(is_alive, workers)))


def test_a_job_that_always_kills_its_worker_is_lost_and_the_others_are_not() -> None:
    answers = dict(dist.run(die, [0, 1, 2, 3], workers=2))
    assert {number: answer for number, answer in answers.items() if number != 1} == {0: 0, 2: 2, 3: 3}
    assert isinstance(answers[1], dist.Lost)
    assert "died" in str(answers[1])


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))  # workers import this module
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


def test_ray_answers_every_job_although_one_of_two_workers_is_killed(tmp_path: Path, cluster: None) -> None:
    answers = dict(dist.run(die_once, [str(tmp_path)] * 4, workers=2, engine="ray"))
    assert answers == dict.fromkeys(range(4), "alive")
    assert (tmp_path / "died").exists()


def test_ray_gives_up_on_a_job_that_always_kills_its_worker(cluster: None) -> None:
    answers = dict(dist.run(die, [0, 1], workers=2, engine="ray"))
    assert answers[0] == 0
    assert isinstance(answers[1], dist.Lost)
