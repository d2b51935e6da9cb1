import dataclasses

import pytest
import torch
from torch import nn

from oasis.configs import WAN_1_3B
from oasis.model.dit import DiT
from oasis.model.unshuffle import unshuffle
from oasis.train.embedding import compose, fit_embedding, fit_latents, start_randomly
from oasis.train.least_squares import Fit, NormalEquations

PATCH = (1, 2, 2)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def conv(inputs: int, outputs: int, dtype: torch.dtype = torch.float64) -> nn.Conv3d:
    torch.manual_seed(0)
    return nn.Conv3d(inputs, outputs, PATCH, stride=PATCH, dtype=dtype).requires_grad_(False)


def apply(fit: Fit, folded: torch.Tensor) -> torch.Tensor:
    return torch.einsum("bithw,ic->bcthw", folded, fit.weight) + fit.bias[:, None, None, None]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_embedding_of_pixels_is_the_pretrained_one_of_fitted_latents(dtype: torch.dtype) -> None:
    config = dataclasses.replace(WAN_1_3B.dit, dim=32, heads=2, layers=1, ffn_dim=16, text_dim=8, text_len=4, freq_dim=8)
    dit, pretrained = DiT(config).to(dtype), conv(16, 32, dtype)
    fit = Fit(normal(48, 16), normal(16, seed=1), torch.ones(16))
    compose(dit.patch_embedding, pretrained, fit)
    folded = unshuffle(normal(2, 3, 5, 8, 12, seed=2), 4)
    expected = pretrained.double()(apply(fit, folded))
    tolerance = 1e-12 if dtype == torch.float64 else 1e-4
    torch.testing.assert_close(dit.patch_embedding(folded.to(dtype)).double(), expected, atol=tolerance, rtol=0)
    tokens = dit.embed(folded.to(dtype)).double()
    torch.testing.assert_close(tokens, expected.flatten(2).transpose(1, 2), atol=tolerance, rtol=0)


def test_latents_made_by_a_linear_map_are_fitted_exactly() -> None:
    """Seen as one pile of rows by numpy's least squares too; R^2 tells signal from noise."""
    weight, bias = normal(48, 4), normal(4, seed=1)
    scales = torch.logspace(0, -3, 48, dtype=torch.float64)
    samples = []
    for number in range(3):
        folded = normal(2, 48, 2, 4, 6, seed=10 + number) * scales[:, None, None, None] + 0.5
        latents = apply(Fit(weight, bias, bias), folded)
        noise = normal(2, 2, 4, 6, seed=20 + number)
        latents[:, 2] = latents[:, 2] + latents[:, 2].std() * noise  # half of the variance
        latents[:, 3] = noise
        samples.append((folded, latents))
    fit = fit_latents(samples, ridge=0)
    torch.testing.assert_close(fit.weight[:, :2], weight[:, :2], atol=1e-6, rtol=0)
    torch.testing.assert_close(fit.bias[:2], bias[:2], atol=1e-6, rtol=0)
    assert (1 - fit.explained[:2]).abs().max() < 1e-9
    assert 0.4 < fit.explained[2] < 0.7 and 0 <= fit.explained[3] < 0.3

    rows = torch.cat([x.movedim(1, -1).reshape(-1, 48) for x, _ in samples])
    rows = torch.cat([rows, torch.ones(len(rows), 1, dtype=torch.float64)], dim=1)
    outputs = torch.cat([z.movedim(1, -1).reshape(-1, 4) for _, z in samples])
    solution = torch.linalg.lstsq(rows, outputs).solution
    torch.testing.assert_close(fit.weight, solution[:-1], atol=1e-5, rtol=1e-6)
    residual = (outputs - rows @ solution).square().sum(0)
    explained = 1 - residual / (outputs - outputs.mean(0)).square().sum(0)
    torch.testing.assert_close(fit.explained, explained, atol=1e-9, rtol=0)


def test_a_ridge_shrinks_weights_but_not_the_bias() -> None:
    folded = normal(1, 3, 1, 20, 20)
    latents = folded[:, :1] + 7
    free, held = (fit_latents([(folded, latents)], ridge=ridge) for ridge in (0.0, 1e9))
    assert free.weight[0, 0] == pytest.approx(1, abs=1e-9)
    assert held.weight.abs().max() < 1e-6
    assert held.bias[0] == pytest.approx(float(latents.mean()), rel=1e-6)
    assert held.explained[0] == pytest.approx(0, abs=1e-6)


def test_pairs_become_samples_and_an_embedding() -> None:
    """An encoder that is a linear map of the unshuffled pixels, so that the fit must find it."""
    weight = normal(48, 16)

    def encode(hr: torch.Tensor) -> torch.Tensor:
        return apply(Fit(weight, torch.ones(16, dtype=torch.float64), weight[0]), unshuffle(hr[..., ::4, ::4], 4))

    hrs = [normal(1, 3, 9, 64, 64, seed=seed) for seed in range(3)]
    pairs = [(hr[..., ::4, ::4], hr) for hr in hrs]
    embedding, pretrained = conv(48, 8), conv(16, 8)
    explained = fit_embedding(embedding, pretrained, ((unshuffle(lq, 4), encode(hr)) for lq, hr in pairs))
    assert explained.shape == (16,) and explained.min() > 1 - 1e-6
    folded = unshuffle(pairs[0][0], 4)
    torch.testing.assert_close(embedding(folded), pretrained(encode(hrs[0])), atol=1e-3, rtol=0)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="there are no clips to fit"):
        fit_latents([])
    with pytest.raises(ValueError, match=r"of \(1, 2, 4, 4\) cannot be fitted to latents on \(1, 2, 4, 5\)"):
        fit_latents([(normal(1, 48, 2, 4, 4), normal(1, 16, 2, 4, 5))])
    with pytest.raises(ValueError, match="16 samples of 48 inputs do not determine a linear map with ridge 0"):
        fit_latents([(torch.ones(1, 48, 1, 4, 4), normal(1, 16, 1, 4, 4))], ridge=0)
    fit = Fit(normal(48, 12), normal(12), normal(12))
    with pytest.raises(ValueError, match=r"\(8, 16, 1, 2, 2\) behind a map from 48 to 12 channels"):
        compose(conv(48, 8), conv(16, 8), fit)
    with pytest.raises(ValueError, match="no samples"):
        NormalEquations(3, 2).solve(0.1)


def test_a_random_start_depends_on_the_seed_alone() -> None:
    first, again, other = conv(48, 1536, torch.float32), conv(48, 1536, torch.float32), conv(48, 1536, torch.float32)
    for embedding, seed in ((first, 0), (again, 0), (other, 1)):
        start_randomly(embedding, seed)
    assert torch.equal(first.weight, again.weight) and not torch.equal(first.weight, other.weight)
    bound = (6 / (48 * 4 + 1536)) ** 0.5
    assert 0.99 * bound < first.weight.abs().max() <= bound and not first.bias.any()
