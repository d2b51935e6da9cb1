"""profile, route, plot: what the heads do, and which pattern each gets."""

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from oasis.cli.options import add_compute, at_least_one, check_kind, command, device, sizes

if TYPE_CHECKING:
    from oasis.cli.options import Commands
    from oasis.routing import RoutingTable

RULES = (
    "budget:ratio=R (least total KL within R of dense attention FLOPs), greedy:ratio=R (its usual heuristic), "
    "threshold:tau=NATS (cheapest pattern below), "
    "quota:global=S,frame=S,window=S[,per_layer=true], random:seed=N,global=S,... or random:seed=N,like=FILE, "
    "random-within:seed=N,ratio=R, uniform:pattern=NAME"
)


def add(commands: "Commands") -> None:
    """Add the subcommands about heads."""
    profile = command(commands, "profile", _profile, "measure every attention head and write a routing table, plots and a page")
    profile.add_argument(
        "--model",
        default="tiny",
        help="tiny, tiny-routed, a folder, random-tiny, random-wan-1.3b, random-wan-1.3b-fast,"
        " or diffusers:PATH, the folder of a Wan or CogVideoX pipeline",
    )
    profile.add_argument(
        "--data", default="builtin", help="builtin[-train|-test], a video, a folder of PNG, or a folder of clips"
    )
    profile.add_argument(
        "--rule", help=f"how to route; default budget:ratio=0.5, or the lowest ratio of small clips. Rules: {RULES}"
    )
    profile.add_argument("--patterns", metavar="LIST", help="patterns to measure, comma-separated (frame,window-8x8)")
    profile.add_argument("--frames", type=int, default=17, help="frames of each clip, at most (%(default)s)")
    profile.add_argument(
        "--crop",
        metavar="HxW",
        help="pixels of each clip that the model reads, cut from the middle (48x80; 192x320 for diffusers)",
    )
    profile.add_argument("--out", type=Path, help="folder to write (runs/profile-MODEL)")
    add_compute(profile)
    theirs = profile.add_argument_group("for diffusers:PATH")
    theirs.add_argument("--timestep", type=float, metavar="T", help="what the transformer is told (500)")
    theirs.add_argument("--clean", action="store_true", default=None, help="latents without noise, as one-step upscalers read")
    theirs.add_argument(
        "--prompt-embeds", type=Path, metavar="FILE", help=".safetensors; by default the empty prompt, or zeros"
    )
    theirs.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="of the transformer (float32)")

    route = command(commands, "route", _route, "decide again from heads.csv")
    route.add_argument("heads_csv", metavar="HEADS_CSV", type=Path)
    route.add_argument("--rule", required=True, help=f"{RULES}; or all, to compare the rules at one cost without writing")
    route.add_argument(
        "--statistic",
        help="what to minimise: kl_mean (the default), kl_p50, kl_p95, kl_rel, out_err; with --harms latent_mse (the default), "
        "latent_mse_rel, pixel_mse, psnr_y_loss",
    )
    route.add_argument("--harms", metavar="CSV", type=Path, help="minimise measured harm instead, from `oasis harm`")
    route.add_argument(
        "--changes",
        metavar="CSV",
        type=Path,
        help="minimise what heads write differently into the tokens instead, from `oasis harm`'s changes.csv",
    )
    route.add_argument("--latency", metavar="CSV", type=Path, help="let ratios be of seconds, from `oasis harm`'s latency.csv")
    route.add_argument("--out", type=Path, help="file to write (routing.json beside HEADS_CSV)")

    plot = command(commands, "plot", _plot, "draw the plots and the page again from a run's files")
    plot.add_argument("folder", metavar="RUN", type=Path, help="a folder that `oasis profile` wrote")


def _profile(args: argparse.Namespace) -> None:
    from oasis import profiling
    from oasis.adapters import PREFIX, Asked

    theirs = args.model.startswith(PREFIX)
    height, width = sizes("--crop", args.crop or ("192x320" if theirs else "48x80"), 2)
    asked = {name: getattr(args, name) for name in ("timestep", "clean", "prompt_embeds", "dtype")}
    asked = {name: value for name, value in asked.items() if value is not None}
    request = profiling.Request(
        model=args.model,
        data=args.data,
        rule=args.rule,
        patterns=tuple(args.patterns.split(",")) if args.patterns else profiling.PATTERNS,
        frames=at_least_one("--frames", args.frames),
        crop=(height, width),
        backend=args.backend,
        device=device(args.device),
        diffusers=Asked(**asked) if asked else None,
        command=f"oasis profile {shlex.join(_spoken(args))}".strip(),
    )
    out = args.out or Path("runs") / f"profile-{Path(args.model.removeprefix(PREFIX)).name}"
    check_kind(out, folder=True)
    table = profiling.profile(request, out)
    _print_table(table)
    for path in sorted(out.iterdir()):
        print(path)


def _route(args: argparse.Namespace) -> None:
    from oasis import decide, files, harms, losses

    heads = decide.read_heads(args.heads_csv)
    if args.harms and args.changes:
        raise ValueError("--harms and --changes both say what to minimise; allowed: one of them")
    allowed = harms.STATISTICS if args.harms else ("write_change",) if args.changes else decide.STATISTICS
    statistic = args.statistic or allowed[0]
    if statistic not in allowed:
        raise ValueError(f"--statistic is {statistic!r}; allowed: {', '.join(allowed)}")
    if args.rule == "all":
        if args.out or args.harms or args.changes or args.latency:
            raise ValueError("--out, --harms, --changes and --latency have no meaning with --rule all, which compares by FLOPs")
        print(decide.compare(heads, statistic=statistic).to_string(index=False, float_format="{:.4f}".format))
        return
    rule = decide.parse_rule(args.rule)
    measured = args.harms or args.changes
    known = losses.of_heads(heads, "kl_mean" if measured else statistic, files.sha256(args.heads_csv))
    if args.harms:
        known = losses.of_harms(known, args.harms, statistic)
    if args.changes:
        known = losses.of_changes(known, args.changes)
    if args.latency:
        known = losses.in_seconds(known, args.latency)
    table = decide.decide_from(known, rule)
    out = args.out or args.heads_csv.with_name("routing.json")
    table.save(out)
    _print_table(table)
    if args.latency:
        print(f"attention time   {table.rule['attention_seconds_ratio']:.4f} of dense")
    print(f"total {statistic}  {decide.total_of(known.choices, table):.6g}")
    print(out)


def _plot(args: argparse.Namespace) -> None:
    from oasis.report.page import write_page

    for path in write_page(args.folder):
        print(path)


def _print_table(table: "RoutingTable") -> None:
    for letter, count in table.counts().items():
        print(f"{letter}  {table.patterns[letter].name:16s} {count:4d} heads")
    print(f"attention FLOPs  {table.rule['attention_flops_ratio']:.4f} of dense")


def _spoken(args: argparse.Namespace) -> list[str]:
    """Return the options of a command as a user would type them."""
    given = {name: value for name, value in vars(args).items() if name != "run" and value is not None}
    spoken = {name: [] if value is True else [str(value)] for name, value in given.items()}
    return [word for name, values in spoken.items() for word in (f"--{name.replace('_', '-')}", *values)]
