"""Low-quality input for a test set: made once from its ground truth by a seeded recipe, stored without loss, and hashed."""

import functools
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from numpy import ndarray
from torch import Tensor
from tqdm import tqdm

import oasis
from oasis import files, video
from oasis.data import builtin
from oasis.data.hashes import Content, content
from oasis.degrade import classic, second_order
from oasis.degrade.variants import VARIANTS

FORMAT = 1
RECORD = "prepared.json"
Pixels = UInt8[ndarray, "h w 3"]
Source = Path | UInt8[ndarray, "t h w 3"]

FIXED: dict[str, Callable[[Pixels], Pixels]] = {
    "bi": classic.bi,
    "bd-mmagic": functools.partial(classic.bd, phase="mmagic"),
    "bd-pfnl": functools.partial(classic.bd, phase="pfnl"),
}
RECIPES = (*FIXED, *VARIANTS)


def prepare(clips: Mapping[str, Source], out: Path, *, dataset: str, recipe: str, seed: int) -> dict[str, Any]:
    """Make the LQ of clips, each a video file, a folder of PNG or an array, and return what `prepared.json` then holds.

    `out` receives lq/CLIP/%08d.png; gt/CLIP where ground truth came as an array or had to lose pixels at its right and bottom
    for sides that are multiples of 4; recipes/CLIP.json, every drawn value, where `recipe` is a name of `VARIANTS`; and
    prepared.json, which lists the clips that are done: size, crop, versions, and hashes (`hashes.content`) of the LQ and of the
    ground truth to compare with. Draws and noise depend on `dataset`, the clip's name and `seed` only.

    A clip appears whole or not at all. One that is listed, with ground truth and LQ of the listed hashes, is not made again,
    so a run that was stopped goes on. Memory is bounded by a few frames for fixed recipes; drawn ones hold the clip
    compressed, 25 kB a frame, and some tens of frames within the encoder.

    ValueError for an unknown recipe, a clip that cannot be read, is smaller than 4 pixels or would be overwritten, or if `out`
    holds another data set, recipe or seed.
    """
    if recipe not in RECIPES:
        raise ValueError(f"there is no recipe {recipe!r}; allowed: {', '.join(RECIPES)}")
    prepared = _Prepared.open(out, dataset=dataset, recipe=recipe, seed=seed)
    for name, source in tqdm(clips.items(), desc="preparing", unit="clip", disable=None):
        truth = _Truth.look(name, source)
        if prepared.has(name, truth):
            continue
        if recipe in FIXED:
            prepared.add(name, truth, map(FIXED[recipe], truth.pixels()), drawn=None)
        else:
            drawn = _draw(truth.content, dataset, name, seed, recipe)
            lq = second_order.apply(drawn["recipe"], truth.pixels(), drawn["noise_seed"])
            prepared.add(name, truth, lq, drawn=drawn)
    return prepared.record


def prepare_builtin(out: Path, *, dataset: str = "builtin", names: Sequence[str] | None = None) -> dict[str, Any]:
    """Write ground truth and LQ of built-in clips, by default of all, as `builtin.make` makes them; else as in `prepare`."""
    prepared = _Prepared.open(out, dataset=dataset, recipe="builtin", seed=None)
    for name in tqdm(builtin.names() if names is None else names, desc="preparing", unit="clip", disable=None):
        clip = builtin.make(name)
        truth = _Truth.look(name, clip.hr)
        if not prepared.has(name, truth):
            drawn = {"recipe": json.loads(clip.recipe.to_json()), "noise_seed": builtin.CLIPS[name].seed}
            prepared.add(name, truth, clip.lq, drawn=drawn)
    return prepared.record


@dataclass(frozen=True)
class _Truth:
    """The ground truth of a clip, less the pixels that do not fit; `size` is what it had (height, width)."""

    source: Source
    size: tuple[int, int]
    content: Content

    @classmethod
    def look(cls, name: str, source: Source) -> "_Truth":
        if not name or name.startswith(".") or Path(name).name != name or Path(name).suffix:
            raise ValueError(f"a clip cannot be called {name!r}: that is no plain name of a folder")
        _, height, width = next(_frames(source)).shape
        if min(height, width) < classic.SCALE:
            raise ValueError(f"clip {name!r} has {width}x{height} pixels, too few to be reduced by {classic.SCALE}")
        return cls(source, (height, width), content(cropped(_frames(source))))

    @property
    def is_new(self) -> bool:
        """Whether these pixels lie nowhere yet."""
        return not isinstance(self.source, Path) or self.size != (self.content.height, self.content.width)

    def frames(self) -> Iterator[UInt8[Tensor, "3 h w"]]:
        return cropped(_frames(self.source))

    def pixels(self) -> Iterator[Pixels]:
        return (rearrange(frame, "c h w -> h w c").contiguous().numpy() for frame in self.frames())


