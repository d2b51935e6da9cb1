"""A training run from its settings: crops, start, stages; resumed where it was interrupted."""

import json
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from oasis import files
from oasis.model import MODELS, load_model, tensors
from oasis.model.checkpoint import CONFIG, read_config
from oasis.model.oasis import Oasis
from oasis.train import record, stages, state
from oasis.train.clips import hashes, training_clips
from oasis.train.corpus import Source
from oasis.train.loop import Run, train
from oasis.train.parallel import Parallel, processes
from oasis.train.perceptual import Features, features
from oasis.train.presets import PRESETS, Preset
from oasis.train.schedule import SCHEDULES
from oasis.train.shards import Shards
from oasis.train.stages import Stage
from oasis.train.start import fresh, load_backbone, load_vae, trained

SEED = 2026


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run is asked to do; None stands for what the preset says.

    Crops come from `shards`, or from the built-in clips and those in `videos`. `start` is a model to go on from, put on
    `routing` if given; `backbone` and `vae` are files of Wan2.1, and `embedding` says how the patch embedding starts, which
    the backbone's does not fit. `stages` is a file in the form of stages.json. `features` names the network of the perceptual
    loss.
    """

    preset: str
    videos: Path | None = None
    shards: Path | None = None
    start: str | None = None
    routing: Path | None = None
    backbone: Path | None = None
    vae: Path | None = None
    schedule: str | None = None
    stages: Path | None = None
    embedding: Literal["least-squares", "random"] = "least-squares"
    features: str = "random"
    seed: int = SEED
    bf16: bool | None = None
    device: str = "cpu"
    parallel: Parallel = "ddp"

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"--seed is {self.seed}; allowed: a whole number of at least 0")
        if self.shards is not None and self.videos is not None:
            raise ValueError(
                "--shards and --videos exclude each other: shards hold crops of the videos that they were made from"
            )
        if self.routing is not None and self.start is None:
            raise ValueError("--routing needs --start: a table belongs to the weights that it was decided from")
        if self.start is not None and (self.backbone is not None or self.vae is not None):
            raise ValueError("--start and --backbone or --vae exclude each other: a model to go on from has both")

    def plan(self) -> tuple[Stage, ...]:
        """Return the stages: those of the file, or the preset's, the routed ones if there is a routing."""
        if self.stages is not None:
            return stages.read(self.stages)
        preset = PRESETS[self.preset]
        return preset.routed if self.routing is not None else preset.stages


def run(settings: Settings, folder: Path) -> Oasis:
    """Train as the settings say and return the model; `folder` is resumed from when it holds a run of the same settings."""
    preset, plan = PRESETS[settings.preset], settings.plan()
    schedule = SCHEDULES[settings.schedule] if settings.schedule else preset.schedule
    bf16 = preset.bf16 if settings.bf16 is None else settings.bf16
    source = _source(settings, preset, moving=stages.moving(plan))
    source.check([size for stage in plan for size in stage.sizes])
    folder.mkdir(parents=True, exist_ok=True)
    with processes(settings.device, settings.parallel) as own, files.alone(folder) if own.first else nullcontext():
        if own.first:
            said = _recorded(settings, plan, source) | {"schedule": asdict(schedule), "bf16": bf16}
            record.write_or_compare(folder, said, device=settings.device, processes=own.world)
            stages.write(folder / "stages.json", plan)
        whole_run = Run(
            source=source,
            schedule=schedule,
            stages=plan,
            folder=folder,
            seed=settings.seed,
            bf16=bf16,
            features=_features(settings, plan),
            processes=own,
        )
        model = _start(settings, preset, source, plan, folder)
        model.dit.checkpointing = preset.checkpointing
        model = train(model, whole_run)
    if (
        settings.parallel == "fsdp" and own.world > 1
    ):  # the parameters are spread over processes that have gone; the file has all
        model = _start(settings, preset, source, plan, folder)
        finished = state.load(folder)
        assert finished is not None
        state.restore(model, finished.model)
    model.dit.checkpointing = False
    return model.eval()


def _source(settings: Settings, preset: Preset, *, moving: bool) -> Source:
    if settings.shards is None:
        return training_clips(settings.videos, preset.family, moving=moving)
    shards = Shards(settings.shards)
    if moving and not shards.index["motion"]:
        raise ValueError(
            f"{settings.shards}: these shards hold no motion, which the loss 'warped' needs; make them with "
            "`oasis shards --stages FILE` and the stages that name it"
        )
    return shards


def _start(settings: Settings, preset: Preset, source: Source, plan: tuple[Stage, ...], folder: Path) -> Oasis:
    """Return the network before its first step; where there is a state to go on from, its shape is enough."""
    if settings.start is not None:
        return trained(settings.start, settings.routing, preset)
    if (folder / state.FILE).exists():
        return Oasis(preset.config)
    sizes = tuple(size for stage in plan for size in stage.sizes)
    model = fresh(preset, source, sizes, settings.seed)
    if settings.vae is not None:
        load_vae(model, settings.vae)
    if settings.backbone is not None:
        explained = load_backbone(model, settings.backbone, source, sizes, settings.seed, embedding=settings.embedding)
        if explained is not None:
            files.write_text(folder / "embedding.json", json.dumps({"r_squared_by_latent": explained.tolist()}) + "\n")
    return model


def _features(settings: Settings, plan: tuple[Stage, ...]) -> Features | None:
    return features(settings.features) if any("perceptual" in stage.losses for stage in plan) else None


def _recorded(settings: Settings, plan: tuple[Stage, ...], source: Source) -> dict[str, Any]:
    """Return the settings with the hashes of files in place of their paths, and what crops are made of."""
    said = asdict(settings)
    said["routing"] = None if settings.routing is None else files.sha256(settings.routing)
    for name in ("backbone", "vae"):
        path = said[name]
        said[name] = None if path is None else tensors.sha256(path)
    if settings.start in MODELS:  # a name, also where a folder is called the same; other versions give it other weights
        said["start"] = load_model(settings.start).weights_sha256
    elif settings.start is not None and Path(settings.start).is_dir():
        said["start"] = read_config(Path(settings.start) / CONFIG)[0].weights_sha256
    said["stages"] = [asdict(stage) for stage in plan]
    if Path(settings.features).is_file():
        said["features"] = files.sha256(Path(settings.features))
    for name in ("videos", "shards", "device", "parallel"):  # where and by whom it is computed changes rounding alone
        del said[name]
    if isinstance(source, Shards):
        return said | {"crops": source.index}
    videos = hashes(settings.videos) if settings.videos else {}
    return said | {"crops": {"family": PRESETS[settings.preset].family, "built-in": True, "videos": videos}}
