"""What a recipe's model does not hold for is refused before anything runs: by name, with limits."""

from typing import Any

import numpy as np
import pytest

from cli import common
from cli.phasegen import app
from phasegen.config import Config
from phasegen.errors import InputError
from phasegen.recipes import RECIPES, find, precipitates
from phasegen.recipes.fraction import PASSES, with_fraction

Setting = dict[str, Any]

INVALID: dict[str, list[tuple[Setting, str]]] = {
    "spinodal": [
        ({"composition": 0.01}, r"composition = 0\.01: must be from 0\.3 to 0\.7: .* spinodal"),
        ({"composition": [0.4, 0.75]}, r"composition = \[0\.4, 0\.75\]: must be from 0\.3 to 0\.7"),
        ({"fluctuation": 0}, r"fluctuation = 0: must be more than 0"),
        ({"fluctuation": 3}, r"fluctuation = 3: must be at most 0\.5"),
        ({"time": 0.1}, r"time = 0\.1 is too short: .*; make it that or longer"),
        ({"composition": 0.3, "time": 20}, r"time = 20 .* grows by a factor of e in 29\.6"),
        ({"magnification": 0.4}, r"magnification = 0\.4: must be at least 1"),
    ],
    "precipitates": [
        ({"volume_fraction": 0.6}, r"volume_fraction = 0\.6: must be at most 0\.4: .* network"),
        ({"nuclei": 4}, r"nuclei = 4: must be at least 8\.8: .* two interfaces"),
        ({"diameter": 3}, r"diameter = 3: must be at least 8\.8"),
        ({"diameter": 10}, r"diameter = 10 is below nuclei = 11, .* make it 11 or more"),
    ],
    "porous": [
        ({"particle": 3}, r"particle = 3: must be at least 13\.2: .* three interfaces"),
        ({"porosity": 0.9}, r"porosity = 0\.9: must be from 0\.02 to 0\.6: .* touch"),
        ({"porosity": 0.001}, r"porosity = 0\.001: must be from 0\.02"),
        ({"sintering": 30}, r"sintering = 30: must be at most 1: nothing is left of the powder"),
    ],
    "gamma-prime": [
        ({"volume_fraction": 0.95}, r"volume_fraction = 0\.95: must be from 0\.05 to 0\.75"),
        ({"nucleus_spacing": 0.1}, r"nucleus_spacing = 0\.1: must be at least 4\.4"),
        ({"nucleus_radius": 1}, r"nucleus_radius = 1: must be at least 2\.2"),
        ({"tertiary_radius": 1}, r"tertiary_radius = 1: must be at least 2\.2"),
        ({"tertiary_spacing": 1}, r"tertiary_spacing = 1: must be at least 4\.4"),
        ({"cluster": 1}, r"cluster = 1: must be at least 4\.4"),
        ({"free_zone": 100}, r"free_zone = 100: must be at most 25"),
    ],
    "gamma-prime-rafted": [
        ({"stress": 1e6}, r"stress = 1000000\.0: must be from -1000 to 1000: .* yields"),
        ({"misfit": 3}, r"misfit = 3: must be from -0\.5 to 0\.5: .* coherency"),
        ({"volume_fraction": 0.1}, r"volume_fraction = 0\.1: must be from 0\.4 to 0\.8"),
        ({"spacing": 5}, r"spacing = 5: must be at least 12: .* two interfaces"),
        ({"rafting": 5}, r"rafting = 5: must be at most 1: it is a share"),
    ],
    "grains": [
        ({"groove": 20}, r"groove = 20 pixels is wider .* less than 9\.8, or magnification more"),
        ({"grain_size": 4}, r"grain_size = 4: must be at least 14: .* all boundary"),
        ({"growth": 50}, r"growth = 50 to a grain_size of 18 .* make it 3\.6 or less"),
        ({"channelling": 2}, r"channelling = 2: must be at most 0\.45"),
    ],
    "dual-phase": [
        ({"martensite": 0.95}, r"martensite = 0\.95: must be at most 0\.8"),
        ({"island_size": 1}, r"island_size = 1: must be at least 3\.9"),
        ({"island_size": 40}, r"island_size = 40 is not below grain_size = 18"),
        ({"wetting": 50}, r"wetting = 50 exceeds island_size = 7, .* make it 7 or less"),
        ({"grain_size": 4}, r"grain_size = 4: must be at least 14"),
        ({"groove": 20}, r"groove = 20 pixels is wider than the boundaries"),
        ({"laths": 0.6}, r"laths = 0\.6: must be at most 0\.49"),
    ],
    "eutectic": [
        ({"undercooling": 1.2}, r"undercooling = 1\.2: must be between 0 and 1"),
        ({"volume_fraction": 0}, r"volume_fraction = 0: must be more than 0"),
        ({"colony_spacing": -3}, r"colony_spacing = -3: must be more than 0"),
    ],
    "dendrites": [
        ({"anisotropy": 0.07}, r"anisotropy = 0\.07: must be below 1/15"),
        ({"undercooling": 1.2}, r"undercooling = 1\.2: must be between 0 and 1"),
        ({"grain_spacing": 0}, r"grain_spacing = 0: must be more than 0"),
    ],
}

