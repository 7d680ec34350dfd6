import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "examples" / "own_free_energy.py"


def test_both_phases_of_the_energy_are_in_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", [str(SCRIPT), str(tmp_path / "picture.png")])
    runpy.run_path(str(SCRIPT))
    with Image.open(tmp_path / "picture.png") as image:
        grey = np.array(image)
    assert grey.shape == (192, 192)
    assert (grey < 25).mean() > 0.3
    assert (grey > 230).mean() > 0.2
