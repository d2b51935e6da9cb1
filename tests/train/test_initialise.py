import dataclasses

import numpy as np
import torch
from einops import rearrange

from oasis.configs import TINY
from oasis.data import builtin
from oasis.model.oasis import Oasis
from oasis.model.unshuffle import unshuffle
from oasis.train.corpus import Clips, Corpus, CropSize
from oasis.train.initialise import initialise, whiten

CONFIG = dataclasses.replace(
    TINY,
    dit=dataclasses.replace(TINY.dit, dim=48, heads=2, layers=1, ffn_dim=64),
    vae=dataclasses.replace(TINY.vae, width=8, blocks=1),
)


def test_closed_forms_start_above_nothing() -> None:
    torch.manual_seed(0)
    model = Oasis(CONFIG)
    corpus = Corpus(
        Clips({"coffee": builtin.make("coffee-turn", frames=9).hr}, "moderate"),
        (CropSize(batch=4, frames=5, height=64, width=64),),
        seed=0,
    )
    initialise(model, (corpus.batch(number)[:2] for number in range(24)))
    lq, hr = corpus.batch(100)[:2]
    with torch.no_grad():
        latents = model.vae.encode(hr)
        # The decoder starts as the inverse of the projection: what is lost is what 48 components leave.
        assert (model.vae.decode(latents, lq) - hr).square().mean() < 0.05 * hr.var()
        # The skip explains most of the latents, and the transformer adds nothing yet.
        folded = unshuffle(lq, 4)
        assert torch.equal(model.latents(lq), model.skip(folded))
        leading = (model.skip(folded) - latents)[:, :3]
        assert leading.square().mean() < 0.2 * latents[:, :3].square().mean()


def test_skip_is_the_least_squares_solution() -> None:
    """Data made by a known 3x3 filter gives that filter back."""
    from oasis.train.initialise import fit_skip

    torch.manual_seed(0)
    model = Oasis(CONFIG)
    truth = torch.nn.Conv2d(48, CONFIG.dit.out_channels, 3)
    folded = [torch.randn(2, 48, 3, 8, 8) for _ in range(12)]
    with torch.no_grad():
        made = [
            torch.stack([truth(torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")) for x in part.unbind(2)], dim=2)
            for part in folded
        ]
        fit_skip(model.skip, folded, made, ridge=1e-12)
        torch.testing.assert_close(model.skip.filter.weight, truth.weight, atol=1e-4, rtol=0)
        torch.testing.assert_close(model.skip.filter.bias, truth.bias, atol=1e-4, rtol=0)
        assert model.skip.residual_std.max() < 1e-4


def test_whitened_embedding_has_unit_variance_whatever_the_inputs() -> None:
    torch.manual_seed(0)
    scales = torch.logspace(0, -2.5, 48)
    samples = torch.randn(20_000, 48) @ torch.linalg.qr(torch.randn(48, 48)).Q * scales + 3
    embedding = torch.nn.Conv3d(48, 64, 1)
    with torch.no_grad():
        whiten(embedding, samples)
        out = rearrange(embedding(rearrange(samples, "n i -> n i 1 1 1")), "n o 1 1 1 -> n o")
    np.testing.assert_allclose(out.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(out.var(0).mean(), 1, rtol=0.3)
    values = torch.linalg.eigvalsh(torch.cov(out.T)).flip(0)[:48]
    assert values[0] / values[30] < 20  # the inputs' spread over 48 channels was 1e5
