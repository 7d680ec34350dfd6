"""Info bars are found to the row, and nothing else is taken for one."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from phasegen.errors import InputError
from phasegen.images import (
    find_info_bar,
    list_images,
    read_mask,
    read_micrograph,
)
from tests.data import real
from tests.phasegen.pictures import (
    png,
    texture,
)


def burn_bar(
    scene: NDArray[np.float64], rows: int, back: float, ink: float, frame: bool
) -> NDArray[np.float64]:
    """Write an info bar on the lowest rows, as SEM vendors do."""
    image = Image.fromarray(np.zeros((rows, scene.shape[1]), np.uint8))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=rows // 2)
    draw.text((5, rows // 5), "15.00 kV  x20 000  WD 10.1 mm", fill=255, font=font)
    draw.line([scene.shape[1] - 80, rows // 2, scene.shape[1] - 10, rows // 2], fill=255, width=3)
    if frame:
        draw.rectangle([0, 0, scene.shape[1] - 1, rows - 1], outline=255)
    burnt = scene.copy()
    burnt[-rows:] = back + (ink - back) * np.asarray(image) / 255
    return burnt


BARS = [(0.0, 1.0), (1.0, 0.0), (0.5, 1.0), (0.5, 0.0)]


@pytest.mark.parametrize("frame", [False, True])
@pytest.mark.parametrize(("back", "ink"), BARS)
@pytest.mark.parametrize("rows", [20, 37, 60])
@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_info_bar_is_found_to_the_row(
    tmp_path: Path, dtype: type, white: int, rows: int, back: float, ink: float, frame: bool
) -> None:
    scene = texture((320, 480), seed=rows)
    burnt = np.rint(burn_bar(scene, rows, back, ink, frame) * white).astype(dtype)
    png(tmp_path / "a.png", burnt)
    micrograph = read_micrograph(tmp_path / "a.png")
    assert micrograph.bar == rows
    np.testing.assert_array_equal(micrograph.scene, burnt[:-rows])
    np.testing.assert_array_equal(micrograph.pixels, burnt)


@pytest.mark.parametrize(("back", "ink"), BARS)
@pytest.mark.parametrize("quality", [75, 90])
def test_info_bar_survives_jpeg(tmp_path: Path, quality: int, back: float, ink: float) -> None:
    burnt = burn_bar(texture((320, 480)), 37, back, ink, frame=True)
    Image.fromarray(np.rint(burnt * 255).astype(np.uint8)).save(tmp_path / "a.jpg", quality=quality)
    assert 37 <= read_micrograph(tmp_path / "a.jpg").bar <= 39


def test_a_scene_without_grey_above_a_bar_shows_nothing(tmp_path: Path) -> None:
    png(tmp_path / "a.png", np.uint8(255 * burn_bar(np.full((320, 480), 0.5), 37, 0, 1, False)))
    with pytest.raises(InputError, match="every pixel is 127"):
        read_micrograph(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["nickel_superalloy", "uhcs_steel"])
def test_real_images_and_their_flat_masks_have_no_bar(name: str) -> None:
    micrographs = [read_micrograph(path) for path in list_images(real(name) / "images")]
    assert [one.path.name for one in micrographs if one.bar] == []
    masks = [read_mask(path).astype(np.float32) for path in list_images(real(name) / "masks")]
    assert len(masks) == len(micrographs)
    assert not any(find_info_bar(mask) for mask in masks)


def test_real_image_with_a_bar_burnt_in() -> None:
    for path in list_images(real("uhcs_steel") / "images")[:6]:
        pixels = read_micrograph(path).pixels.astype(np.float64)
        for back, ink in BARS:
            burnt = burn_bar(pixels, 40, back * 255, ink * 255, frame=False).astype(np.float32)
            assert find_info_bar(burnt) == 40


def test_noise_free_microstructures_have_no_bar() -> None:
    rng = np.random.default_rng(5)
    for _ in range(60):
        # From equiaxed to lamellae that lie flat, from dilute to dense, sharp and diffuse.
        lengths = (rng.uniform(1, 12), rng.uniform(1, 40))
        field = ndimage.gaussian_filter(rng.normal(size=(160, 160)), lengths, mode="wrap")
        field = field / field.std() - rng.uniform(-2, 2)
        for pixels in (field > 0, np.tanh(8 * field), np.rint(127 * np.tanh(field))):
            assert find_info_bar(pixels.astype(np.float32)) == 0


def test_layers_and_gradients_have_no_bar() -> None:
    pixels = texture((320, 480)).astype(np.float32)
    layered = pixels.copy()
    layered[-40:] = 0.5
    assert find_info_bar(layered) == 0
    ramp = np.repeat(np.linspace(0, 1, 320, dtype=np.float32)[:, None], 480, axis=1)
    assert find_info_bar(ramp) == 0
    assert find_info_bar(burn_bar(pixels, 200, 0, 1, False).astype(np.float32)) == 0
