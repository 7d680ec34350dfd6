"""A match finds what simulated "real" images were made with, and says what a recipe lacks."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from phasegen import calibrate, match_report
from phasegen.campaign import Simulation, samples
from phasegen.coverage import Coverage
from phasegen.errors import InputError
from phasegen.images import read_micrograph, write_image
from tests.data import real

MAGNIFICATION, FRACTION = 2.0, 0.42


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Fewer and smaller pilots: the tests take images that a recipe made itself."""
    monkeypatch.setattr(calibrate, "ROUNDS", (8, 4, 8))
    monkeypatch.setattr(calibrate, "PILOT", 160)
    monkeypatch.setattr(calibrate, "PILOT_CELLS", 96)


@pytest.fixture(scope="module")
def specimen():
    """Images of gamma-prime, dark, of one magnification and fraction."""
    simulation = Simulation(
        recipe="gamma-prime",
        samples=4,
        shape=(192, 192),
        seed=11,
        parameters={"magnification": MAGNIFICATION, "volume_fraction": FRACTION},
    )
    draws = zip(simulation.draws(), simulation.seeds().tolist(), strict=True)
    return [samples(simulation, [drawn], seed)[0]["image"][0] for drawn, seed in draws]


@pytest.fixture(scope="module")
def matched(specimen):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate, "ROUNDS", (8, 4, 8))
        patch.setattr(calibrate, "PILOT", 160)
        patch.setattr(calibrate, "PILOT_CELLS", 96)
        return calibrate.match(specimen, "gamma-prime")


def test_a_match_finds_what_the_images_were_made_with(matched):
    settings = matched.simulation
    low, high = settings.parameters["magnification"]
    assert low < MAGNIFICATION < high < 3 * low
    low, high = settings.parameters["volume_fraction"]
    assert low < FRACTION < high < low + 0.3
    assert settings.microscope.contrast[1] < 0
    assert settings.shape == (256, 256)
    assert "dark phase is enclosed" in matched.notes[0]
    rows = {row.name: row for row in matched.coverage}
    for name in ("wavelength", "chord_dark", "dark"):
        assert rows[name].simulated[0] < rows[name].real[1]
        assert rows[name].simulated[1] > rows[name].real[0]
        assert rows[name].inside >= 0.25
    # The campaign takes it as it is.
    assert Simulation.load(**settings.model_dump(mode="json")).resolve() == settings


def test_a_negative_turns_the_contrast(specimen, matched):
    turned = calibrate.match([1 - image for image in specimen], "gamma-prime").simulation
    dark = matched.simulation.microscope
    assert turned.microscope.contrast == (-dark.contrast[1], -dark.contrast[0])
    assert max(turned.microscope.background) + max(turned.microscope.contrast) <= 1
    # The share is that of the particles, which are the same.
    for mine, theirs in zip(
        turned.parameters["volume_fraction"],
        matched.simulation.parameters["volume_fraction"],
        strict=True,
    ):
        assert mine == pytest.approx(theirs, abs=0.08)


def test_magnified_images_magnify_the_simulation(specimen, matched):
    larger = calibrate.match(
        [ndimage.zoom(image, 2, order=1) for image in specimen], "gamma-prime"
    ).simulation
    assert larger.shape == (384, 384)
    for mine, theirs in zip(
        larger.parameters["magnification"],
        matched.simulation.parameters["magnification"],
        strict=True,
    ):
        assert mine == pytest.approx(2 * theirs, rel=0.3)


def test_the_morphology_that_a_recipe_lacks_is_named():
    y, x = np.mgrid[:200, :200]
    lamellae = np.sin(2 * np.pi * (y + 0.6 * x) / 24)
    found = calibrate.match([lamellae], "spinodal")
    rows = {row.name: row for row in found.coverage}
    assert not rows["elongation"].covered
    assert rows["elongation"].gap == "real ones reach higher"
    assert rows["elongation"].inside == 0
    assert any("boundaries run at 149 degrees" in note for note in found.notes)
    assert "sign of the contrast is left alone" in found.notes[0]
    again = calibrate.match([lamellae], "spinodal")
    assert again.simulation == found.simulation
    assert again.coverage == found.coverage


def test_gap_in_words():
    assert Coverage("noise", (0, 1), (0, 1), 1.0).gap == ""
    assert Coverage("noise", (0, 1), (0.1, 0.9), 0.5).gap == "real ones vary more"
    assert Coverage("noise", (0, 1), (0.1, 2), 0.5).gap == "real ones reach lower"
    assert Coverage("noise", (0, 1), (-0.1, 0.2), 0.5).gap == "real ones reach higher"


def test_files_of_a_match(matched, tmp_path):
    written = match_report.save(tmp_path / "new" / "match.yaml", matched)
    assert [path.name for path in written] == ["match.yaml", "match.json", "match.png"]
    assert Simulation.load(written[0]) == matched.simulation
    summary = json.loads(written[1].read_text())
    assert summary["recipe"] == "gamma-prime"
    assert set(summary["descriptors"]) == {row.name for row in matched.coverage}
    picture = np.asarray(Image.open(written[2]))
    for ink in (match_report.REAL, match_report.SIMULATED):
        assert (picture == ink).all(axis=-1).sum() > 500


def test_pilots_that_all_fail_are_an_error(specimen, monkeypatch):
    def diverge(*_):
        raise InputError("gamma-prime", "diverged", "Choose other parameters")

    monkeypatch.setattr(calibrate, "samples", diverge)
    with pytest.raises(InputError, match="diverged"):
        calibrate.match(specimen, "spinodal")


def test_large_folders_are_sampled_evenly(tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "MOST_IMAGES", 3)
    ramp = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    for number in range(7):
        write_image(tmp_path / f"{number}.png", ramp + np.uint16(number))
    assert [scene.min() for scene in calibrate.read_folder(tmp_path)] == [0, 3, 6]


@pytest.mark.slow
def test_superalloy_agrees_with_the_default_ranges(monkeypatch):
    monkeypatch.setattr(calibrate, "ROUNDS", (8, 8, 12))
    monkeypatch.setattr(calibrate, "PILOT", 256)
    monkeypatch.setattr(calibrate, "PILOT_CELLS", 192)
    folder = real("nickel_superalloy")
    names = json.loads((folder / "splits.json").read_text())["train"]
    scenes = [read_micrograph(folder / "images" / f"{name}.png").scene for name in names]
    found = calibrate.match(scenes, "gamma-prime")
    default = Simulation().resolve()
    assert found.simulation.microscope.contrast == default.microscope.contrast
    for name in ("magnification", "volume_fraction"):
        ours, theirs = found.simulation.parameters[name], default.parameters[name]
        assert max(ours[0], theirs[0]) < min(ours[1], theirs[1])
    assert np.mean([row.covered for row in found.coverage]) >= 0.6
