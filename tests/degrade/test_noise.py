import numpy as np
import pytest

from oasis.degrade import noise


def half_ramp(level):
    """Every grey level occurs in the left half; the right half is `level`."""
    frame = np.full((256, 512, 3), level, np.float32)
    frame[:, :256] = np.arange(256)[:, None, None]
    return frame


def test_gaussian_noise_has_its_strength():
    frame = np.full((200, 200, 3), 100, np.float32)
    added = noise.gaussian(frame, 7.0, grey=False, generator=np.random.default_rng(0)) - frame
    assert added.dtype == np.float32
    assert added.std() == pytest.approx(7, rel=0.02)
    assert abs(added.mean()) < 0.1
    assert abs(np.corrcoef(added[..., 0].ravel(), added[..., 1].ravel())[0, 1]) < 0.03


@pytest.mark.parametrize(("domain", "deviation"), [("unit", 11.3), ("byte", 0.704)])
@pytest.mark.parametrize("grey", [False, True])
def test_poisson_noise_at_middle_grey_is_strong_or_weak_by_its_domain(domain, deviation, grey):
    frame = half_ramp(127)
    found = noise.poisson(frame, 1.0, grey=grey, domain=domain, generator=np.random.default_rng(0))
    added = (found - frame)[:, 256:]
    assert added.dtype == np.float32
    assert added.std() == pytest.approx(deviation, rel=0.02)
    assert abs(added.mean()) < deviation / 50
    twice = noise.poisson(frame, 2.0, grey=grey, domain=domain, generator=np.random.default_rng(0)) - frame
    np.testing.assert_allclose(twice[:, 256:], 2 * added, atol=1e-3)


def test_few_levels_mean_few_photons():
    frame = np.full((200, 300, 3), 64, np.float32)
    frame[:50], frame[50:100] = 10, 200  # three levels count as four
    found = noise.poisson(frame, 1.0, grey=False, domain="unit", generator=np.random.default_rng(0))
    assert (found - frame)[100:].std() == pytest.approx(np.sqrt(255 * 64 / 4), rel=0.02)


def test_grey_noise_is_the_same_in_all_channels():
    frame = np.random.default_rng(1).uniform(20, 230, (64, 64, 3)).astype(np.float32)
    for grey in (True, False):
        for found in (
            noise.gaussian(frame, 9.0, grey=grey, generator=np.random.default_rng(0)),
            noise.poisson(frame, 1.0, grey=grey, domain="unit", generator=np.random.default_rng(0)),
        ):
            added = found - frame
            assert (np.abs(added[..., 0] - added[..., 1]).max() < 1e-3) == grey
            assert np.abs(added).max() > 5
