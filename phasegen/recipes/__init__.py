"""Microstructures a materials scientist would name: an equation, a heat treatment, a mask rule."""

from difflib import get_close_matches

from phasegen.errors import InputError
from phasegen.recipes.dendrites import RECIPE as DENDRITES
from phasegen.recipes.dual_phase import RECIPE as DUAL_PHASE
from phasegen.recipes.eutectic import RECIPE as EUTECTIC
from phasegen.recipes.gamma_prime import RECIPE as GAMMA_PRIME
from phasegen.recipes.gamma_prime_rafted import RECIPE as GAMMA_PRIME_RAFTED
from phasegen.recipes.grains import RECIPE as GRAINS
from phasegen.recipes.porous import RECIPE as POROUS
from phasegen.recipes.precipitates import RECIPE as PRECIPITATES
from phasegen.recipes.recipe import Microstructure, Recipe
from phasegen.recipes.spinodal import RECIPE as SPINODAL

__all__ = ["RECIPES", "Microstructure", "Recipe", "find"]

RECIPES: dict[str, Recipe] = {
    r.name: r
    for r in (
        GAMMA_PRIME,
        GAMMA_PRIME_RAFTED,
        SPINODAL,
        PRECIPITATES,
        POROUS,
        EUTECTIC,
        DENDRITES,
        GRAINS,
        DUAL_PHASE,
    )
}


def find(name: str) -> Recipe:
    """The recipe of that name.

    Raises
    ------
    InputError
        If there is none; the nearest name is suggested.
    """
    if name in RECIPES:
        return RECIPES[name]
    near = get_close_matches(name, RECIPES, n=1)
    remedy = f"Did you mean {near[0]!r}" if near else f"Known recipes: {', '.join(RECIPES)}"
    raise InputError(f"recipe {name!r}", "is unknown", remedy)
