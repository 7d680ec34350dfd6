from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from examples import hippocampus
from phasegen.errors import InputError
from segtrain.data.formats import open_format
from segtrain.predict import build
from segtrain.validation import multiples


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """Ten volumes in the layout of the Decathlon: a bright and a dark ball."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(16.0)] * 3, indexing="ij"))
    for k in range(10):
        mask = np.zeros((16, 16, 16), np.uint8)
        for label, y in ((1, 4), (2, 11)):
            centre = np.array([8, y, 8]) + rng.uniform(-1, 1, 3)
            mask[np.linalg.norm(grid - centre[:, None, None, None], axis=0) < 3] = label
        voxels = np.array([0, 5, -5])[mask] + rng.normal(size=mask.shape)
        for folder, array in (("imagesTr", voxels.astype(np.float32)), ("labelsTr", mask)):
            path = tmp_path / "task" / folder
            path.mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), path / f"case_{k}.nii.gz")
    return tmp_path / "task"


def test_the_table_the_picture_and_a_second_call(
    task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"widths": (4, 8), "patch": (16, 16, 16), "validation": 2, "validate_every": 10}
    monkeypatch.setattr(hippocampus, "RECIPE", hippocampus.RECIPE | small)
    worse = {"noise 9": partial(hippocampus.noisy, sigma=9.0)}
    monkeypatch.setattr(hippocampus, "CHANGES", worse)
    out = tmp_path / "out"
    options = {"rows": "unet3d,pde3d-unet", "seeds": "0,1", "steps": 10, "robust": True}
    hippocampus.main(task, out, folds="2", shots="3", **options)
    lines = [line.strip("| ").split(" | ") for line in (out / "table.md").read_text().splitlines()]
    assert [line[:4] for line in lines[2:]] == [
        [row, "3", change, "2"] for row in ("unet3d", "pde3d-unet") for change in ("-", "noise 9")
    ]
    clean, noisy = (dict(zip(lines[0], line, strict=True)) for line in lines[2:4])
    assert "±" in clean["Dice"]
    assert float(clean["parameters"].split()[0]) > 1000
    assert float(noisy["Dice"].split()[0]) <= float(clean["Dice"].split()[0])
    with Image.open(out / "hippocampus.png") as image:
        assert image.size == (4 * 232, 2 * 180)
    runs = {path: path.stat().st_mtime_ns for path in out.rglob("best.pt")}
    assert len(runs) == 4
    hippocampus.main(task, out, folds="2", shots="3", **options)
    assert runs == {path: path.stat().st_mtime_ns for path in out.rglob("best.pt")}


def test_trained_and_tested_volumes_are_others(task: Path) -> None:
    config = hippocampus.configuration(task, "unet3d", 3, 0, 0)
    patch = (16, 16, 16)
    learned = set(open_format(config.data[0], patch).names)
    tested = set(open_format(f"msd:{task},part=3-of-5", patch).names)
    assert (len(learned), len(tested)) == (8, 2)
    assert not learned & tested


@pytest.mark.parametrize("row", hippocampus.ROWS)
def test_every_row_fits_its_patch(row: str, task: Path) -> None:
    if row == "vnet":
        pytest.importorskip("monai")
    if row == "swin-unetr":
        pytest.importorskip("einops")
    config = hippocampus.configuration(task, row, 1, 0, 0)
    network = build(config, 1, 3, 3, torch.device("cpu"))
    for side, multiple in zip(config.sides(3), multiples(network, 3), strict=True):
        assert side % multiple == 0


def test_rows_vary_what_the_paper_varies() -> None:
    options = [row.get("options", {}) for row in hippocampus.ROWS.values()]
    found = {name: {one[name] for one in options if name in one} for name in ("steps", "scheme")}
    assert found["steps"] >= {1, 5}
    assert found["scheme"] >= {"explicit", "crank-nicolson", "split"}
    assert {"place": "skips"} in options
    losses = {row.get("loss", "") for row in hippocampus.ROWS.values()}
    assert "ce-class-dice+implicit+flux+variation" in losses


def test_scores_of_other_settings_are_not_shown(
    task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"widths": (4, 8), "patch": (16, 16, 16), "validation": 2}
    monkeypatch.setattr(hippocampus, "RECIPE", hippocampus.RECIPE | small)
    hippocampus.main(task, tmp_path, rows="unet3d", steps=1)
    with pytest.raises(
        InputError, match=r"unet3d-all-fold1-seed0: holds a run of steps = 1.*for 2"
    ):
        hippocampus.main(task, tmp_path, rows="unet3d", steps=2)


def test_unknown_rows_are_refused(task: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--rows: names 'unet'.*pde3d-unet"):
        hippocampus.main(task, tmp_path / "out", rows="unet")


def test_what_the_changes_do() -> None:
    rng = np.random.default_rng(1)
    ramp = np.broadcast_to(np.arange(24.0, dtype=np.float32), (1, 24, 24, 24)).copy()
    added = hippocampus.noisy(ramp, rng, 0.5) - ramp
    assert added.std() == pytest.approx(0.5, rel=0.02)
    flat = hippocampus.biased(ramp, rng, 1.0)[..., 1:] / ramp[..., 1:]
    assert flat.max() <= np.e * 1.001
    assert flat.min() >= 1 / np.e * 0.999
    np.testing.assert_allclose(hippocampus.biased(ramp, rng, 0.0), ramp, atol=1e-5)
    coarse = hippocampus.coarse(ramp, rng, 2.0)
    assert coarse.shape == ramp.shape
    np.testing.assert_allclose(coarse[..., 4:-4], ramp[..., 4:-4], atol=1e-3)
    stripes = ramp % 2
    assert hippocampus.coarse(stripes, rng, 2.0).std() < 0.1 * stripes.std()


def test_changed_volumes_are_standardised_and_always_the_same(task: Path) -> None:
    source = open_format(f"msd:{task}", (16, 16, 16))
    change = hippocampus.CHANGES["noise 1"]
    samples = [hippocampus.changed(source, change).load(3) for _ in range(2)]
    np.testing.assert_array_equal(samples[0].image, samples[1].image)
    assert abs(float(samples[0].image.mean())) < 1e-5
    assert float(samples[0].image.std()) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(samples[0].mask, source.load(3).mask)
    other = hippocampus.changed(source, change).load(4).image - source.load(4).image
    assert not np.allclose(other, samples[0].image - source.load(3).image, atol=0.1)
