import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oasis.degrade import kernels
from oasis.degrade.kernels import FAMILIES

ROUND = ("iso", "generalised_iso", "plateau_iso")
SIZES = st.sampled_from([7, 9, 11, 13, 15, 17, 19, 21])
SIGMA = st.floats(0.2, 3)


def parameters(family, draw):
    if family == "sinc":
        return {"omega": draw(st.floats(np.pi / 5, np.pi))}
    found = {"sigma_x": draw(SIGMA)}
    if family not in ROUND:
        found |= {"sigma_y": draw(SIGMA), "angle": draw(st.floats(-np.pi, np.pi))}
    if "generalised" in family:
        found["beta"] = draw(st.floats(0.5, 4))
    if "plateau" in family:
        found["beta"] = draw(st.floats(1, 2))
    return found


@settings(max_examples=100, deadline=None)
@given(data=st.data(), size=SIZES, family=st.sampled_from(sorted(FAMILIES)))
def test_every_kernel_sums_to_one_and_is_symmetric_about_its_middle(data, size, family):
    kernel = FAMILIES[family](size, **parameters(family, data.draw))
    assert kernel.shape == (size, size)
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-12)
    if family in (*ROUND, "sinc"):
        np.testing.assert_allclose(kernel, kernel.T, atol=1e-12)
        np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-12)
    if family != "sinc":
        assert kernel.min() >= 0
        assert kernel.argmax() == size**2 // 2


@settings(max_examples=30, deadline=None)
@given(size=SIZES, sigma_x=SIGMA, sigma_y=SIGMA, angle=st.floats(-np.pi, np.pi), beta=st.floats(0.5, 4))
def test_elliptic_kernels_are_the_formula_with_a_covariance(size, sigma_x, sigma_y, angle, beta):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inverse = np.linalg.inv(turn @ np.diag([sigma_x**2, sigma_y**2]) @ turn.T)
    middle = size // 2
    distance = np.empty((size, size))
    for row in range(size):
        for column in range(size):
            offset = np.array([column - middle, row - middle])
            distance[row, column] = offset @ inverse @ offset
    for family, values, extra in (
        ("aniso", np.exp(-distance / 2), {}),
        ("generalised_aniso", np.exp(-(distance**beta) / 2), {"beta": beta}),
        ("plateau_aniso", 1 / (1 + distance**beta), {"beta": beta}),
    ):
        found = FAMILIES[family](size, sigma_x=sigma_x, sigma_y=sigma_y, angle=angle, **extra)
        np.testing.assert_allclose(found, values / values.sum(), atol=1e-9)


def test_round_kernels_are_elliptic_ones_with_equal_axes():
    for family, extra in (("iso", {}), ("generalised_iso", {"beta": 0.7}), ("plateau_iso", {"beta": 1.6})):
        elliptic = FAMILIES[family.replace("iso", "aniso")](13, sigma_x=1.3, sigma_y=1.3, angle=0.7, **extra)
        np.testing.assert_allclose(FAMILIES[family](13, sigma_x=1.3, **extra), elliptic, atol=1e-12)


def test_a_quarter_turn_swaps_the_axes():
    wide = kernels.aniso(15, sigma_x=2.5, sigma_y=0.8, angle=0.0)
    np.testing.assert_allclose(kernels.aniso(15, sigma_x=2.5, sigma_y=0.8, angle=np.pi / 2), wide.T, atol=1e-12)
    assert wide[7, 10] > wide[10, 7]


@pytest.mark.parametrize("omega", [np.pi / 3, np.pi / 2, 2.2])
def test_sinc_passes_low_frequencies_in_all_directions_and_stops_high_ones(omega):
    kernel = kernels.sinc(101, omega=omega)  # 21 taps ripple by 0.15
    offsets = np.arange(101) - 50
    for direction in np.linspace(0, np.pi / 2, 5):
        phase = np.cos(direction) * offsets[None] + np.sin(direction) * offsets[:, None]
        passed, stopped = ((kernel * np.cos(share * omega * phase)).sum() for share in (0.6, 1.4))
        assert passed == pytest.approx(1, abs=0.06)
        assert stopped == pytest.approx(0, abs=0.06)
