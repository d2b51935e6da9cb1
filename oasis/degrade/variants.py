"""The ranges and probabilities of RealBasicVSR's second-order degradation, and its published forms, as data.

Sources: RealBasicVSR@b908e08 (configs/realbasicvsr_wogan_...py), mmagic@0a560bb (random_degradations.py), DOVE@ad649cc
(finetune/configs/degradation*.yaml). Sigmas of blur are in pixels, noise in grey levels of 255, angles in radians, bit rates
in bits per frame.
"""

from dataclasses import dataclass

from oasis.degrade.noise import Domain

SIZES = (7, 9, 11, 13, 15, 17, 19, 21)
FAMILIES = {
    "iso": 0.405,
    "aniso": 0.225,
    "generalised_iso": 0.108,
    "generalised_aniso": 0.027,
    "plateau_iso": 0.108,
    "plateau_aniso": 0.027,
    "sinc": 0.1,
}
CODECS = {"libx264": 2 / 3, "mpeg4": 1 / 3}  # published as {libx264, h264, mpeg4}; in FFmpeg the second is the first
BITRATES = (10_000, 100_000)
QUALITIES = (30, 95)
GREY = 0.4  # probability that noise is the same in all channels
LAST_SINC = 0.8  # probability of the last blur


@dataclass(frozen=True, kw_only=True)
class Walk:
    """How far a value may step from one frame to the next: uniform in +-step, then clipped to its range."""

    sigma: float = 0.0
    angle: float = 0.0
    generalised_beta: float = 0.0
    plateau_beta: float = 0.0
    omega: float = 0.0
    first_resize: float = 0.0
    second_resize: float = 0.0
    gaussian: float = 0.0
    poisson: float = 0.0
    quality: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What differs between forms of the pipeline.

    `jump` is the probability that a value of a frame is drawn anew instead of walking, per value and frame; 1 draws every
    frame independently. `frozen_noise` gives all frames the noise of the first.

    The others are what published code does, mostly by oversight. Without `pin_beta` the outline of generalised and plateau
    kernels is drawn again for every frame; `poisson` is the domain of `noise.poisson`; `wrap` and `swapped` are told of in
    `codec`.
    """

    name: str
    walk: Walk = Walk()
    jump: float = 0.0
    frozen_noise: bool = False
    pin_beta: bool = True
    poisson: Domain = "byte"
    wrap: bool = False
    swapped: bool = False


@dataclass(frozen=True, kw_only=True)
class Round:
    """The ranges of one of the two rounds; `modes` are the probabilities of enlarging, reducing and keeping."""

    blur: float
    sigma: tuple[float, float]
    modes: tuple[float, float, float]
    factor: tuple[float, float]
    gaussian: tuple[float, float]
    poisson: tuple[float, float]


ROUNDS = (
    Round(blur=1.0, sigma=(0.2, 3.0), modes=(0.2, 0.7, 0.1), factor=(0.15, 1.5), gaussian=(1.0, 30.0), poisson=(0.05, 3.0)),
    Round(blur=0.8, sigma=(0.2, 1.5), modes=(0.3, 0.4, 0.3), factor=(0.3, 1.2), gaussian=(1.0, 25.0), poisson=(0.05, 2.5)),
)

_PUBLISHED = Walk(
    sigma=0.02,
    angle=0.31416,
    generalised_beta=0.05,
    plateau_beta=0.1,
    omega=0.0628,
    first_resize=0.015,
    second_resize=0.03,
    gaussian=0.1,
    poisson=0.005,
    quality=3.0,
)
REALBASICVSR = Variant(name="realbasicvsr", walk=_PUBLISHED, pin_beta=False, poisson="unit")
DOVE = Variant(name="dove", walk=Walk(quality=3.0), pin_beta=False)
CONSISTENT_DOVE = Variant(name="consistent-dove", walk=DOVE.walk, pin_beta=False, wrap=True)
CONSISTENT = Variant(name="consistent")
CONSISTENT_FROZEN = Variant(name="consistent-frozen", frozen_noise=True)
INCONSISTENT = Variant(name="inconsistent", walk=_PUBLISHED, jump=0.05, pin_beta=False, poisson="unit")
INCONSISTENT_IID = Variant(name="inconsistent-iid", jump=1.0, pin_beta=False, poisson="unit")
VARIANTS = {
    variant.name: variant
    for variant in (REALBASICVSR, DOVE, CONSISTENT, INCONSISTENT, INCONSISTENT_IID, CONSISTENT_DOVE, CONSISTENT_FROZEN)
}
