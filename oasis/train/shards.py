"""Crops degraded beforehand: one folder of arrays that are mapped into memory, not read.

`hr-SIZE.npy` holds clean crops, `lq-consistent-SIZE.npy` and `lq-inconsistent-SIZE.npy` two degraded forms of each, and
`latents-SIZE.npy` what an encoder says of the clean ones, where there was one; `flow-SIZE.npy` and `seen-SIZE.npy` their
motion, where the clips had it. `shards.json` is written last: a folder without it is unfinished.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from oasis import dist, files
from oasis.train.corpus import Clean, Clips, CropSize, Frames, Pair, degraded
from oasis.train.motion import Motion, mirror

FORMAT = 2
INDEX = "shards.json"
_KINDS = ("hr", "lq-consistent", "lq-inconsistent")
_CHUNK = 64  # crops that a worker makes at a time

Encoder = Callable[[Frames], np.ndarray]
"""Clean frames "t y x 3" to latents "c t4 h8 w8"."""


@dataclass(frozen=True)
class _Job:
    """Clean crops from number `first` on, to be degraded by a worker."""

    family: str
    crops: list[Clean]
    seed: int
    first: int


class _Jobs(Sequence[_Job]):
    """Jobs that are cut out of the clips only when a worker takes them: the clips themselves would be too much to hand over."""

    def __init__(self, clips: Clips, size: CropSize, count: int, seed: int) -> None:
        self.clips, self.size, self.crops, self.seed = clips, size, count, seed

    def __len__(self) -> int:
        return -(-self.crops // _CHUNK)

    def __getitem__(self, number: Any) -> Any:
        if not 0 <= number < len(self):
            raise IndexError(number)
        numbers = range(number * _CHUNK, min((number + 1) * _CHUNK, self.crops))
        crops = [self.clips.crop(self.size, np.random.default_rng((self.seed, index, 0))) for index in numbers]
        return _Job(self.clips.family, crops, self.seed, numbers.start)


def write(
    folder: Path,
    clips: Clips,
    sizes: Sequence[CropSize],
    count: int,
    seed: int,
    *,
    workers: int = 1,
    encoder: Encoder | None = None,
    videos: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write `count` crops of the smallest size, and of larger ones so many that every size has as many pixels.

    Crop i of a size depends on the seed and on i alone, not on the workers.

    What `folder` held is replaced once everything is there. Latents are computed in this process.
    `videos` are the SHA-256 of the files behind the clips, by name, to be recorded.
    """
    clips.check(sizes)
    distinct = {size.name: size for size in sizes}
    pixels = {name: size.frames * size.height * size.width for name, size in distinct.items()}
    counts = {name: max(1, round(count * min(pixels.values()) / pixels[name])) for name in distinct}
    with files.replacing_folder(folder) as temporary:
        for number, size in enumerate(distinct.values()):
            arrays = _Arrays(temporary, size, counts[size.name])
            jobs = _Jobs(clips, size, counts[size.name], seed + number)
            progress = tqdm(dist.run(_degraded, jobs, workers=workers), desc=size.name, total=len(jobs), dynamic_ncols=True)
            for _, answer in progress:
                if isinstance(answer, dist.Lost):
                    raise ValueError(f"shards of {size.name}: {answer}")
                first, crops = answer
                arrays.put(first, crops, encoder)
            arrays.close()
        index: dict[str, Any] = {"format": FORMAT, "seed": seed, "counts": counts, "family": clips.family}
        index |= {"latents": encoder is not None, "motion": clips.motions is not None, "videos": dict(videos)}
        files.write_text(temporary / INDEX, json.dumps(index, indent=2) + "\n")
        (folder / INDEX).unlink(missing_ok=True)  # an old one must not vouch for arrays that are being replaced


def _degraded(job: _Job) -> tuple[int, list[Mapping[str, np.ndarray]]]:
    """Return the number of the first crop, and for every crop what is kept of it, by kind."""
    made: list[Mapping[str, np.ndarray]] = []
    for number, (hr, motion) in enumerate(job.crops, start=job.first):
        generator = np.random.default_rng((job.seed, number, 1))
        consistent, inconsistent = (degraded(job.family, hr, kind, generator) for kind in (False, True))
        crop = dict(zip(_KINDS, (hr, consistent, inconsistent), strict=True))
        if motion is not None:
            crop |= {"flow": motion.flow.numpy(), "seen": motion.seen.numpy()}
        made.append(crop)
    return job.first, made


