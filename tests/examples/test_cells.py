import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples import cells
from phasegen.errors import InputError
from segtrain.config import Training
from segtrain.predict import load_segmenter
from tests.segtrain.cells import folder
from tests.segtrain.test_label_images import sequence


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of two levels, whatever is asked for."""

    class Tiny(Training):
        def __init__(self, **values: object) -> None:
            super().__init__(**values | {"widths": (4, 8), "batch": 2})  # type: ignore[arg-type]

    monkeypatch.setattr(cells, "Training", Tiny)


def test_the_table_and_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = sequence(tmp_path / "PhC-C2DH-U373")
    (data / "02").symlink_to(data / "01")
    (data / "02_GT").symlink_to(data / "01_GT")
    out = tmp_path / "out"
    cells.main(data, out=out, fields="poisson,distance", steps=2, patch=32, held=1)
    lines = capsys.readouterr().out.splitlines()
    header = next(n for n, line in enumerate(lines) if line.startswith("field"))
    names = [" ".join(line.split("  ")[0].split()) for line in lines[header + 1 : header + 5]]
    assert names == [
        "PhC-C2DH-U373, poisson",
        "PhC-C2DH-U373, distance",
        "PhC-C2DH-U373, diffusion, paper",
        "PhC-C2DH-U373, poisson, paper",
    ]
    assert "0.945" in lines[header + 4]
    assert "0.930" in lines[header + 4]
    for field in ("poisson", "distance"):
        segmenter = load_segmenter(out / field / "best.pt")
        assert segmenter.target == field
        assert segmenter.sources[0]["samples"] == 3
        chosen = f"{segmenter.decoding.epsilon:g}, {segmenter.decoding.h:g}"
        ours = next(line for line in lines if line.startswith(f"PhC-C2DH-U373, {field} "))
        assert chosen in ours
        scores = json.loads((out / field / "evaluation/metrics.json").read_text())
        for value in (scores["summary"]["iou"]["mean"], scores["pooled"]["rq"]):
            assert f"{value:.3f}" in ours
    with Image.open(out / "cells.png") as image:
        assert image.size == (4 * cells.SIDE, 3 * cells.SIDE)
        shown = np.asarray(image)
    truth = shown[:60, cells.SIDE : cells.SIDE + 70].astype(int)
    assert np.ptp(truth, axis=-1).max() > 40  # instances are in colour
    assert np.ptp(shown[:, : cells.SIDE].astype(int), axis=-1).max() == 0


def test_what_is_learned_and_what_is_tested(tmp_path: Path) -> None:
    sets = tmp_path / "nuclei"
    folder(sets, count=1)
    learned, tested, tuned, name = cells.parts(sets, "A172")
    assert (learned, tested) == tuple(
        f"folder-instances:{sets},part={part}" for part in ("train", "test")
    )
    assert (tuned, name) == (f"folder-instances:{sets},part=validation", "nuclei")
    with pytest.raises(InputError, match="Name the data with --train and --test"):
        cells.parts(tmp_path, "A172")


def test_cells_that_are_not_in_the_training_file(tmp_path: Path) -> None:
    outline = {"segmentation": [[2, 2, 9, 2, 9, 9, 2, 9]], "area": 49, "iscrowd": 0}
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(tmp_path / "MCF7_1.tif")
    image = {"id": 1, "file_name": "MCF7_1.tif", "height": 16, "width": 16}
    content = {"images": [image], "annotations": [outline | {"id": 1, "image_id": 1}]}
    for part in ("train", "test"):
        (tmp_path / f"livecell_coco_{part}.json").write_text(json.dumps(content))
    trained = f"livecell:{tmp_path},part=train"
    assert cells.parts(tmp_path, "A172")[:2] == (
        trained,
        f"livecell:{tmp_path},part=test,cells=A172",
    )
    assert cells.parts(tmp_path, "MCF7")[0] == f"{trained},cells=MCF7"


def test_the_recipe_of_the_paper_and_settings_on_top(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Training] = []

    def stop(config: Training, *_: object) -> str:
        asked.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr(cells, "Training", Training)
    monkeypatch.setattr(cells, "learn", stop)
    data = folder(tmp_path / "nuclei", count=2)
    given = {"train_": f"folder-instances:{data}", "test": f"folder-instances:{data}"}
    for more in ({}, {"paper": True}, {"paper": True, "set_": ["widths=[8,16]", "clip=1"]}):
        with pytest.raises(KeyboardInterrupt):
            cells.main(None, out=tmp_path / "out", **given, **more)
    plain, paper, changed = asked
    assert (plain.model, plain.learning_rate) == ("unet", 3e-3)
    assert (paper.model, paper.widths) == ("ma-unet", (96, 192, 384, 768, 1536))
    assert (paper.learning_rate, paper.weight_decay) == (1e-4, 1e-5)
    assert (paper.schedule, paper.warm_up, paper.final_rate) == ("cosine", 0.05, 0.01)
    assert paper.criterion == "l1"
    assert (changed.widths, changed.clip) == ((8, 16), 1)
    assert changed.learning_rate == 1e-4


def test_figures_of_the_paper() -> None:
    assert cells.PAPER["A172"][1][2] == 0.6794
    for diffusion, poisson in cells.PAPER.values():
        for iou, dice, *_ in (diffusion, poisson):
            # Dice = 2 IoU / (1 + IoU) is concave: its mean is below that of the mean IoU.
            assert 0 < 2 * iou / (1 + iou) - dice < 0.025
