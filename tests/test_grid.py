import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oasis.grid import Grid, bands, cell_of


@given(st.integers(1, 60), st.integers(1, 20), st.data())
def test_bands_partition_the_axis_into_the_cells_of_the_definition(length: int, size: int, data: st.DataObject) -> None:
    shift = data.draw(st.integers(0, size - 1))
    found = bands(length, size, shift)
    cells = [
        range(band.start + number * band.size, band.start + (number + 1) * band.size)
        for band in found
        for number in range(band.cells)
    ]
    assert [position for cell in cells for position in cell] == list(range(length))
    expected: dict[int, list[int]] = {}
    for position in range(length):
        expected.setdefault(cell_of(position, size, shift), []).append(position)
    assert [list(cell) for cell in cells] == list(expected.values())


@given(st.integers(1, 60), st.integers(1, 20), st.data())
def test_at_most_three_bands_and_neighbours_differ(length: int, size: int, data: st.DataObject) -> None:
    found = bands(length, size, data.draw(st.integers(0, size - 1)))
    assert len(found) <= 3
    assert all(one.size != two.size and one.stop == two.start for one, two in itertools.pairwise(found))


@pytest.mark.parametrize("shift", [-1, 4])
def test_shift_outside_the_cell_is_refused(shift: int) -> None:
    with pytest.raises(ValueError, match=rf"shift={shift}, size=4"):
        bands(10, 4, shift)


def test_grid_counts_tokens_and_refuses_empty_axes() -> None:
    grid = Grid(5, 24, 40)
    assert (grid.frame, grid.tokens, str(grid)) == (960, 4800, "5x24x40")
    with pytest.raises(ValueError, match="h=0"):
        Grid(1, 0, 3)
