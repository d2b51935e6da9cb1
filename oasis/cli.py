"""The `oasis` command: profile, route, plot, upscale, train, describe, doctor."""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from oasis import __version__

if TYPE_CHECKING:
    from oasis.routing import RoutingTable

RULES = (
    "budget:ratio=R (least total KL within R of dense attention FLOPs), threshold:tau=NATS (cheapest pattern below), "
    "quota:global=S,frame=S,window=S[,per_layer=true], random:seed=N,global=S,... or random:seed=N,like=FILE, "
    "uniform:pattern=NAME"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; 0 if all went well, 2 and one sentence on stderr if the input does not fit."""
    try:
        args = _parser().parse_args(arguments)
        args.run(args)
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
    except ValueError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _fail("stopped; no file is left half-written")
    return 0


def _fail(message: str) -> int:
    print("error:", " ".join(message.split()), file=sys.stderr)
    return 2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(prog="oasis", description=__doc__)
    parser.add_argument("--version", action="version", version=f"oasis-vsr {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    profile = _command(
        commands, "profile", _profile, "measure every attention head and write a routing table, plots and a page"
    )
    profile.add_argument("--model", default="tiny", help="tiny (trained, built in), a folder, or random-tiny | random-wan-1.3b")
    profile.add_argument("--data", default="builtin", help="builtin, a video, a folder of PNG, or a folder of clips")
    profile.add_argument(
        "--rule", help=f"how to route; default budget:ratio=0.5, or the lowest ratio of small clips. Rules: {RULES}"
    )
    profile.add_argument("--patterns", metavar="LIST", help="patterns to measure, comma-separated (frame,window-8x8)")
    profile.add_argument("--frames", type=int, default=17, help="frames of each clip, at most (%(default)s)")
    profile.add_argument(
        "--crop", metavar="HxW", default="48x80", help="LQ pixels of each clip, cut from the middle (%(default)s)"
    )
    profile.add_argument("--out", type=Path, help="folder to write (runs/profile-MODEL)")
    _add_compute(profile)

    route = _command(commands, "route", _route, "decide again from heads.csv")
    route.add_argument("heads_csv", metavar="HEADS_CSV", type=Path)
    route.add_argument("--rule", required=True, help=f"{RULES}; or all, to compare the rules at one cost without writing")
    route.add_argument("--statistic", default="kl_mean", help="what to minimise: kl_mean, kl_p50, kl_p95, kl_rel, out_err")
    route.add_argument("--out", type=Path, help="file to write (routing.json beside HEADS_CSV)")

    plot = _command(commands, "plot", _plot, "draw the plots and the page again from a run's files")
    plot.add_argument("folder", metavar="RUN", type=Path, help="a folder that `oasis profile` wrote")

    upscale = _command(commands, "upscale", _upscale, "upscale a video; as many frames come out, each exactly x4 as large")
    upscale.add_argument("input", metavar="IN", type=Path, help="a video or a folder of PNG")
    upscale.add_argument("output", metavar="OUT", type=Path, help="NAME.mp4 (H.264), NAME.mkv (lossless), or a folder of PNG")
    upscale.add_argument("--model", default="tiny", help="tiny, a folder, or random-tiny | random-wan-1.3b")
    upscale.add_argument("--routing", metavar="FILE", type=Path, help="routing.json of this model; dense without it")
    upscale.add_argument("--frames", type=int, help="upscale only the first frames")
    upscale.add_argument("--tile", metavar="TxHxW", default="17x48x80", help="frames and LQ pixels at a time (%(default)s)")
    _add_compute(upscale)

    train = _command(commands, "train", _train, "train the tiny model, resuming what OUT holds")
    train.add_argument("out", metavar="OUT", type=Path, help="folder for state, log and the finished model (OUT/model)")
    train.add_argument("--videos", type=Path, help="folder of training videos beside the built-in clips")
    train.add_argument("--check", type=Path, help="folder of videos to score on, never trained on, beside the built-in ones")

    describe = _command(commands, "describe", _describe, "print a network's parameters by part, without building its weights")
    describe.add_argument("preset", choices=("tiny", "wan-1.3b"))

    _command(commands, "doctor", _doctor, "print versions, devices, attention backends that work here, and what is missing")
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], None],
    summary: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    parser.set_defaults(run=run)
    return parser


def _add_compute(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backend", choices=("folded", "masked", "flex"), default="folded", help="attention (%(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="where to compute (cuda if there is one)")


def _profile(args: argparse.Namespace) -> None:
    from oasis import profiling

    height, width = _sizes("--crop", args.crop, 2)
    request = profiling.Request(
        model=args.model,
        data=args.data,
        rule=args.rule,
        patterns=tuple(args.patterns.split(",")) if args.patterns else profiling.PATTERNS,
        frames=_at_least_one("--frames", args.frames),
        crop=(height, width),
        backend=args.backend,
        device=_device(args.device),
        command=f"oasis profile {shlex.join(_spoken(args))}".strip(),
    )
    out = args.out or Path("runs") / f"profile-{Path(args.model).name}"
    _check_kind(out, folder=True)
    table = profiling.profile(request, out)
    _print_table(table)
    for path in sorted(out.iterdir()):
        print(path)


def _route(args: argparse.Namespace) -> None:
    from oasis import decide, files

    heads = decide.read_heads(args.heads_csv)
    if args.statistic not in decide.STATISTICS:
        raise ValueError(f"--statistic is {args.statistic!r}; allowed: {', '.join(decide.STATISTICS)}")
    if args.rule == "all":
        if args.out:
            raise ValueError("--out has no meaning with --rule all, which writes nothing")
        print(decide.compare(heads, statistic=args.statistic).to_string(index=False, float_format="{:.4f}".format))
        return
    rule = decide.parse_rule(args.rule)
    table = decide.decide(heads, rule, heads_csv_sha256=files.sha256(args.heads_csv), statistic=args.statistic)
    out = args.out or args.heads_csv.with_name("routing.json")
    table.save(out)
    _print_table(table)
    print(f"total {args.statistic}  {decide.total(heads, table, statistic=args.statistic):.4f}")
    print(out)


def _plot(args: argparse.Namespace) -> None:
    from oasis.report.page import write_page

    for path in write_page(args.folder):
        print(path)


def _upscale(args: argparse.Namespace) -> None:
    import itertools

    from tqdm import tqdm

    from oasis import upscale, video
    from oasis.model import load_model
    from oasis.routing import RoutingTable

    frames, height, width = _sizes("--tile", args.tile, 3)
    _check_kind(args.output, folder=not args.output.suffix)
    if args.input.resolve() == args.output.resolve():
        raise ValueError(f"{args.output}: IN and OUT are the same; the input would be lost")
    table = RoutingTable.load(args.routing) if args.routing else None
    about = video.info(args.input)
    loaded = load_model(args.model, table)
    loaded.model.to(_device(args.device)).dit.backend = args.backend
    if not loaded.trained:
        print("RANDOM WEIGHTS: the output says nothing about a trained model", file=sys.stderr)
    tiling = upscale.Tiling(
        frames=frames, height=height, width=width, overlap_frames=min(4, frames // 4), overlap=min(8, height // 4, width // 4)
    )
    taken = itertools.islice(video.stream(args.input), None if args.frames is None else _at_least_one("--frames", args.frames))
    with tqdm(desc="upscaling", unit="frame", total=args.frames, delay=0.5, dynamic_ncols=True) as progress:
        video.write(args.output, upscale.upscale(loaded.model, taken, tiling, tick=progress.update), about.fps)
    kind = f"routed by {args.routing}" if table else "dense"
    print(f"{args.output}  {loaded.model.config.name}, {kind}, attention {args.backend}")


def _train(args: argparse.Namespace) -> None:
    from oasis.publish import publish
    from oasis.train.tiny import train_tiny

    print(publish(train_tiny(args.videos, args.out), args.out, args.videos, args.check))


def _describe(args: argparse.Namespace) -> None:
    import torch

    from oasis.configs import PRESETS
    from oasis.model.oasis import Oasis, describe

    with torch.device("meta"):
        print(describe(Oasis(PRESETS[args.preset])))


def _doctor(args: argparse.Namespace) -> None:
    from oasis import doctor

    for line in doctor.report():
        print(line)


def _print_table(table: "RoutingTable") -> None:
    for letter, count in table.counts().items():
        print(f"{letter}  {table.patterns[letter].name:16s} {count:4d} heads")
    print(f"attention FLOPs  {table.rule['attention_flops_ratio']:.4f} of dense")


def _device(name: str | None) -> str:
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device is cuda, but torch finds no CUDA device; allowed here: cpu")
    return name or ("cuda" if torch.cuda.is_available() else "cpu")


def _check_kind(out: Path, *, folder: bool) -> None:
    if out.exists() and out.is_dir() != folder:
        wanted, there = ("folder", "file") if folder else ("file", "folder")
        raise ValueError(f"{out}: there is a {there} of this name, but a {wanted} is to be written")


def _sizes(option: str, text: str, count: int) -> tuple[int, ...]:
    parts = text.split("x")
    if len(parts) != count or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(
            f"{option} is {text!r}; allowed: {count} whole numbers with 'x' between them, such as {'x'.join(['16'] * count)}"
        )
    return tuple(int(part) for part in parts)


def _at_least_one(option: str, number: int) -> int:
    if number < 1:
        raise ValueError(f"{option} is {number}; allowed: a whole number of at least 1")
    return number


def _spoken(args: argparse.Namespace) -> list[str]:
    """Return the options of a command as a user would type them."""
    given = {name: value for name, value in vars(args).items() if name != "run" and value is not None}
    return [word for name, value in given.items() for word in (f"--{name}", str(value))]
