from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples import volumes_synthetic
from phasegen.errors import InputError
from phasegen.store import open_store
from segtrain.metrics import evaluate


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volumes_synthetic, "SIDE", 32)
    monkeypatch.setattr(volumes_synthetic, "PATCH", 16)
    stores = {name: (3, *volumes_synthetic.STORES[name][1:]) for name in ("train", "same", "fib")}
    monkeypatch.setattr(volumes_synthetic, "STORES", stores)
    # One of the stores has half as many planes as the other.
    monkeypatch.setattr(volumes_synthetic, "RUNS", {"both": ("pde3d-unet", ("train", "fib"))})
    tests = {"same": ("same", 1), "interpolated": ("fib", 2)}
    monkeypatch.setattr(volumes_synthetic, "TESTS", tests)


def test_the_table_and_the_picture(
    small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volumes_synthetic.main(tmp_path, steps=2)
    lines = (tmp_path / "scores.md").read_text().splitlines()
    assert lines[0] == ("| network | volumes | Dice solute-poor | Dice solute-rich | HD95, px |")
    tests = [line.split(" | ")[1] for line in lines[2:]]
    assert tests == list(volumes_synthetic.TESTS) * 2
    assert len(capsys.readouterr().out.splitlines()) == len(lines) - 1
    with Image.open(tmp_path / "volumes.png") as image:
        assert image.size == (6 * 34 * 3, 2 * 34 * 3)

    same, fib = (open_store(tmp_path / f"{name}.zarr") for name in ("same", "fib"))
    assert (fib.shape, fib.spacing) == ((16, 32, 32), (2, 1, 1))
    # The specimens are the same; the first slice has not drifted yet.
    np.testing.assert_array_equal(fib.read(0).mask[0], same.read(0).mask[0])


def test_distances_are_those_of_the_voxels(tmp_path: Path, small: None) -> None:
    store = volumes_synthetic.simulate(tmp_path / "fib.zarr", "spinodal", "fib", 0)
    truths = [store.read(index).mask for index in range(store.samples)]
    moved = [np.roll(truth, 1, axis=0) for truth in truths]
    answers = iter(moved)

    def method(_: np.ndarray) -> np.ndarray:
        return next(answers)

    found = volumes_synthetic.scores(method, store, 1)
    pairs = list(zip(moved, truths, strict=True))
    right, wrong = (
        np.mean([evaluate(*pair, store.classes, spacing=(z, 1, 1))["hd95"] for pair in pairs])
        for z in (2, 1)
    )
    assert found["hd95"] == pytest.approx(right)
    assert right > wrong + 0.5


def test_interpolated_planes_fall_on_those_that_were_photographed() -> None:
    volume = np.random.default_rng(0).normal(size=(7, 8, 8)).astype(np.float32)
    shown = []

    def method(dense: np.ndarray) -> np.ndarray:
        shown.append(dense)
        return dense > 0

    found = volumes_synthetic.predict(method, volume, 3)
    whole = volumes_synthetic.standardise(volume)
    np.testing.assert_array_equal(found, whole > 0)
    assert shown[0].shape == (19, 8, 8)
    between = (2 * whole[:-1] + whole[1:]) / 3
    np.testing.assert_allclose(shown[0][1::3], between, atol=1e-5)


def test_an_unknown_recipe(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Choose from spinodal"):
        volumes_synthetic.main(tmp_path, recipe="steel")
