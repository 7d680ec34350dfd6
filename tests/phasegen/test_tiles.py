"""Tiled results equal whole-image results, on any size, in bounded memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from phasegen.tiles import apply_tiled

RNG = np.random.default_rng(7)


@settings(deadline=None, max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    tile=st.integers(8, 40),
    radius=st.integers(0, 9),
    batch=st.integers(1, 5),
    multiple=st.sampled_from([1, 2, 8]),
)
def test_convolution_equals_the_whole_image(
    shape: tuple[int, int], tile: int, radius: int, batch: int, multiple: int
) -> None:
    rng = np.random.default_rng(radius)
    image = rng.random(shape)
    kernel = rng.random((2 * radius + 1, 2 * radius + 1))

    def convolve(windows: NDArray[Any]) -> NDArray[Any]:
        # The border mode inside a window must not matter: zeros show whether the halo suffices.
        return ndimage.correlate(windows, kernel[None, None], mode="constant")

    out = np.full(shape, np.nan)
    apply_tiled(image, convolve, out[None], tile=tile, halo=radius, batch=batch, multiple=multiple)
    np.testing.assert_allclose(out, ndimage.correlate(image, kernel, mode="mirror"), rtol=1e-12)


def test_a_halo_below_the_radius_shows_seams() -> None:
    image, kernel = RNG.random((40, 40)), np.ones((1, 1, 7, 7))
    out = np.empty((40, 40))
    function = lambda windows: ndimage.correlate(windows, kernel, mode="constant")  # noqa: E731
    apply_tiled(image, function, out[None], tile=10, halo=1, multiple=1)
    assert not np.allclose(out, ndimage.correlate(image, kernel[0, 0], mode="mirror"))


class Pooled(torch.nn.Module):
    """One level down and up; an output pixel sees 8 pixels to either side at most."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(2, 4, 3, padding=1)
        self.inner = torch.nn.Conv2d(4, 4, 3, padding=1)
        self.last = torch.nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        fine = torch.relu(self.first(image))
        coarse = torch.relu(self.inner(torch.nn.functional.max_pool2d(fine, 2)))
        coarse = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
        return self.last(torch.cat([fine, coarse], 1))


@pytest.fixture(scope="module")
def network() -> Pooled:
    torch.manual_seed(3)
    return Pooled().double()


@pytest.mark.parametrize("shape", [(64, 96), (61, 47), (5, 3), (1, 1), (16, 130)])
def test_pooling_network_equals_the_whole_image(network: Pooled, shape: tuple[int, int]) -> None:
    image = RNG.random((2, *shape))

    def function(windows: NDArray[Any]) -> NDArray[Any]:
        with torch.no_grad():
            return network(torch.from_numpy(windows)).numpy()

    # A pad that is a multiple of 2 keeps the pooling grid of the whole image.
    pad = ((0, 0), (8, 8 + shape[0] % 2), (8, 8 + shape[1] % 2))
    whole = function(np.pad(image, pad, mode="reflect")[None])[0]
    whole = whole[:, 8 : 8 + shape[0], 8 : 8 + shape[1]]

    out = np.empty((3, *shape))
    apply_tiled(image, function, out, tile=24, halo=8, batch=3, multiple=2)
    np.testing.assert_allclose(out, whole, rtol=0, atol=1e-12)

    classes = np.full(shape, 255, dtype=np.uint8)
    apply_tiled(
        image, lambda windows: function(windows).argmax(1), classes, tile=16, halo=8, multiple=2
    )
    np.testing.assert_array_equal(classes, whole.argmax(0))


def test_memory_stays_bounded(tmp_path: Path) -> None:
    shape, largest = (600, 500), 0
    image = np.memmap(tmp_path / "image", dtype=np.uint16, mode="w+", shape=shape)
    image[:] = RNG.integers(0, 65535, shape)
    out = np.memmap(tmp_path / "out", dtype=np.uint16, mode="w+", shape=shape)

    class Watched:
        """Counts the pixels that are asked for at once."""

        shape = image.shape

        def __getitem__(self, key: Any) -> NDArray[Any]:
            nonlocal largest
            block = image[key]
            largest = max(largest, block.size)
            return block

    def invert(windows: NDArray[Any]) -> NDArray[Any]:
        assert windows.dtype == np.uint16
        assert windows.shape[0] <= 2
        assert windows.shape[1] == 1
        return 65535 - windows[:, 0]

    apply_tiled(Watched(), invert, out, tile=64, halo=20, batch=2)  # type: ignore[arg-type]
    np.testing.assert_array_equal(out, 65535 - image)
    assert largest <= (64 + 2 * 32) ** 2


def test_tiles_are_balanced_and_small_images_stay_small() -> None:
    seen: set[tuple[int, ...]] = set()

    def note(windows: NDArray[Any]) -> NDArray[Any]:
        seen.add(windows.shape)
        return windows

    apply_tiled(np.zeros((40, 645)), note, np.empty((1, 40, 645)), tile=512, halo=16)
    assert seen == {(1, 1, 48 + 32, 336 + 32)}


@pytest.mark.parametrize(
    ("shape", "function", "sizes"),
    [
        ((9, 9), lambda windows: windows[..., 1:], {"tile": 4, "halo": 0}),
        ((9, 8), lambda windows: windows, {"tile": 4, "halo": 0}),
        ((9, 9), lambda windows: windows, {"tile": 0, "halo": 0}),
        ((9, 9), lambda windows: windows, {"tile": 4, "halo": -1}),
    ],
)
def test_misuse_is_refused(shape: tuple[int, int], function: Any, sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"not positive|does not fit|came back"):
        apply_tiled(np.zeros((9, 9)), function, np.zeros((1, *shape)), **sizes)
