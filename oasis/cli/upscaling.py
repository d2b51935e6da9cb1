"""upscale, estimate: a video becomes a larger one."""

import argparse
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from oasis.cli.options import NETWORK_BACKENDS, add_compute, at_least_one, check_kind, command, device, sizes

if TYPE_CHECKING:
    from oasis.cli.options import Commands
    from oasis.model import Loaded
    from oasis.upscale.job import Job
    from oasis.upscale.ranks import Ranks

DTYPES = ("float32", "bfloat16", "float16")


def add(commands: "Commands") -> None:
    """Add the subcommands."""
    upscale = command(
        commands,
        "upscale",
        _upscale,
        "upscale videos; as many frames come out, each exactly 4 (or 2, or 1) times as large, with their times, sound and "
        "colours; a run that was stopped goes on",
    )
    _add(upscale)
    upscale.add_argument(
        "--parallel",
        choices=("segments", "context"),
        default="segments",
        help="what processes under torchrun share: segments of a clip, same bytes; or the tokens of every tile (%(default)s)",
    )
    estimate = command(
        commands,
        "estimate",
        _estimate,
        "predict what `oasis upscale` with these options will take, in time and memory, from a few tiles on this machine",
    )
    _add(estimate)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", metavar="IN", type=Path, help="a video, a folder of PNG, or a folder of such clips")
    parser.add_argument(
        "output",
        metavar="OUT",
        type=Path,
        help="NAME.mp4 (H.264), NAME.mkv (lossless), NAME.mov (ProRes), or a folder of PNG; of several clips a folder that "
        "gets CLIP.mkv",
    )
    parser.add_argument("--model", default="tiny", help="tiny, tiny-routed, a folder, or random-tiny | random-wan-1.3b[-fast]")
    parser.add_argument(
        "--routing", metavar="FILE", type=Path, help="routing.json of the model; without it dense, or tiny-routed's own"
    )
    parser.add_argument(
        "--scale", type=int, choices=(1, 2, 4), default=4, help="1 and 2: upscaled by 4, then reduced (%(default)s)"
    )
    parser.add_argument("--frames", type=int, help="upscale only the first frames")
    parser.add_argument("--tile", metavar="TxHxW", default="17x48x80", help="frames and LQ pixels at a time (%(default)s)")
    parser.add_argument(
        "--decoder-tile", metavar="HxW", help="of the Wan decoder: rows and columns of latents at a time, for less memory"
    )
    parser.add_argument("--decoder-overlap", metavar="N", type=int, help="latents that such tiles share (4)")
    parser.add_argument(
        "--cuts",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="find scene cuts, so that no frames of two scenes are upscaled together",
    )
    parser.add_argument("--codec", choices=("h264", "h265", "ffv1", "prores"), help="other than the container's usual one")
    parser.add_argument("--crf", type=int, help="quality of H.264 (18) and H.265 (20): less is better")
    parser.add_argument("--lossless", action="store_true", help="every level exactly as the network gave it, or an error")
    parser.add_argument(
        "--streams", action=argparse.BooleanOptionalAction, default=True, help="carry sound and subtitles along"
    )
    parser.add_argument(
        "--fps", type=Fraction, default=Fraction(25), help="of a folder of PNG, such as 30000/1001 (%(default)s)"
    )
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default="float32",
        help="what the network computes in; chunks are mixed in float32 (%(default)s)",
    )
    parser.add_argument(
        "--fp8",
        action="store_true",
        help="the transformer's linear layers in 8-bit floating point, with --dtype bfloat16; CUDA only",
    )
    parser.add_argument("--graph", action="store_true", help="replay every step as a CUDA graph; CUDA only")
    add_compute(parser, NETWORK_BACKENDS)