class _Arrays:
    """The arrays of one size while they are being written."""

    def __init__(self, folder: Path, size: CropSize, count: int) -> None:
        self.folder, self.size, self.count = folder, size, count
        self.maps: dict[str, np.memmap] = {}

    def put(self, first: int, crops: list[Mapping[str, np.ndarray]], encoder: Encoder | None) -> None:
        for number, crop in enumerate(crops, start=first):
            latents = {} if encoder is None else {"latents": encoder(crop["hr"]).astype(np.float16)}
            for kind, values in {**crop, **latents}.items():
                if kind not in self.maps:
                    self.maps[kind] = self._create(kind, values.shape, values.dtype)
                self.maps[kind][number] = values

    def close(self) -> None:
        for array in self.maps.values():
            array.flush()
        self.maps.clear()

    def _create(self, kind: str, shape: tuple[int, ...], dtype: Any) -> np.memmap:
        path = self.folder / f"{kind}-{self.size.name}.npy"
        return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(self.count, *shape))


class Shards:
    """Crops of a folder that `write` made."""

    def __init__(self, folder: Path) -> None:
        path = folder / INDEX
        if not path.is_file():
            raise ValueError(f"{folder}: no {INDEX}; `oasis shards` writes such folders, and an unfinished one has none")
        self.folder, self.index = folder, _read_index(path)
        self._maps: dict[str, np.ndarray] = {}

    def check(self, sizes: Sequence[CropSize]) -> None:
        """Raise ValueError if a size is not there, or an array is not as long as the index says."""
        for size in sizes:
            if size.name not in self.index["counts"]:
                raise ValueError(f"{self.folder}: no crops of {size.name}; it has {', '.join(self.index['counts'])}")
            for kind in self._kinds(False, True):
                self._array(kind, size)

    def pair(self, size: CropSize, inconsistent: bool, generator: np.random.Generator) -> Pair:
        """Draw a crop, mirrored with probability one half where there are no latents, which cannot be mirrored."""
        number = int(generator.integers(self.index["counts"][size.name]))
        kinds = {kind: np.array(self._array(kind, size)[number]) for kind in self._kinds(inconsistent)}
        lq, hr, moves = kinds["lq-inconsistent" if inconsistent else "lq-consistent"], kinds["hr"], None
        if self.index["motion"]:
            moves = Motion(torch.from_numpy(kinds["flow"]), torch.from_numpy(kinds["seen"]))
        if self.index["latents"]:
            return Pair(lq, hr, kinds["latents"], moves)
        if generator.random() < 0.5:
            lq, hr, moves = lq[:, :, ::-1].copy(), hr[:, :, ::-1].copy(), None if moves is None else mirror(moves)
        return Pair(lq, hr, motion=moves)

    def _kinds(self, *degradations: bool) -> Iterator[str]:
        """Yield the kinds of arrays, of degraded ones those that are (not) inconsistent."""
        yield "hr"
        yield from ("lq-inconsistent" if inconsistent else "lq-consistent" for inconsistent in degradations)
        yield from ("latents",) if self.index["latents"] else ()
        yield from ("flow", "seen") if self.index["motion"] else ()

    def _array(self, kind: str, size: CropSize) -> np.ndarray:
        name = f"{kind}-{size.name}.npy"
        if name not in self._maps:
            try:
                array = np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
            except ValueError as error:
                raise ValueError(f"{self.folder / name}: not an array of crops, or cut off ({error})") from error
            if len(array) != self.index["counts"][size.name]:
                raise ValueError(
                    f"{self.folder / name}: {len(array)} crops, but {INDEX} says {self.index['counts'][size.name]}"
                )
            self._maps[name] = array
        return self._maps[name]


def _read_index(path: Path) -> dict[str, Any]:
    kinds = {"format": int, "seed": int, "counts": dict, "family": str, "latents": bool, "motion": bool, "videos": dict}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(data, dict) or set(data) != set(kinds):
        raise ValueError(f"{path}: must be an object with exactly the fields {', '.join(kinds)}")
    for name, kind in kinds.items():
        if type(data[name]) is not kind:
            raise ValueError(f"{path}: field {name!r} must be a {kind.__name__}, got {data[name]!r}")
    for name, count in data["counts"].items():
        if type(count) is not int or count < 1:
            raise ValueError(f"{path}: field 'counts' has {count!r} crops of {name}; allowed: a whole number of at least 1")
    if data["format"] != FORMAT:
        raise ValueError(f"{path}: field 'format' is {data['format']}; allowed: {FORMAT}")
    return data
