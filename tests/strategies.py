"""Small grids and patterns of every kind, for property tests."""

from hypothesis import strategies as st

from oasis.grid import Grid
from oasis.routing import FRAME, GLOBAL, Pattern, window

grids = st.builds(Grid, st.integers(1, 4), st.integers(1, 7), st.integers(1, 7))

patterns = st.one_of(
    st.sampled_from([GLOBAL, FRAME]),
    st.builds(window, st.integers(1, 8), st.integers(1, 8), shift=st.booleans()),
    st.builds(lambda frames: Pattern(kind="neighbour", frames=frames), st.integers(0, 4)),
    st.builds(lambda radius: Pattern(kind="sliding", radius=radius), st.tuples(st.integers(0, 4), st.integers(0, 4))),
)
