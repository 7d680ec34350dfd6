"""Cross-validation on steel: every image is predicted by what has not seen it."""

import sys

import numpy as np
import pytest
from PIL import Image

from examples import uhcs
from examples.uhcs import CLASSES, fold_iou, folds, rows, run
from phasegen.errors import InputError
from phasegen.images import read_mask
from segtrain.predict import load_segmenter


@pytest.fixture
def data(tmp_path):
    """A folder laid out like uhcs_steel: grey values tell the four classes apart."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "steel"
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    lines = ["name,split"]
    for number in range(4):
        mask = np.kron(rng.integers(0, 4, (9, 10)), np.ones((16, 16), int)).astype(np.uint8)
        grey = (60 * mask + rng.integers(0, 20, mask.shape)).astype(np.uint8)
        Image.fromarray(mask).save(folder / "masks" / f"s{number}.png")
        Image.fromarray(grey).save(folder / "images" / f"s{number}.png")
        lines.append(f"s{number}.tif,{number // 2}")
    (folder / "split_cv.csv").write_text("\n".join(lines))
    return folder


def test_both_methods_by_the_command(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(uhcs, "TREES", 5)
    work = tmp_path / "work"
    arguments = ["uhcs.py", str(data), str(work), "--steps", "1", "--batch", "2"]
    monkeypatch.setattr(sys, "argv", arguments)
    uhcs.main()
    printed = capsys.readouterr().out
    table = [line.split() for line in printed.splitlines()]
    assert [line[:2] for line in table[1:]] == [["unet", "2"], ["forest", "2"]]
    # Grey values alone tell the classes apart, which a forest sees at once.
    assert float(table[2][2]) > 0.9
    segmenter = load_segmenter(work / "fold0" / "run" / "best.pt")
    assert segmenter.classes == CLASSES
    seen = sorted(path.name for path in (work / "fold0" / "images").iterdir())
    assert seen == ["s2.png", "s3.png"]
    assert (work / "forest-1.png").exists()
    assert segmenter.sources[0]["path"] == str(work / "fold0/images")
    trained = (work / "fold0/run/best.pt").stat().st_mtime_ns
    again = [*arguments, "--methods", "unet"]
    monkeypatch.setattr(sys, "argv", again)
    uhcs.main()
    # What is done is not done again: scores and time are those of the first call.
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == table[:2]
    assert (work / "fold0/run/best.pt").stat().st_mtime_ns == trained
    for change in (["--steps", "2"], ["--seed", "1"], ["--loss", "ce-dice"]):
        monkeypatch.setattr(sys, "argv", [*again, *change])
        with pytest.raises(InputError, match="run"):
            uhcs.main()


def test_no_fold_learns_from_its_test_images(data, tmp_path):
    asked = []

    def method(_fold):
        def predict(training, test):
            asked.append(({p[0].stem for p in training}, {p[0].stem for p in test}))
            return [read_mask(mask) for _, mask in test], 1.0

        return predict

    results = run(data, tmp_path / "work", {"oracle": method})
    assert asked == [({"s2", "s3"}, {"s0", "s1"}), ({"s0", "s1"}, {"s2", "s3"})]
    assert results["oracle"][0]["iou"] == [1, 1, 1, 1]
    ((name, count, *cells),) = rows(results)
    assert (name, count, cells[0]) == ("oracle", "2", "1.000 ± 0.000")


def test_iou_of_a_fold_is_of_all_its_pixels():
    """The mean of the images would be (1 + 1/3) / 2 = 2/3 for the first class."""
    truth = [np.array([[0, 0, 0, 0]]), np.array([[0, 0, 1, 1]])]
    found = [np.array([[0, 0, 0, 0]]), np.array([[0, 1, 1, 0]])]
    iou = fold_iou([one.astype(np.uint8) for one in found], [one.astype(np.uint8) for one in truth])
    np.testing.assert_allclose(iou[:2], [5 / 7, 1 / 3])


def test_images_that_are_missing(data):
    (data / "split_cv.csv").write_text("name,split\nabsent.tif,0\n")
    with pytest.raises(InputError, match="has no absent"):
        folds(data)
    (data / "split_cv.csv").unlink()
    with pytest.raises(InputError, match=r"split_cv\.csv: does not exist"):
        folds(data)
