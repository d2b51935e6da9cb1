"""What the same weights are called here, in Wan2.1's official files and in diffusers; pure renames, no tensor changes."""

from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

from oasis.configs import DiTConfig, VAEConfig

Foreign = Literal["official", "diffusers"]
Naming = Literal["ours", Foreign]
_LEAVES = ("weight", "bias", "gamma")
_LEVELS = 4  # of the Wan decoder; all but the last end in an upsampler


class Names(NamedTuple):
    """One module or bare parameter under its three names, without the leaf (`.weight`, `.bias`, `.gamma`)."""

    ours: str
    official: str
    diffusers: str


_DIT = (
    Names("patch_embedding", "patch_embedding", "patch_embedding"),
    Names("text_embedding.up", "text_embedding.0", "condition_embedder.text_embedder.linear_1"),
    Names("text_embedding.down", "text_embedding.2", "condition_embedder.text_embedder.linear_2"),
    Names("time_embedding.up", "time_embedding.0", "condition_embedder.time_embedder.linear_1"),
    Names("time_embedding.down", "time_embedding.2", "condition_embedder.time_embedder.linear_2"),
    Names("time_embedding.projection", "time_projection.1", "condition_embedder.time_proj"),
    Names("head.modulation", "head.modulation", "scale_shift_table"),
    Names("head.projection", "head.head", "proj_out"),
)
# The norm before the cross-attention is the official norm3 and diffusers' norm2; the other norms have no weights.
_BLOCK = (
    Names("modulation", "modulation", "scale_shift_table"),
    Names("cross_norm", "norm3", "norm2"),
    Names("mlp.up", "ffn.0", "ffn.net.0.proj"),
    Names("mlp.down", "ffn.2", "ffn.net.2"),
)
_ATTENTION = (
    Names("query", "q", "to_q"),
    Names("key", "k", "to_k"),
    Names("value", "v", "to_v"),
    Names("output", "o", "to_out.0"),
    Names("query_norm", "norm_q", "norm_q"),
    Names("key_norm", "norm_k", "norm_k"),
)
# For the decoder, ours are diffusers' names.
_RESIDUAL = {
    "residual.0": "norm1",
    "residual.2": "conv1",
    "residual.3": "norm2",
    "residual.6": "conv2",
    "shortcut": "conv_shortcut",
}
ENCODER = {"official": ("encoder.", "conv1."), "diffusers": ("encoder.", "quant_conv.")}
"""How the keys of a VAE file begin that belong to its encoder, which no network here has."""


_TELLING = {"official": ("head.head.weight", "conv2.weight"), "diffusers": ("proj_out.weight", "post_quant_conv.weight")}
"""A tensor of the transformer and one of the VAE that no other naming has."""


def detect(keys: Iterable[str]) -> Foreign:
    """Return whose names the tensors of a transformer or of a VAE have; ValueError if nobody's that is known."""
    keys = set(keys)
    for naming in get_args(Foreign):
        if not keys.isdisjoint(_TELLING[naming]):
            return naming
    looked = ", ".join(name for names in _TELLING.values() for name in names)
    raise ValueError(f"tensors have the names neither of Wan2.1 nor of diffusers: none of {looked} among {len(keys)}")


def dit_names(config: DiTConfig) -> list[Names]:
    """Return every module and bare parameter of the transformer that holds weights."""
    names = list(_DIT)
    for layer in range(config.layers):
        block = Names(f"blocks.{layer}", f"blocks.{layer}", f"blocks.{layer}")
        names += [_under(block, part) for part in _BLOCK]
        for attention in (Names("self_attention", "self_attn", "attn1"), Names("cross_attention", "cross_attn", "attn2")):
            names += [_under(_under(block, attention), part) for part in _ATTENTION]
    return names


def decoder_names(config: VAEConfig) -> list[Names]:
    """Return every module of the Wan VAE's decoder half that holds weights.

    Official files number the parts of all levels in one run: a level has `blocks` + 1 residual blocks and an upsampler.
    """
    pairs = {
        "conv2": "post_quant_conv",
        "decoder.conv1": "decoder.conv_in",
        "decoder.head.0": "decoder.norm_out",
        "decoder.head.2": "decoder.conv_out",
        **_residual("decoder.middle.0", "decoder.mid_block.resnets.0"),
        **{f"decoder.middle.1.{part}": f"decoder.mid_block.attentions.0.{part}" for part in ("norm", "to_qkv", "proj")},
        **_residual("decoder.middle.2", "decoder.mid_block.resnets.1"),
    }
    for level in range(_LEVELS):
        first, residuals = level * (config.blocks + 2), config.blocks + 1
        for block in range(residuals):
            pairs |= _residual(f"decoder.upsamples.{first + block}", f"decoder.up_blocks.{level}.resnets.{block}")
        for part in ("resample.1", "time_conv") if level < _LEVELS - 1 else ():
            pairs[f"decoder.upsamples.{first + residuals}.{part}"] = f"decoder.up_blocks.{level}.upsamplers.0.{part}"
    return [Names(ours=diffusers, official=official, diffusers=diffusers) for official, diffusers in pairs.items()]


def rename(keys: Iterable[str], names: Iterable[Names], source: str, target: str) -> dict[str, str]:
    """Return each key's name under `target`, by its name under `source`; a key that `names` does not know is refused."""
    for naming in (source, target):
        if naming not in get_args(Naming):
            raise ValueError(f"key names {naming!r} are unknown; allowed: {', '.join(get_args(Naming))}")
    stems = {getattr(name, source): getattr(name, target) for name in names}
    renamed = {}
    for key in keys:
        stem, leaf = _split(key)
        if stem not in stems:
            raise ValueError(f"tensor {key!r} is no {source} name of this network")
        renamed[key] = ".".join((stems[stem], *leaf))
    return renamed


def _split(key: str) -> tuple[str, tuple[str, ...]]:
    stem, _, leaf = key.rpartition(".")
    return (stem, (leaf,)) if leaf in _LEAVES else (key, ())


def _under(outer: Names, inner: Names) -> Names:
    return Names(*(f"{left}.{right}" for left, right in zip(outer, inner, strict=True)))


def _residual(official: str, diffusers: str) -> dict[str, str]:
    return {f"{official}.{theirs}": f"{diffusers}.{ours}" for theirs, ours in _RESIDUAL.items()}
