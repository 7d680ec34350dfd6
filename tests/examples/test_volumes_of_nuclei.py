from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from examples import volumes_of_nuclei
from phasegen.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three embryos at two times: balls in noise."""
    rng = np.random.default_rng(0)
    data, names = tmp_path / "nuclei", []
    for kind in ("images", "labels"):
        (data / kind).mkdir(parents=True)
    grid = np.stack(np.meshgrid(*[np.arange(16)] * 3, indexing="ij"))
    for embryo in ("A", "B", "C"):
        for time in (1, 2):
            labels = np.zeros((16, 16, 16), np.uint16)
            for number, centre in enumerate([(4, 4, 4), (11, 4, 11), (8, 11, 5)], start=1):
                offset = grid - np.reshape(centre, (3, 1, 1, 1))
                labels[np.linalg.norm(offset, axis=0) < 3.5] = number
            image = (1000 * (labels > 0) + rng.integers(0, 200, labels.shape)).astype(np.uint16)
            names.append(f"{embryo}_{time}")
            for kind, array in (("images", image), ("labels", labels)):
                tifffile.imwrite(data / kind / f"{names[-1]}.tif", array)
    (data / "manifest.csv").write_text("id,z\n" + "".join(f"{name},16\n" for name in names))
    return data


def test_an_embryo_is_learned_from_or_tested_on(folder: Path, tmp_path: Path) -> None:
    volumes_of_nuclei.arrange(folder, tmp_path / "out", ["B"])
    for kind in ("images", "labels"):
        names = {
            part: {path.name for path in (tmp_path / "out" / part / kind).iterdir()}
            for part in ("train", "test")
        }
        assert names["test"] == {"B_1.tif", "B_2.tif"}
        assert names["train"] == {"A_1.tif", "A_2.tif", "C_1.tif", "C_2.tif"}


def test_another_division_leaves_nothing_of_the_first(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes_of_nuclei.arrange(folder, tmp_path / "out", ["B"])

    def refused(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(Path, "symlink_to", refused)  # as on Windows
    volumes_of_nuclei.arrange(folder, tmp_path / "out", ["A", "C"])
    for kind in ("images", "labels"):
        names = {
            part: {path.name for path in (tmp_path / "out" / part / kind).iterdir()}
            for part in ("train", "test")
        }
        assert names["train"] == {"B_1.tif", "B_2.tif"}
        assert names["test"] == {"A_1.tif", "A_2.tif", "C_1.tif", "C_2.tif"}
        for path in (tmp_path / "out").glob(f"*/{kind}/*"):
            assert path.read_bytes() == (folder / kind / path.name).read_bytes()


@pytest.mark.parametrize(
    ("held", "problem"), [("D", "names 'D'"), ("A,B,C", "no embryo to learn from")]
)
def test_embryos_that_cannot_be_held_out(
    folder: Path, tmp_path: Path, held: str, problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        volumes_of_nuclei.main(folder, tmp_path / "out", held=held)


def test_a_manifest_is_needed(folder: Path, tmp_path: Path) -> None:
    (folder / "manifest.csv").write_text("name\nA_1\n")
    with pytest.raises(InputError, match="names no volumes"):
        volumes_of_nuclei.main(folder, tmp_path / "out")
    (folder / "manifest.csv").unlink()
    with pytest.raises(InputError, match="does not exist"):
        volumes_of_nuclei.main(folder, tmp_path / "out")


def test_the_scores_and_the_picture(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(volumes_of_nuclei, "PATCH", (8, 8, 8))
    out = tmp_path / "out"
    # Three volumes are held out of four to choose the decoding by.
    volumes_of_nuclei.main(folder, out, held="C", spacing="2:1:1", widths="4,8", steps=4)
    printed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert printed == ["volume", "C_1.tif", "C_2.tif", "mean", "all"]
    assert (out / "evaluation" / "report.html").exists()
    with Image.open(out / "nuclei.png") as image:
        assert image.size == (3 * 256, 2 * 256)
