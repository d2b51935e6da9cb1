"""Photographs that ship inside the wheels of scikit-image and scikit-learn, and sampling between their pixels."""

import functools
import importlib.resources

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Read by path and never through skimage.data or sklearn.datasets: their loaders may download.
PHOTOS = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "brick": ("skimage", "data/brick.png"),
    "camera": ("skimage", "data/camera.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "coffee": ("skimage", "data/coffee.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "hubble": ("skimage", "data/hubble_deep_field.jpg"),
    "ihc": ("skimage", "data/ihc.png"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "page": ("skimage", "data/page.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
}
DISPARITY = ("skimage", "data/motorcycle_disp.npz")


@functools.cache
def photo(name: str) -> Image.Image:
    """Return a photograph as RGB."""
    package, path = PHOTOS[name]
    with importlib.resources.files(package).joinpath(path).open("rb") as file:
        return Image.open(file).convert("RGB")


def disparity() -> NDArray[np.float32]:
    """Return the disparity of `motorcycle` in pixels, "h w", infinite where it was not measured."""
    package, path = DISPARITY
    with importlib.resources.files(package).joinpath(path).open("rb") as file, np.load(file) as arrays:
        return arrays["arr_0"]


def size(name: str) -> tuple[int, int]:
    """Return rows and columns of a photograph."""
    width, height = photo(name).size
    return height, width


@functools.lru_cache(maxsize=4)
def planes(name: str, shrink: float = 1.0) -> NDArray[np.float64]:
    """Return a photograph, made smaller by the factor `shrink` with a Lanczos filter, as "3 h w" in 0..255."""
    image = photo(name)
    if shrink != 1.0:
        image = image.resize((round(image.width / shrink), round(image.height / shrink)), Image.Resampling.LANCZOS)
    return np.ascontiguousarray(np.asarray(image, np.float64).transpose(2, 0, 1))


def sample(image: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return "3 ..." at the real positions (x, y) of an image "3 h w": Catmull-Rom, borders replicated.

    Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981, with a = -0.5.
    """
    _, height, width = image.shape
    left, top = np.floor(x), np.floor(y)
    columns = [np.clip(left.astype(np.int64) + step, 0, width - 1) for step in (-1, 0, 1, 2)]
    rows = [np.clip(top.astype(np.int64) + step, 0, height - 1) * width for step in (-1, 0, 1, 2)]
    across, down = _weights(x - left), _weights(y - top)
    flat = image.reshape(3, -1)
    found = np.zeros((3, *x.shape))
    for row, weight in zip(rows, down, strict=True):
        line = np.zeros_like(found)
        for column, share in zip(columns, across, strict=True):
            line += share * flat.take(row + column, axis=1)
        found += weight * line
    return found


def _weights(f: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    return (
        f * (-0.5 + f * (1 - 0.5 * f)),
        1 + f * f * (1.5 * f - 2.5),
        f * (0.5 + f * (2 - 1.5 * f)),
        f * f * (0.5 * f - 0.5),
    )
