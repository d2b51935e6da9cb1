"""What a stage minimises, as a module: crops in, named losses out, so that DDP and FSDP can wrap it."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from oasis.model.oasis import Oasis
from oasis.model.unshuffle import unshuffle
from oasis.model.vae import FastDecoder, SmallVAE
from oasis.model.wan_decoder import WanDecoder
from oasis.train.corpus import Batch
from oasis.train.losses import charbonnier, frame_difference_loss, gradient_loss, latent_loss, warped_difference_loss
from oasis.train.motion import Motion
from oasis.train.perceptual import Features, perceptual_loss
from oasis.train.stages import Stage

LATENT_NOISE = 0.02  # of the latents' spread: the decoder will read latents that are not perfect


class Objective(nn.Module):
    """The losses of a stage.

    `latent`: squared error of latents, each channel weighted by what it adds to the pixels. `pixel`, `gradient`, `frames`:
    Charbonnier errors of pixels, of their spatial differences and of differences between neighbouring frames. `warped`: that
    of differences along the motion of the clean clip. `perceptual`: distance of features.
    """

    def __init__(self, model: Oasis, stage: Stage, features: Features | None = None) -> None:
        super().__init__()
        if "perceptual" in stage.losses and features is None:
            raise ValueError(f"stage {stage.name}: the loss 'perceptual' needs a feature network (--features)")
        if stage.trains != "transformer" and isinstance(model.vae, WanDecoder):
            raise ValueError(
                f"stage {stage.name}: trains {stage.trains!r}, but {model.config.name} has a pretrained decoder, which stays "
                "as it is; allowed: transformer"
            )
        self.model, self.stage = model, stage
        self.features = features
        model.requires_grad_(False)
        for part in self.trained().values():
            part.requires_grad_(True)

    def trained(self) -> dict[str, nn.Module]:
        """Return the parts that learn, by name."""
        transformer: dict[str, nn.Module] = {"dit": self.model.dit, "prompt": nn.ParameterList([self.model.prompt])}
        decoder: dict[str, nn.Module] = {"vae": self.model.vae}
        return {"decoder": decoder, "transformer": transformer, "all": transformer | decoder}[self.stage.trains]

    def forward(self, batch: Batch, seeds: Sequence[int]) -> dict[str, Float[Tensor, ""]]:
        """Return the losses of a batch, unweighted; `seeds` are those of each crop's noise."""
        losses = self.stage.losses
        if self.stage.trains == "decoder":
            found: dict[str, Tensor] = {}
            decoded = self._learned().decode(self._noisy(self._target(batch), seeds), batch.lq)
        else:
            latents = self.model.latents(batch.lq)
            found = self._latent(latents, batch) if "latent" in losses else {}
            decoded = self.model.decode(latents, batch.lq) if set(losses) - {"latent"} else batch.hr
        with torch.autocast(batch.hr.device.type, enabled=False):
            decoded = decoded.float()
            if "pixel" in losses:
                found["pixel"] = charbonnier(decoded, batch.hr)
            if "gradient" in losses:
                found["gradient"] = gradient_loss(decoded, batch.hr)
            if "frames" in losses:
                found["frames"] = frame_difference_loss(decoded, batch.hr)
            if "warped" in losses:
                found["warped"] = warped_difference_loss(decoded, batch.hr, _motion(batch))
            if "perceptual" in losses:
                assert self.features is not None
                found["perceptual"] = perceptual_loss(self.features, decoded, batch.hr)
        return found

    def total(self, losses: dict[str, Tensor]) -> Float[Tensor, ""]:
        """Return the weighted sum of the losses."""
        return torch.stack([weight * losses[name] for name, weight in self.stage.losses.items()]).sum()

    def _latent(self, latents: Float[Tensor, "b c t h w"], batch: Batch) -> dict[str, Tensor]:
        """Return the loss of latents and, where there is a linear skip, the share of its error that the rest explains."""
        with torch.autocast(batch.hr.device.type, enabled=False):
            target, latents = self._target(batch), latents.float()
            skip, vae = self.model.skip, self.model.vae
            if skip is None or not isinstance(vae, SmallVAE):
                return {"latent": latent_loss(latents, target, torch.ones_like(target[0, :, 0, 0, 0]))}
            weight = vae.std / skip.residual_std
            loss = latent_loss(latents, target, weight)
            with torch.no_grad():
                linear = latent_loss(skip(unshuffle(batch.lq, self.model.config.scale)), target, weight)
            return {"latent": loss, "explained": 1 - loss.detach() / linear}

    @torch.no_grad()
    def _target(self, batch: Batch) -> Float[Tensor, "b c t h w"]:
        if batch.latents is not None:
            return batch.latents
        if not isinstance(self.model.vae, SmallVAE):
            raise ValueError(
                f"{self.model.config.name} has no encoder: the loss 'latent' and the training of a decoder need shards with "
                "latents (oasis shards --encoder)"
            )
        return self.model.vae.encode(batch.hr)

    def _noisy(self, latents: Float[Tensor, "b c t h w"], seeds: Sequence[int]) -> Float[Tensor, "b c t h w"]:
        fields = [torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return latents + LATENT_NOISE * torch.stack(fields).to(latents)

    def _learned(self) -> SmallVAE | FastDecoder:
        assert not isinstance(self.model.vae, WanDecoder)
        return self.model.vae


def _motion(batch: Batch) -> Motion:
    if batch.flow is None or batch.seen is None:
        raise ValueError("the loss 'warped' needs crops whose motion is known")
    return Motion(batch.flow, batch.seen)
