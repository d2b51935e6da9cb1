"""Training runs by name: a network, its degradations, its stages."""

from dataclasses import dataclass, replace

from oasis.configs import TINY, WAN_1_3B, WAN_1_3B_FAST, OasisConfig
from oasis.train.corpus import CropSize
from oasis.train.schedule import SCHEDULES, Schedule
from oasis.train.stages import Stage


@dataclass(frozen=True, kw_only=True)
class Preset:
    """`stages` train the dense network, `routed` go on with a routed one; between them `rule` decides, as in `oasis route`."""

    config: OasisConfig
    family: str
    schedule: Schedule
    stages: tuple[Stage, ...]
    routed: tuple[Stage, ...]
    rule: str
    bf16: bool
    checkpointing: bool


_SMALL = CropSize(batch=8, frames=9, height=64, width=64)
_LARGE = CropSize(batch=2, frames=17, height=160, width=192)
_PIXELS = {"pixel": 1.0, "gradient": 0.25, "frames": 0.25}

_TINY_STAGES = (
    Stage(name="pixel", trains="all", steps=2900, learning_rate=1.2e-3, sizes=(_SMALL,), losses=_PIXELS, warmup=40),
    Stage(name="large", trains="all", steps=390, learning_rate=4e-4, sizes=(_SMALL, _SMALL, _LARGE), losses=_PIXELS, warmup=20),
)
_TINY_ROUTED = (
    Stage(name="routed", trains="all", steps=80, learning_rate=3e-4, sizes=(_SMALL, _SMALL, _LARGE), losses=_PIXELS, warmup=10),
)

_WAN_CROP = CropSize(batch=8, frames=17, height=512, width=512)
_WAN_STAGES = (
    Stage(
        name="latent",
        trains="transformer",
        steps=20_000,
        learning_rate=5e-5,
        sizes=(_WAN_CROP,),
        losses={"latent": 1.0},
        warmup=500,
        accumulate=4,
    ),
    Stage(
        name="pixel",
        trains="transformer",
        steps=10_000,
        learning_rate=2e-5,
        sizes=(replace(_WAN_CROP, frames=9, height=256, width=256),),
        losses={"latent": 1.0, "pixel": 1.0, "perceptual": 0.1, "frames": 0.25},
        warmup=500,
        accumulate=4,
    ),
)
_WAN_FAST_STAGES = (
    Stage(
        name="decoder",
        trains="decoder",
        steps=50_000,
        learning_rate=5e-4,
        sizes=(replace(_WAN_CROP, frames=9, height=256, width=256),),
        losses=_PIXELS,
        warmup=500,
    ),
    _WAN_STAGES[0],
    replace(_WAN_STAGES[1], trains="all"),
)
_CUT_CROP = CropSize(batch=2, frames=5, height=64, width=64)
_CUT_STAGES = tuple(
    replace(stage, steps=steps, sizes=(_CUT_CROP,), warmup=1, accumulate=2)
    for stage, steps in zip(_WAN_STAGES, (4, 2), strict=True)
)

PRESETS = {
    "tiny": Preset(
        config=TINY,
        family="moderate",
        schedule=SCHEDULES["progressive"],
        stages=_TINY_STAGES,
        routed=_TINY_ROUTED,
        rule="budget:ratio=0.45",
        bf16=False,
        checkpointing=False,
    ),
    "wan-1.3b": Preset(
        config=WAN_1_3B,
        family="second-order",
        schedule=SCHEDULES["progressive"],
        stages=_WAN_STAGES,
        routed=tuple(replace(stage, steps=stage.steps // 2) for stage in _WAN_STAGES),
        rule="budget:ratio=0.45",
        bf16=True,
        checkpointing=True,
    ),
    "wan-1.3b-fast": Preset(
        config=WAN_1_3B_FAST,
        family="second-order",
        schedule=SCHEDULES["progressive"],
        stages=_WAN_FAST_STAGES,
        routed=tuple(replace(stage, steps=stage.steps // 2) for stage in _WAN_FAST_STAGES[1:]),
        rule="budget:ratio=0.45",
        bf16=True,
        checkpointing=True,
    ),
    "wan-cut": Preset(
        config=replace(WAN_1_3B, name="oasis-wan-cut", dit=replace(WAN_1_3B.dit, layers=2)),
        family="second-order",
        schedule=SCHEDULES["progressive"],
        stages=_CUT_STAGES,
        routed=_CUT_STAGES,
        rule="budget:ratio=0.45",
        bf16=True,
        checkpointing=True,
    ),
}
"""`wan-cut` is the full-size network with two of its thirty layers, for trying the path of the full size on small machines."""
