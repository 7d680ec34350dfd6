import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from examples import demo
from phasegen.images import list_images
from phasegen.microscope import MicroscopeRanges
from phasegen.store import open_store
from segtrain.baselines import otsu
from segtrain.metrics import iou

TINY = {"samples": 5, "size": 128, "steps": 1, "adapt_steps": 1}


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        assert image.mode == "L"
        return np.array(image)


@pytest.fixture
def nickel(tmp_path: Path) -> Path:
    """A folder that is laid out like nickel_superalloy, of tiny random images."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "data" / "nickel_superalloy"
    splits = {"train": ["a", "b"], "val": ["c"], "test": ["d", "e"]}
    for kind, levels in (("images", 256), ("masks", 3)):
        (folder / kind).mkdir(parents=True)
        for name in "abcde":
            noise = rng.integers(levels, size=(16, 16), dtype=np.uint8)
            Image.fromarray(noise).save(folder / kind / f"{name}.png")
    (folder / "splits.json").write_text(json.dumps(splits))
    return folder


def test_virtual_demo_runs_to_the_table_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)
    demo.main(tmp_path, tmp_path / "no data", **TINY)
    first = capsys.readouterr().out
    place = tmp_path / "virtual_microscope"

    commands = [line[2:].split() for line in first.splitlines() if line.startswith("$ ")]
    assert [command[:2] for command in commands[1:]] == [
        ["phasegen", "simulate"],
        ["cyclegan", "fit"],
        ["segtrain", "--synthetic-only"],
        ["segtrain", "predict"],
        ["segtrain", "evaluate"],
    ]
    hidden = open_store(place / "hidden.zarr")
    for index in range(demo.UNLABELLED, hidden.samples):
        sample, name = hidden.read(index), f"{index:02d}.png"
        np.testing.assert_array_equal(pixels(place / demo.TEST_MASKS / name), sample.mask)
        shown = pixels(place / demo.TEST_IMAGES / name) / 255
        np.testing.assert_allclose(shown, sample.image[0], atol=0.5 / 255 + 1e-6)
        assert not (place / demo.REAL / name).exists()
    unlabelled = sorted(path.name for path in (place / demo.REAL).iterdir())
    assert len(unlabelled) == demo.UNLABELLED
    assert [path.name for path in list_images(place / "predictions")] == unlabelled
    content = json.loads((place / demo.REPORT / "metrics.json").read_text())
    assert [source["labels"] for source in content["sources"]] == ["simulated", "predicted"]
    assert (place / demo.REPORT / "report.html").is_file()
    table = first[first.index("Mean over the test images") :]
    assert f"{content['summary']['iou']['mean']:.3f} [" in table

    demo.main(tmp_path, tmp_path / "no data", **TINY)
    second = capsys.readouterr().out
    assert second[second.index("Mean") : second.index("Took")] == table[: table.index("Took")]


def test_nickel_gives_its_train_images_unlabelled_and_its_test_images_with_masks(
    nickel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    demo.take_nickel(nickel)
    copies = {
        target: sorted(path.stem for path in target.iterdir())
        for target in (demo.REAL, demo.TEST_IMAGES, demo.TEST_MASKS)
    }
    assert list(copies.values()) == [["a", "b"], ["d", "e"], ["d", "e"]]
    for target, names in copies.items():
        for name in names:
            original = nickel / ("masks" if target == demo.TEST_MASKS else "images")
            np.testing.assert_array_equal(
                pixels(target / f"{name}.png"), pixels(original / f"{name}.png")
            )


@pytest.mark.parametrize("setting", sorted(MicroscopeRanges.model_fields))
def test_the_stand_in_leaves_the_settings_that_simulate_draws_from(setting: str) -> None:
    told, untold = getattr(MicroscopeRanges(), setting), getattr(demo.UNTOLD, setting)
    if setting == "tilt_angle":
        assert told == (0, 360)  # every direction there is
    else:
        assert untold[1] < told[0] or told[1] < untold[0]


def test_otsu_finds_the_darker_phase_in_any_units() -> None:
    y, x = np.mgrid[:64, :64]
    disc = np.hypot(y - 30, x - 34) < 14
    noise = np.random.default_rng(0).normal(0, 0.1, disc.shape)
    for scale in (1, 60_000):
        scene = (scale * (0.7 - 0.3 * disc + noise)).astype(np.float32)
        assert iou(otsu(scene), disc) > 0.9
