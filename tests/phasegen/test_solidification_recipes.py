"""The pictures of the recipes that freeze: branched crystals that own their arms, even lamellae."""

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from phasegen.equations import Array
from phasegen.equations.solidification import Melt
from phasegen.errors import InputError
from phasegen.masks import label_periodic
from phasegen.recipes import dendrites, eutectic

DENDRITES = {"magnification": 1.0, "undercooling": 0.6, "anisotropy": 0.055}


def _dendrites(
    monkeypatch: pytest.MonkeyPatch, side: int, seed: int, **parameters: float
) -> tuple[Array, Array, list[Array], list[Array]]:
    """Mask and instances, and the sites and orientations of the crystals as they were put in."""
    sites: list[Array] = []
    turned: list[Array] = []

    def add(model: Any, melt: Melt, at: Array, radius: float, orientation: Array) -> Melt:
        sites.extend(at)
        turned.extend(orientation)
        return add_crystals(model, melt, at, radius, orientation)

    add_crystals = dendrites.add_crystals
    monkeypatch.setattr(dendrites, "add_crystals", add)
    rng = np.random.default_rng(seed)
    _, mask, instance, _ = dendrites.grow(DENDRITES | parameters, (side, side), rng)
    monkeypatch.setattr(dendrites, "add_crystals", add_crystals)
    return mask, instance, sites, turned


def test_crystals_own_their_arms_which_point_along_their_axes(monkeypatch) -> None:
    """One number in each connected crystal, and arms where the orientation it was given says."""
    side = 200
    given = {"grain_spacing": 90.0, "solidified": 0.25}
    mask, instance, sites, turned = _dendrites(monkeypatch, side, 1, **given)
    crystals = label_periodic(mask > 0)
    assert len(sites) == crystals.max() == instance.max() > 2
    for site, (cosine, sine) in zip(sites, turned, strict=True):
        y, x = np.floor(site).astype(int) % side
        crystal = crystals == crystals[y, x]
        assert len(np.unique(instance[crystal])) == 1
        offset = (np.argwhere(crystal) - site + side / 2) % side - side / 2
        # Far cells are those of the arms; the fourth harmonic of their angle is that of the axes.
        fourth = ((offset[:, 1] + 1j * offset[:, 0]) ** 4).sum()
        assert (fourth * (cosine - 1j * sine)).real > 0.8 * abs(fourth)


def _roughness(mask: Array) -> float:
    """Perimeter squared over 4 pi times the area of a periodic mask: 1 for one disc."""
    edges = sum((mask != np.roll(mask, 1, axis)).sum() for axis in (0, 1))
    return float((np.pi / 4 * edges) ** 2 / (4 * np.pi * mask.sum()))


def test_noise_makes_the_sides_branch(monkeypatch) -> None:
    """The same crystal twice; without noise its four arms are nearly smooth."""
    given = {"grain_spacing": 400.0, "solidified": 0.5}
    branched = _roughness(_dendrites(monkeypatch, 240, 0, **given)[0])
    monkeypatch.setattr(dendrites, "NOISE", 0.0)
    smooth = _roughness(_dendrites(monkeypatch, 240, 0, **given)[0])
    assert branched > 1.3 * smooth
    assert branched > 7


def test_crystals_lie_as_far_apart_as_asked(monkeypatch) -> None:
    numbers = []
    for seed in range(3):
        given = {"grain_spacing": 75.0, "solidified": 0.4}
        numbers.append(len(_dendrites(monkeypatch, 240, seed, **given)[2]))
    assert 240 / np.sqrt(np.mean(numbers)) == pytest.approx(75, rel=0.15)


@pytest.mark.parametrize(
    ("undercooling", "radius", "message"),
    [
        (0.01, 5.0, r"undercooling = 0\.01: allows so little solid that a nucleus takes"),
        (0.02, 1.5, r"undercooling = 0\.02: is too little: the nuclei melt again"),
        (0.2, 5.0, r"undercooling = 0\.2: makes .* in a time of 40, but .* asks for 16\.0%"),
    ],
)
def test_dendrites_that_do_not_grow_are_refused(monkeypatch, undercooling, radius, message) -> None:
    monkeypatch.setattr(dendrites, "RADIUS", radius)
    monkeypatch.setattr(dendrites, "LONGEST", 40.0)
    given = {"grain_spacing": 100.0, "solidified": 0.8, "undercooling": undercooling}
    with pytest.raises(InputError, match=message):
        _dendrites(monkeypatch, 80, 0, **given)


def _eutectic(side: int, seed: int, **ranges: float) -> tuple[dict[str, float], Array]:
    rng = np.random.default_rng(seed)
    p = eutectic.Ranges.load(magnification=1.0, **ranges).draw(rng)
    return p, eutectic.grow(p, (side, side), rng)[1]


def _widest(phase: Array) -> float:
    """Diameter of the largest disc that fits into a phase of a periodic picture: n of n cells."""
    rim = [(n // 2, n // 2) for n in phase.shape]
    distance = ndimage.distance_transform_edt(np.pad(phase, rim, mode="wrap"))
    inside = tuple(slice(n // 2, n // 2 + n) for n in phase.shape)
    return float(2 * distance[inside].max() - 1)


@pytest.mark.parametrize("ageing", [0.0, 30.0])
def test_no_lamella_is_much_wider_than_the_others(ageing: float) -> None:
    for seed in range(3):
        p, mask = _eutectic(224, seed, ageing_time=ageing, colony_spacing=90.0)
        widths = eutectic.RECIPE.length(p) * np.array(
            [1 - p["volume_fraction"], p["volume_fraction"]]
        )
        for phase, width in enumerate(widths):
            assert _widest(mask == phase) < 1.5 * width


def test_eutectic_that_does_not_freeze_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(eutectic, "LONGEST", 20.0)
    with pytest.raises(
        InputError, match=r"undercooling = 0\.3 leaves .* liquid after a time of 20"
    ):
        _eutectic(96, 0, undercooling=0.3)