def _upscale(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from oasis.model import context
    from oasis.upscale.ranks import ranks
    from oasis.upscale.run import run

    if args.graph and args.parallel == "context":
        raise ValueError("--graph cannot hold the exchanges of --parallel context; allowed with it: --parallel segments")
    with ranks(together=args.parallel == "context") as here:
        loaded, jobs = _loaded(args, here), _jobs(args)
        if here.group is not None:
            context.spread(loaded.model, here.group)
        if not loaded.trained and here.first:
            print("UNTRAINED WEIGHTS: the output says nothing about a trained model", file=sys.stderr)
        for job in jobs:
            total = min((number for number in (args.frames, job.source.frames) if number is not None), default=None)
            with tqdm(
                desc=job.source.path.name,
                unit="frame",
                total=total,
                delay=0.5,
                dynamic_ncols=True,
                disable=None if here.first else True,
            ) as progress:
                done = run(
                    loaded, job, ranks=here, tick=progress.update, say=lambda text: progress.write(text, file=sys.stderr)
                )
            if done is not None:
                print(_said(args, job, done.record, new=done.new))


def _estimate(args: argparse.Namespace) -> None:
    from oasis.upscale.estimate import estimate

    loaded = _loaded(args)
    for job in _jobs(args):
        found = estimate(loaded.model, job, say=lambda text: print(text, file=sys.stderr))
        minutes, seconds = divmod(round(found.seconds), 60)
        print(f"{job.source.path}  {found.frames} frames, {found.scenes} scenes, {found.chunks} chunks, {found.tiles} tiles")
        parts = f"network {found.network_seconds:.1f} s, reading, mixing and encoding {found.other_seconds:.1f} s"
        print(f"time    {minutes} min {seconds} s: {parts}")
        device_memory = "" if found.device_mib is None else f", {found.device_mib:.0f} MiB on the device"
        print(f"memory  {found.host_mib:.0f} MiB{device_memory}, whatever the length")


def _loaded(args: argparse.Namespace, here: "Ranks | None" = None) -> "Loaded":
    import torch

    from oasis.model import fp8, graphed, load_model
    from oasis.model.ordering import attend_by
    from oasis.routing import RoutingTable

    loaded = load_model(args.model, RoutingTable.load(args.routing) if args.routing else None)
    where = device(args.device)
    if where == "cuda" and here is not None and here.world > 1:
        where = f"cuda:{here.rank % torch.cuda.device_count()}"
    attend_by(loaded.model.to(where, getattr(torch, args.dtype)), args.backend)
    if args.decoder_tile is not None:
        rows, columns = sizes("--decoder-tile", args.decoder_tile, 2)
        loaded.model.decode_in_tiles((rows, columns), 4 if args.decoder_overlap is None else args.decoder_overlap)
    elif args.decoder_overlap is not None:
        raise ValueError(f"--decoder-overlap is {args.decoder_overlap}, but there are no tiles; allowed: with --decoder-tile")
    if args.fp8:
        fp8.use(loaded.model)
    if args.graph:
        graphed.capture(loaded.model)
    return loaded


def _jobs(args: argparse.Namespace) -> "list[Job]":
    from oasis.data import clips
    from oasis.tiling import Tiling
    from oasis.upscale.job import Job
    from oasis.video.source import describe
    from oasis.video.target import target

    tiling = Tiling.of(*sizes("--tile", args.tile, 3))
    if args.fps <= 0:
        raise ValueError(f"--fps is {args.fps}; allowed: a number above 0")
    limit = None if args.frames is None else at_least_one("--frames", args.frames)
    jobs = []
    for path, out in _outputs(clips.find(args.input), args.input, args.output):
        source = describe(path, fps=args.fps)
        if source.interlaced:
            print(f"{path}: interlaced; its frames are upscaled as they are, two fields in one", file=sys.stderr)
        if not out.suffix and not source.constant_rate:
            print(
                f"{path}: its frames are shown for different lengths of time, which a folder of PNG does not keep",
                file=sys.stderr,
            )
        wanted = target(
            out, source, scale=args.scale, codec=args.codec, crf=args.crf, lossless=args.lossless, streams=args.streams
        )
        jobs.append(
            Job(
                source=source,
                target=wanted,
                out=out,
                scale=args.scale,
                tiling=tiling,
                frames=limit,
                find_cuts=args.cuts,
                streams=args.streams,
            )
        )
    return jobs


def _outputs(found: list[Path], source: Path, out: Path) -> list[tuple[Path, Path]]:
    """Return the clips, each with where it goes, once no output would overwrite an input."""
    if found == [source]:
        check_kind(out, folder=not out.suffix)
        pairs = [(source, out)]
    elif out.suffix:
        raise ValueError(f"{out}: {source} holds {len(found)} clips; allowed: a folder, whose name has no suffix")
    else:
        check_kind(out, folder=True)
        out.mkdir(parents=True, exist_ok=True)
        pairs = [(path, out / f"{path.stem}.mkv") for path in found]
    for path, target in pairs:
        if path.resolve() == target.resolve():
            raise ValueError(f"{target}: IN and OUT are the same; the input would be lost")
        if not target.parent.is_dir():
            raise FileNotFoundError(f"{target}: there is no folder {target.parent} to write it into")
    return pairs


def _said(args: argparse.Namespace, job: "Job", record: dict, *, new: bool) -> str:
    dense = all(set(layer.split(", ")) == {"global"} for layer in record["heads"])
    kind = f"routed by {args.routing}" if args.routing else "dense" if dense else "on its own routing"
    size = f"{job.source.width * job.scale}x{job.source.height * job.scale}"
    words = [f"{record['frames']} frames of {size}", f"{record['model']}, {kind}, attention {record['backend']}"]
    if len(record["tiles"]) > 1:
        words.append(f"out of memory: tiles of {', then '.join(record['tiles'])}")
    if not new:
        words.append("was there already")
    return f"{job.out}  {'; '.join(words)}; {job.record}"
