import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from oasis.grid import Grid
from oasis.report import looks, plots
from oasis.report.page import draw
from oasis.report.run import read_run


@pytest.mark.parametrize(
    ("layers", "heads", "clips", "grid"),
    [(1, 1, ("only",), Grid(1, 8, 8)), (8, 8, ("a", "b", "c"), Grid(5, 24, 40)), (30, 12, ("a",), Grid(9, 15, 26))],
    ids=["1x1", "8x8", "30x12"],
)
def test_every_figure_draws(make_run, layers: int, heads: int, clips: tuple[str, ...], grid: Grid) -> None:
    run = read_run(make_run(layers=layers, heads=heads, clips=clips, grid=grid))
    names = []
    for picture in draw(run):
        _assert_texts_are_apart(picture.figure)
        names.append(picture.name)
    assert names == ["routing", "kl-frame", "kl-window-8x8", "kl-scatter", "offset-profile", "looks"]
    assert not pyplot.get_fignums()


def _assert_texts_are_apart(figure: Figure) -> None:
    """Titles, labels and annotations (not tick labels) lie inside the figure and do not overlap."""
    figure.draw_without_rendering()
    texts = [figure._suptitle] if figure._suptitle else []
    for axes in figure.axes:
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts[:40]]
    boxes = [text.get_window_extent().padded(-1) for text in texts if text.get_text()]
    page = figure.bbox.padded(2)
    for number, box in enumerate(boxes):
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])


def test_maps_of_all_patterns_share_their_scale(make_run) -> None:
    heads = read_run(make_run()).heads
    scales = [[axes.images[0].get_clim() for axes in plots.kl_map(heads, name).axes[:2]] for name in ("frame", "window-8x8")]
    assert scales[0] == scales[1]
    assert scales[0][0][0] == 0.0 and scales[0][1][1] >= 1.0


def test_a_map_shows_the_mean_over_clips_at_its_layer_and_head(make_run) -> None:
    heads = read_run(make_run()).heads
    cells = plots.kl_map(heads, "frame").axes[0].images[0].get_array()
    rows = heads[(heads["pattern"] == "frame") & (heads["layer"] == 1) & (heads["head"] == 2)]
    assert cells[1, 2] == pytest.approx(rows["kl_mean"].mean())


def test_numbers_are_written_in_cells_up_to_twelve_heads(make_run) -> None:
    for heads, expected in ((12, 12), (13, 0)):
        figure = plots.kl_map(read_run(make_run(layers=1, heads=heads)).heads, "frame")
        assert len(figure.axes[0].texts) == expected


def test_a_uniform_head_has_a_flat_profile(make_run) -> None:
    run = read_run(make_run(grid=Grid(4, 8, 8)))
    lines = {line.get_label(): line.get_ydata() for line in plots.offset_profile(run.profiles, {"one": (0, 0)}).axes[0].lines}
    np.testing.assert_allclose(lines["uniform head"], np.full(7, 1 / 4))
    assert set(lines) == {"one: layer 0, head 0", "mean over all heads", "uniform head"}


@pytest.mark.parametrize(("query", "expected"), [(0, range(0, 7)), (5, range(2, 9)), (8, range(2, 9))])
def test_long_clips_show_the_frames_around_the_query(query: int, expected: range) -> None:
    assert looks.shown_frames({"frames": np.zeros((9, 1, 1, 3)), "query": np.array([query, 0, 0])}) == expected


def test_heat_is_scaled_to_the_percentile_or_the_largest_value() -> None:
    assert looks.peak(np.linspace(0, 1, 101)) == pytest.approx(0.99)
    assert looks.peak(np.eye(1, 1000)) == 1.0
    assert looks.peak(np.array([0.0, 0.0])) == 1.0
