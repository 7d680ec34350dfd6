import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli import common
from examples.arrange_super1 import arrange, program
from phasegen.errors import InputError
from tests.data import real

NAMES = {
    "train": [f"spot{spot}_{angle}d_0" for spot in range(3, 8) for angle in (0, 180)],
    "val": ["spot1_0d_0", "spot1_0d_1", "spot1_180d_5", "spot1_180d_6"],
    "test": ["spot2_0d_0", "spot2_0d_4", "spot2_180d_3", "spot2_180d_5"],
}
MATRIX, RED, BLUE = (0, 0, 0), (255, 0, 0), (0, 0, 255)


def write(source: Path, split: str, name: str, image: np.ndarray, mask: np.ndarray) -> None:
    """Store one pair as the benchmark does; `mask` holds class indices."""
    for folder in (split, f"{split}_annot"):
        (source / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(source / split / f"{name}.tif")
    painted = np.array([MATRIX, RED, BLUE], np.uint8)[mask]
    Image.fromarray(painted).save(source / f"{split}_annot" / f"{name}_mask.tif")


def read(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        assert image.mode == "L"
        return np.array(image)


@pytest.fixture
def truth() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    names = [name for split in NAMES.values() for name in split]
    images = rng.integers(0, 256, (len(names), 12, 16), np.uint8)
    masks = rng.integers(0, 3, (len(names), 12, 16), np.uint8)
    return {name: (images[i], masks[i]) for i, name in enumerate(names)}


@pytest.fixture
def super1(tmp_path, truth) -> Path:
    source = tmp_path / "Super1"
    for split, names in NAMES.items():
        for name in names:
            write(source, split, name, *truth[name])
    return source


def test_images_masks_and_splits_arrive_unchanged(super1, truth, tmp_path):
    out = tmp_path / "data" / "nickel"
    assert arrange(super1, out) == NAMES
    assert json.loads((out / "splits.json").read_text()) == NAMES
    for name, (image, mask) in truth.items():
        np.testing.assert_array_equal(read(out / "images" / f"{name}.png"), image)
        np.testing.assert_array_equal(read(out / "masks" / f"{name}.png"), mask)
    assert len(list(out.rglob("*.png"))) == 2 * len(truth)
    assert [folder.name for folder in out.parent.iterdir()] == ["nickel"]


def test_grey_stored_as_rgb_is_grey_and_other_paint_is_matrix(super1, truth, tmp_path):
    image, mask = truth["spot1_0d_0"]
    rgb = Image.fromarray(image).convert("RGB")
    rgb.save(super1 / "val" / "spot1_0d_0.tif")
    painted = Image.open(super1 / "val_annot" / "spot1_0d_0_mask.tif").convert("RGBA")
    painted.putpixel((2, 1), (254, 0, 0, 255))
    painted.save(super1 / "val_annot" / "spot1_0d_0_mask.tif")
    arrange(super1, tmp_path / "out")
    np.testing.assert_array_equal(read(tmp_path / "out/images/spot1_0d_0.png"), image)
    mask[1, 2] = 0
    np.testing.assert_array_equal(read(tmp_path / "out/masks/spot1_0d_0.png"), mask)


def remove_folder(source: Path) -> None:
    shutil.rmtree(source / "test")


def remove_image(source: Path) -> None:
    (source / "val" / "spot1_0d_0.tif").unlink()


def remove_mask(source: Path) -> None:
    (source / "test_annot" / "spot2_0d_4_mask.tif").unlink()


def write_text(source: Path) -> None:
    (source / "train" / "spot3_0d_0.tif").write_text("version https://git-lfs.github.com/spec/v1")


def truncate(source: Path) -> None:
    file = source / "train" / "spot3_0d_0.tif"
    file.write_bytes(file.read_bytes()[:-100])


def colour(source: Path) -> None:
    shutil.copy(source / "test_annot" / "spot2_0d_4_mask.tif", source / "test" / "spot2_0d_4.tif")


def deepen(source: Path) -> None:
    Image.fromarray(np.ones((12, 16), np.uint16)).save(source / "test" / "spot2_0d_4.tif")


def crop(source: Path) -> None:
    file = source / "val_annot" / "spot1_0d_0_mask.tif"
    Image.open(file).crop((0, 0, 8, 8)).save(file)


def blacken(source: Path) -> None:
    Image.new("RGB", (16, 12)).save(source / "val_annot" / "spot1_0d_0_mask.tif")


@pytest.mark.parametrize(
    ("spoil", "culprit", "problem"),
    [
        (remove_folder, "test", "not a folder"),
        (remove_image, "val", "holds 3 .tif images, not 4"),
        (remove_mask, "test_annot/spot2_0d_4_mask.tif", "missing"),
        (write_text, "train/spot3_0d_0.tif", "not a readable image"),
        (truncate, "train/spot3_0d_0.tif", "not a readable image"),
        (colour, "test/spot2_0d_4.tif", "colour image"),
        (deepen, "test/spot2_0d_4.tif", "not 8-bit"),
        (crop, "val_annot/spot1_0d_0_mask.tif", "pixels but its image"),
        (blacken, "val_annot/spot1_0d_0_mask.tif", "no secondary particle"),
    ],
)
def test_another_layout_is_refused_and_leaves_nothing(super1, tmp_path, spoil, culprit, problem):
    spoil(super1)
    with pytest.raises(InputError, match=problem) as refused:
        arrange(super1, tmp_path / "out")
    assert refused.value.source == super1 / culprit
    assert [path.name for path in tmp_path.iterdir()] == ["Super1"]


def test_an_interrupted_attempt_is_begun_afresh(super1, truth, tmp_path, monkeypatch):
    def interrupt(*paths: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            arrange(super1, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    arrange(super1, tmp_path / "out")
    assert len(list((tmp_path / "out" / "masks").iterdir())) == len(truth)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Super1", "out"]


def test_an_existing_folder_is_never_touched(super1, tmp_path):
    with pytest.raises(InputError, match="exists already"):
        arrange(super1, super1)


def test_command_prints_the_share_of_each_class(super1, truth, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        common.run(program, [str(super1), str(tmp_path / "out")])
    assert stop.value.code == 0
    header, *rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert header == ["split", "images", "matrix", "tertiary", "secondary"]
    masks = np.stack([truth[name][1] for name in NAMES["val"]])
    assert rows[1] == ["val", "4", *(f"{(masks == index).mean():.3f}" for index in range(3))]


def test_the_arranged_benchmark_comes_back_as_it_is(tmp_path):
    data = real("nickel_superalloy")
    splits = json.loads((data / "splits.json").read_text())
    for split, names in splits.items():
        for name in names:
            image, mask = (read(data / folder / f"{name}.png") for folder in ("images", "masks"))
            write(tmp_path / "Super1", split, name, image, mask)
    arrange(tmp_path / "Super1", tmp_path / "out")
    assert (tmp_path / "out" / "splits.json").read_text() == (data / "splits.json").read_text()
    for file in data.rglob("*.png"):
        copy = tmp_path / "out" / file.relative_to(data)
        np.testing.assert_array_equal(read(copy), read(file))
