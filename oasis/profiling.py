"""The main job: clips and a model become head statistics, a routing table, pictures and a page."""

import json
import math
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor
from tqdm import tqdm

import oasis
from oasis import adapters, decide, files, probe
from oasis.cost import attended_pairs
from oasis.data import clips
from oasis.grid import Grid
from oasis.model import load_model
from oasis.report import page
from oasis.routing import GLOBAL, Pattern, RoutingTable, parse_pattern
from oasis.rules import Choices

PATTERNS = ("frame", "window-8x8")
DEFAULT_RATIO = 0.5
LOCAL_KL_REL = 0.7
"""Below this share of a uniform head's KL, a head counts as one that prefers a pattern."""
_RECORDED = ("torch", "numpy", "pandas", "diffusers", "av", "scikit-image", "scikit-learn")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to profile: `model` and `data` as the user names them, `frames` and `crop` (height, width of pixels) at most.

    Models of ours read LQ clips. `diffusers:PATH` reads the clean clip where there is one, as the built-in clips have, else the
    clip itself; `diffusers` says how, and has no meaning for others.
    Without a `rule` it is the budget of DEFAULT_RATIO, or of the lowest ratio where the clips are too small for that.
    """

    model: str = "tiny"
    data: str = "builtin"
    rule: str | None = None
    patterns: tuple[str, ...] = PATTERNS
    frames: int = 17
    crop: tuple[int, int] = (48, 80)
    backend: str = "folded"
    device: str = "cpu"
    diffusers: adapters.Asked | None = None
    command: str = ""


def profile(request: Request, out: Path) -> RoutingTable:
    """Profile and write heads.csv, profiles.csv, routing.json, looks.npz, run.json, pictures and index.html into `out`.

    Where text is in the self-attention, also text.csv.
    The folder receives all of them or none. ValueError and OSError say what does not fit.
    """
    started = time.monotonic()
    rule = None if request.rule is None else decide.parse_rule(request.rule)
    patterns = [parse_pattern(name) for name in request.patterns]
    if any(pattern.kind == "global" or pattern.text for pattern in patterns) or len(set(patterns)) < len(patterns):
        raise ValueError(
            f"patterns are {', '.join(request.patterns)};"
            " allowed: each once, and not global, whose KL is 0, nor with +text, which is the model's"
        )
    subject = _subject(request)
    patterns = [replace(pattern, text=subject.about.text) for pattern in patterns]
    taken = [(clip.name, centre(_read(clip, request), request)) for clip in clips.load(request.data, frames=request.frames)]
    rule = _possible(rule, patterns, _common_grid(subject, taken), subject.about.head_order)
    with files.replacing_folder(out) as folder:
        table = _measure_and_decide(subject, taken, patterns, rule, folder)
        record = _record(request, rule, subject, taken, patterns, seconds=time.monotonic() - started)
        files.write_text(folder / "run.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        page.write_page(folder)
    return table


def centre(frames: UInt8[Tensor, "t 3 h w"], request: Request) -> UInt8[Tensor, "f 3 y x"]:
    """Return the first frames of a clip, cut to the middle where it is larger than the request allows."""
    height, width = (min(have, most) for have, most in zip(frames.shape[-2:], request.crop, strict=True))
    top, left = (frames.shape[-2] - height) // 2, (frames.shape[-1] - width) // 2
    return frames[: request.frames, :, top : top + height, left : left + width]


def _subject(request: Request) -> probe.Subject:
    if not request.model.startswith(adapters.PREFIX):
        if request.diffusers is not None:
            raise ValueError(f"model {request.model!r} takes no --timestep, --clean, --prompt-embeds or --dtype")
        loaded = load_model(request.model)
        loaded.model.to(request.device).dit.backend = request.backend
        return probe.Own(loaded)
    if request.backend != "folded":
        raise ValueError(f"--backend {request.backend} has no meaning for {request.model}, which is measured dense")
    return adapters.load(request.model, request.diffusers or adapters.Asked(), request.device)


def _read(clip: clips.LoadedClip, request: Request) -> UInt8[Tensor, "t 3 h w"]:
    return clip.hr if request.model.startswith(adapters.PREFIX) and clip.hr is not None else clip.lq


def _common_grid(subject: probe.Subject, taken: Sequence[tuple[str, Tensor]]) -> Grid:
    grids = {name: subject.grid(frames) for name, frames in taken}
    (first, grid), *others = grids.items()
    for name, other in others:
        if other != grid:
            raise ValueError(
                f"clip {name!r} has a token grid of {other} (t, h, w), clip {first!r} of {grid};"
                " all clips need the same (--frames and --crop cut them)"
            )
    return grid


def _possible(rule: decide.Rule | None, patterns: Sequence[Pattern], grid: Grid, heads: Sequence[Sequence[int]]) -> decide.Rule:
    """Return the rule or the default one; ValueError, before anything is measured, if no statistics could meet it."""
    every = (replace(GLOBAL, text=patterns[0].text), *patterns)
    pairs = np.array([attended_pairs(pattern, grid) for pattern in every])
    if rule is None:
        lowest = math.ceil(1e4 * int(pairs.min()) / int(pairs[0])) / 1e4
        rule = decide.Rule(name="budget", parameters={"ratio": max(DEFAULT_RATIO, lowest)})
    rule.choose(Choices(patterns=every, pairs=pairs, loss=np.zeros((len(heads), len(heads[0]), len(every)))))
    return rule


def _measure_and_decide(
    subject: probe.Subject, taken: Sequence[tuple[str, Tensor]], patterns: Sequence[Pattern], rule: decide.Rule, folder: Path
) -> RoutingTable:
    layers = len(subject.about.head_order)
    with tqdm(total=len(taken) * layers, desc="probing", unit="layer", delay=0.5, dynamic_ncols=True) as progress:
        found = probe.probe(subject, taken, patterns, tick=progress.update)
    found.heads.to_csv(folder / "heads.csv", index=False, float_format="%.9g", lineterminator="\n")
    found.profiles.to_csv(folder / "profiles.csv", index=False, float_format="%.9g", lineterminator="\n")
    if subject.about.text:
        found.text.to_csv(folder / "text.csv", index=False, float_format="%.9g", lineterminator="\n")
    # Decide from the file, not from memory: the table must follow from what is written.
    heads = decide.read_heads(folder / "heads.csv")
    table = decide.decide(heads, rule, heads_csv_sha256=files.sha256(folder / "heads.csv"))
    table.save(folder / "routing.json")
    np.savez_compressed(folder / "looks.npz", **_looks(subject, heads, taken))
    return table


def _looks(subject: probe.Subject, heads: pd.DataFrame, taken: Sequence[tuple[str, Tensor]]) -> dict[str, Any]:
    chosen = typical_heads(heads)
    name, frames = taken[len(taken) // 2]
    grid = subject.grid(frames)
    shown = [frames[min(subject.frame_of(t, len(frames)), len(frames) - 1)] for t in range(grid.t)]
    query = (grid.t // 2, *_marked(shown[grid.t // 2], grid))
    return {
        "clip": np.array(name),
        "labels": np.array(list(chosen)),
        "heads": np.array(list(chosen.values())),
        "query": np.array(query),
        "frames": np.stack([_picture(frame, subject.about.scale) for frame in shown]),
        "attention": probe.attention_rows(subject, frames, list(chosen.values()), query),
    }


def typical_heads(heads: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Return (layer, head) of the most global, most intra-frame and most local head.

    By the mean KL over clips relative to a uniform head: the most global one is farthest from its nearest pattern; the
    other two are nearest to the frame pattern, and to the narrowest other pattern, heads taken already left out.
    """
    relative = heads.groupby(["layer", "head", "pattern"])["kl_rel"].mean().unstack("pattern")
    order = {
        "most local": relative.columns[relative.columns != "frame"],
        "most intra-frame": relative.columns[relative.columns == "frame"],
    }
    chosen: dict[str, tuple[int, int]] = {}
    for label, columns in order.items():
        if len(columns) and len(relative):
            chosen[label] = relative[columns].min(axis=1).idxmin()
            relative = relative.drop(index=[chosen[label]])
    if len(relative):
        chosen["most global"] = relative.min(axis=1).idxmax()
    labels = ("most global", "most intra-frame", "most local")
    return {label: (int(chosen[label][0]), int(chosen[label][1])) for label in labels if label in chosen}