@dataclass(frozen=True)
class _Prepared:
    """A folder of prepared clips; its record says which are done."""

    out: Path
    record: dict[str, Any]

    @classmethod
    def open(cls, out: Path, *, dataset: str, recipe: str, seed: int | None) -> "_Prepared":
        wanted = {"format": FORMAT, "dataset": dataset, "recipe": recipe, "seed": seed}
        path = out / RECORD
        if not path.exists():
            return cls(out, wanted | {"clips": {}})
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            found = {name: record[name] for name in wanted}
            clips = dict(record["clips"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not the record of a prepared data set ({error!r})") from error
        if found != wanted:
            raise ValueError(f"{path}: the folder holds {_said(found)}; write {_said(wanted)} to another folder")
        return cls(out, wanted | {"clips": clips})

    def has(self, name: str, truth: _Truth) -> bool:
        listed = self.record["clips"].get(name)
        if listed is None or listed["gt_sha256"] != truth.content.sha256:
            return False
        new = {"gt": truth.content.sha256} if truth.is_new else {}
        return all(holds(self.out / part / name, hash_) for part, hash_ in (new | {"lq": listed["lq_sha256"]}).items())

    def add(self, name: str, truth: _Truth, lq: Iterable[Pixels], drawn: Mapping[str, Any] | None) -> None:
        self._make_room(name, truth)
        if truth.is_new:
            self._write("gt", name, truth.frames())
        self._write("lq", name, map(_tensor, lq))
        if drawn is not None:
            (self.out / "recipes").mkdir(exist_ok=True)
            files.write_text(self.out / "recipes" / f"{name}.json", json.dumps(drawn, indent=1) + "\n")
        about = truth.content
        self.record["clips"][name] = {
            "frames": about.frames,
            "height": about.height,
            "width": about.width,
            "cropped_from": None if truth.size == (about.height, about.width) else list(truth.size),
            "gt_sha256": about.sha256,
            "lq_sha256": content(video.stream(self.out / "lq" / name)).sha256,
            "versions": versions(),
        }
        self._save()

    def _make_room(self, name: str, truth: _Truth) -> None:
        """Take away what was there: out of the list, then by renaming, so that a half of it is never seen."""
        if self.record["clips"].pop(name, None):
            self._save()
        for place in (self.out / part / name for part in (("gt", "lq") if truth.is_new else ("lq",))):
            if isinstance(truth.source, Path) and truth.source.resolve().is_relative_to(place.resolve()):
                raise ValueError(f"{truth.source}: this ground truth would be overwritten; write to another folder")
            if place.exists():
                with tempfile.TemporaryDirectory(prefix=".old.", dir=self.out) as old:
                    place.replace(Path(old) / name)

    def _write(self, part: str, name: str, frames: Iterable[Tensor]) -> None:
        # The clip is one entry of the temporary folder, so that it comes to its place by one renaming.
        with files.replacing_folder(self.out / part) as temporary:
            video.write(temporary / name, frames, video.FPS)

    def _save(self) -> None:
        clips = {name: self.record["clips"][name] for name in sorted(self.record["clips"])}
        files.write_text(self.out / RECORD, json.dumps(self.record | {"clips": clips}, indent=1) + "\n")


def _draw(about: Content, dataset: str, name: str, seed: int, variant: str) -> dict[str, Any]:
    digest = hashlib.sha256(json.dumps([dataset, name, seed]).encode()).digest()
    generator = np.random.default_rng(int.from_bytes(digest[:16], "big"))
    recipe = second_order.draw(generator, about.frames, about.height, about.width, VARIANTS[variant])
    return {"recipe": recipe, "noise_seed": int.from_bytes(digest[16:20], "big")}


def _frames(source: Source) -> Iterator[UInt8[Tensor, "3 h w"]]:
    return video.stream(source) if isinstance(source, Path) else map(_tensor, source)


def _tensor(pixels: Pixels) -> UInt8[Tensor, "3 h w"]:
    return rearrange(torch.from_numpy(pixels), "h w c -> c h w")


def cropped(frames: Iterable[UInt8[Tensor, "3 h w"]]) -> Iterator[UInt8[Tensor, "3 h w"]]:
    """Yield frames less the rows and columns at their bottom and right that 4 does not divide."""
    for frame in frames:
        _, height, width = frame.shape
        yield frame[:, : height - height % classic.SCALE, : width - width % classic.SCALE]


def holds(path: Path, sha256: str) -> bool:
    """Return whether there is a clip with pixels of this hash (`hashes.content`)."""
    try:
        return content(video.stream(path)).sha256 == sha256
    except (FileNotFoundError, ValueError):
        return False


def _said(record: Mapping[str, Any]) -> str:
    return f"{record['dataset']} by recipe {record['recipe']}, seed {record['seed']} (format {record['format']})"


def versions() -> dict[str, str]:
    """Return the versions that pixels may depend on."""
    packages = {"oasis": oasis.__version__, "numpy": np.__version__, "opencv": cv2.__version__, "av": av.__version__}
    return packages | {library: ".".join(map(str, parts)) for library, parts in sorted(av.library_versions.items())}
