import contextlib
import os
import signal
import threading
import time
from pathlib import Path

from oasis.score.request import Request, plan
from oasis.score.run import run


def kill_one_worker(victims: list[int], over: threading.Event) -> None:
    """Kill the first Ray worker that is seen to score a clip, however long a busy machine takes to start it."""
    while not victims and not over.is_set():
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                if (process / "cmdline").read_bytes().startswith(b"ray::score"):
                    os.kill(int(process.name), signal.SIGKILL)
                    victims.append(int(process.name))
                    return
        time.sleep(0.001)


def test_two_ray_workers_one_killed_write_the_same_bytes(pairs: Path, tmp_path: Path) -> None:
    import ray

    request = Request(outputs=pairs / "outputs", gt=pairs / "gt", metrics="psnr@rgb,ssim@y")
    run(plan(request), tmp_path / "one")
    victims: list[int] = []
    over = threading.Event()
    killer = threading.Thread(target=kill_one_worker, args=(victims, over))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    killer.start()
    try:
        done = run(plan(request), tmp_path / "ray", workers=2, engine="ray")
    finally:
        over.set()
        killer.join()
        ray.shutdown()
    assert victims and done.complete
    for name in ("scores.csv", "clips.csv", "summary.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "ray" / name).read_bytes()