def local_share(heads: pd.DataFrame) -> float:
    """Return the share of heads whose mean `kl_rel` is below LOCAL_KL_REL for some pattern."""
    return float(
        (heads.groupby(["layer", "head", "pattern"])["kl_rel"].mean().groupby(["layer", "head"]).min() < LOCAL_KL_REL).mean()
    )


def _marked(frame: UInt8[Tensor, "3 h w"], grid: Grid) -> tuple[int, int]:
    """Return the token (y, x) of a frame with the strongest detail, away from the border where the grid allows."""
    grey = frame.float().mean(0)
    detail = (grey - torch.nn.functional.avg_pool2d(grey[None], 3, 1, 1, count_include_pad=False)[0]).abs()
    tokens = torch.nn.functional.adaptive_avg_pool2d(detail[None], (grid.h, grid.w))[0]
    edge_h, edge_w = grid.h // 5, grid.w // 5
    inner = tokens[edge_h : grid.h - edge_h, edge_w : grid.w - edge_w]
    y, x = divmod(int(inner.argmax()), inner.shape[1])
    return y + edge_h, x + edge_w


def _picture(frame: UInt8[Tensor, "3 h w"], scale: int) -> UInt8[np.ndarray, "y x 3"]:
    image = Image.fromarray(rearrange(frame, "c h w -> h w c").numpy())
    return np.asarray(image.resize((image.width * scale, image.height * scale), Image.Resampling.BICUBIC))


def _record(
    request: Request,
    rule: decide.Rule,
    subject: probe.Subject,
    taken: Sequence[tuple[str, Tensor]],
    patterns: Sequence[Pattern],
    *,
    seconds: float,
) -> dict[str, Any]:
    return {
        "model": subject.about.name,
        "weights_sha256": subject.about.weights_sha256,
        "trained": subject.about.trained,
        **subject.about.record,
        "data": request.data,
        "clips": {name: list(frames.shape) for name, frames in taken},
        "rule": str(rule),
        "patterns": [pattern.name for pattern in patterns],
        "backend": subject.about.backend,
        "device": device_name(request.device),
        "threads": torch.get_num_threads(),
        "seconds": round(seconds, 1),
        "command": request.command,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": {
            "oasis": oasis.__version__,
            "python": sys.version.split()[0],
            **{n: metadata.version(n) for n in _RECORDED},
        },
    }


def device_name(device: str) -> str:
    """Return what hardware stands behind "cpu" or "cuda"."""
    return torch.cuda.get_device_name() if device == "cuda" else f"CPU ({platform.machine()})"