CASES = [(name, *case) for name in RECIPES for case in INVALID[name]]


@pytest.mark.parametrize(("name", "given", "says"), CASES)
def test_what_the_model_does_not_hold_for_is_refused(name: str, given: Setting, says: str) -> None:
    with pytest.raises(InputError, match=says):
        find(name).ranges.load(**given)


@pytest.mark.parametrize(("name", "given", "says"), CASES)
def test_the_command_refuses_it_too_and_leaves_nothing_behind(
    tmp_path, monkeypatch, capsys, name: str, given: Setting, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = [f"parameters.{key}={value}" for key, value in given.items()]
    with pytest.raises(SystemExit) as stop:
        common.run(app, ["simulate", name, *(w for s in settings for w in ("--set", s))])
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert any(f"{key} = " in error for key in given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", RECIPES)
def test_the_ends_of_the_default_ranges_hold(name: str) -> None:
    ranges = find(name).ranges
    for end in (0, 1):
        corner = {key: bounds[end] for key, bounds in ranges().ranges().items()}
        assert isinstance(ranges.load(**corner), Config)


@pytest.mark.parametrize(
    ("name", "parameter", "size"),
    [
        ("grains", "grain_size", 100),
        ("dual-phase", "grain_size", 100),
        ("precipitates", "diameter", 100),
        ("porous", "particle", 100),
        ("gamma-prime-rafted", "spacing", 100),
    ],
)
def test_a_box_must_hold_one(name: str, parameter: str, size: float) -> None:
    recipe = find(name)
    given = recipe.ranges().draw(np.random.default_rng(0)) | {parameter: size, "magnification": 2.0}
    needed = int(np.ceil(2 * recipe.length(given)))
    recipe.require_room(given, (needed, needed + 30))
    says = rf"{parameter} = 100: .* fit into {needed - 1} pixels\. Simulate {needed} pixels or more"
    for shape in ((needed - 1, 400), (400, needed - 1), (400, needed - 1, 400)):
        with pytest.raises(InputError, match=says):
            recipe.require_room(given, shape)


def _flat(share: float) -> np.ndarray:
    return np.linspace(0, 1, 1000, dtype=np.float32)[None] > 1 - share


def test_a_fraction_is_made_up_for() -> None:
    """Every run loses a tenth of the solute, until more is given."""
    asked = []

    def run(mean: float) -> np.ndarray:
        asked.append(mean)
        return _flat(0.9 * mean).astype(np.float32)

    assert with_fraction("porosity", 0.3, run).mean() == pytest.approx(0.3, abs=0.003)
    assert len(asked) < PASSES


def test_a_fraction_that_is_missed_is_refused() -> None:
    with pytest.raises(InputError, match=r"porosity = 0\.3: 0\.1 came out of 4 runs .* larger"):
        with_fraction("porosity", 0.3, lambda mean: _flat(0.1).astype(np.float32))


def test_the_best_of_the_runs_is_taken() -> None:
    outcomes = iter((0.25, 0.29, 0.36, 0.27))
    found = with_fraction("porosity", 0.3, lambda mean: _flat(next(outcomes)).astype(np.float32))
    assert (found > 0.5).mean() == pytest.approx(0.29, abs=0.01)


def test_ripening_that_comes_to_no_end_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(precipitates, "PATIENCE", 0.1)
    p = {"magnification": 1.0, "volume_fraction": 0.2, "nuclei": 10.0, "diameter": 30.0}
    with pytest.raises(InputError, match=r"diameter = 30: more than \d+ particles were left"):
        precipitates.grow(p, (96, 96), np.random.default_rng(0))
