import os
import signal
import threading
import time
from pathlib import Path

from oasis.score.request import Request, plan
from oasis.score.run import run


def kill_one_worker(victims: list[int]) -> None:
    """Kill the first Ray worker that is seen to score a clip."""
    until = time.monotonic() + 90
    while not victims and time.monotonic() < until:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                name = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if name.startswith(b"ray::score"):
                os.kill(int(process.name), signal.SIGKILL)
                victims.append(int(process.name))
                return
        time.sleep(0.001)


def test_two_ray_workers_one_killed_write_the_same_bytes(pairs: Path, tmp_path: Path) -> None:
    import ray

    request = Request(outputs=pairs / "outputs", gt=pairs / "gt", metrics="psnr@rgb,ssim@y")
    run(plan(request), tmp_path / "one")
    victims: list[int] = []
    killer = threading.Thread(target=kill_one_worker, args=(victims,))
    killer.start()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        done = run(plan(request), tmp_path / "ray", workers=2, engine="ray")
    finally:
        ray.shutdown()
        killer.join()
    assert victims and done.complete
    for name in ("scores.csv", "clips.csv", "summary.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "ray" / name).read_bytes()
