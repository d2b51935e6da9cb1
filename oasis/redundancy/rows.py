"""Rows of the redundancy tables, each below a fingerprint as `oasis.tables` writes it."""

from dataclasses import dataclass
from typing import Literal

Of = Literal["head", "stream", "update"]
Part = Literal["layer", "self-attention", "cross-attention", "mlp"]
Place = Literal["same", "moved", "beside", "elsewhere"]


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """Linear CKA of two things on one clip: outputs of heads, the stream behind two layers, or what two layers add to it.

    `null`: the same with the tokens of one of them in random order, which is what tokens that have nothing in common score.
    """

    clip: str
    of: Of
    layer: int
    head: int | None
    other_layer: int
    other_head: int | None
    cka: float
    null: float


@dataclass(frozen=True, kw_only=True)
class Skip:
    """What leaving out one layer, or one part of it, changes on one clip.

    `latent_rel`: squared error of the latents over their variance. `psnr_to_whole`: of the clip against that of the whole
    network, dB. `quality`: PSNR-Y to the ground truth, less that of the whole network, dB; None where there is none.
    `update_rel`: norm of what the layer adds over the norm of its input; None for a part.
    """

    clip: str
    layer: int
    part: Part
    latent_rel: float
    psnr_to_whole: float
    quality: float | None
    update_rel: float | None


@dataclass(frozen=True, kw_only=True)
class Constant:
    """What another prompt or timestep changes on one clip; columns as in `Skip`."""

    clip: str
    change: str
    latent_rel: float
    psnr_to_whole: float
    quality: float | None


@dataclass(frozen=True, kw_only=True)
class Alike:
    """How alike tokens are to others, on one clip, of one latent frame and behind one layer (-1: the embedding).

    `place`: the token of the frame before at the same place, at the place that motion leads to, at a random place; or the
    token beside it in its own frame. `cosine`: mean cosine of the tokens, the mean token of the clip taken off. `explained`:
    1 - |token - other|^2 / |token|^2, summed over tokens: how much of a token the other one foretells. `motion`: mean length
    of the motion, in tokens.
    """

    clip: str
    layer: int
    frame: int
    place: Place
    cosine: float
    explained: float
    motion: float


@dataclass(frozen=True, kw_only=True)
class Clustering:
    """How well the statistics of heads fall into `k` groups.

    `silhouette`: -1..1, above about 0.5 groups stand apart. `rand`: adjusted Rand index of the groups and the patterns of the
    routing table, 1 the same, 0 chance; `rand_low`, `rand_high` over clips drawn anew; `rand_chance`: the 95th percentile
    of patterns dealt out at random. `steady`: mean adjusted Rand index of groups found on clips drawn anew and these.
    """

    k: int
    silhouette: float
    rand: float
    rand_low: float
    rand_high: float
    rand_chance: float
    steady: float


@dataclass(frozen=True, kw_only=True)
class Grouped:
    """The group of a head for the best k, and its pattern in the routing table."""

    layer: int
    head: int
    group: int
    pattern: str
