"""A film shows one run: the same specimen at later and later times."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from phasegen import campaign, movie
from phasegen.contact_sheet import GAP
from phasegen.errors import InputError

GIVEN = {"magnification": 1.0, "time": (100, 800)}


@pytest.fixture(scope="module")
def film():
    return list(movie.frames("spinodal", 64, seed=3, count=4, **GIVEN))


def test_frames_are_the_microstructures_of_their_times(film):
    drawn = campaign.simulate("spinodal", 64, seed=3, **GIVEN).parameters
    for picture, time in zip(film, (100, 200, 400, 800), strict=True):
        grown = campaign.simulate("spinodal", 64, seed=3, **drawn | {"time": time})
        np.testing.assert_allclose(picture[:64, :64, 0], 255 * grown.phase, atol=1)


def test_neighbouring_frames_show_the_same_specimen(film):
    greys = [picture[:64, :64, 0].ravel().astype(float) for picture in film]
    for before, after in pairwise(greys):
        assert np.corrcoef(before, after)[0, 1] > 0.6
    other = next(movie.frames("spinodal", 64, seed=4, count=4, **GIVEN))
    assert np.corrcoef(greys[0], other[:64, :64, 0].ravel())[0, 1] < 0.3


def test_a_recipe_whose_beginning_would_change_is_not_filmed_unasked():
    with pytest.raises(InputError, match=r"grains has no parameter that changes one specimen"):
        next(movie.frames("grains", 64))


def test_a_film_is_an_animation_or_a_folder_of_pictures(film, tmp_path):
    movie.write(tmp_path / "deep" / "a.gif", iter(film))
    with Image.open(tmp_path / "deep" / "a.gif") as animation:
        assert (animation.n_frames, animation.size) == (4, (64 + 2 * GAP, 2 * (64 + GAP) + GAP))
        animation.seek(3)
        shown = np.asarray(animation.convert("RGB")).astype(int)
    assert np.abs(shown - film[3]).mean() < 4
    movie.write(tmp_path / "b", iter(film))
    names = [f"00{n}.png" for n in range(4)]
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == names
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "b" / "002.png")), film[2])


def test_any_parameter_can_be_filmed_and_nothing_else():
    pictures = list(movie.frames("spinodal", 64, over="magnification", count=2, time=60))
    assert len(pictures) == 2
    for over, message in (("tme", "no parameter 'tme'.*magnification"), ("time", "no range")):
        with pytest.raises(InputError, match=message):
            next(movie.frames("spinodal", 64, over=over, time=60))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"a\.mp4: is no film"):
        movie.write(tmp_path / "a.mp4", iter([]))


def test_settings_of_a_film_are_those_it_uses(film):
    given = ["parameters.magnification=1", "parameters.time=[1e2, 8e2]", "count=4", "seed=3"]
    settings = movie.Film.load(None, given, recipe="spinodal", shape=64)
    for picture, again in zip(film, settings.frames(), strict=True):
        np.testing.assert_array_equal(picture, again)


@pytest.mark.parametrize("setting", ["microscope.blur=3", "samples=3", "slice=2", "length=30"])
def test_settings_that_a_film_would_ignore_are_refused(setting):
    with pytest.raises(InputError, match=f"unknown key '{setting.partition('.')[0].split('=')[0]}"):
        movie.Film.load(None, [setting], recipe="spinodal")
