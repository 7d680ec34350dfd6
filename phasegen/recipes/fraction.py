"""A volume fraction that is met, not only aimed at."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from phasegen.errors import InputError

PASSES, ACCURACY = 4, 0.003
"""Largest number of runs, and the error that is good enough."""

TOLERANCE = 0.1
"""Error beyond which the fraction was not met: in a box of a few particles it comes in steps."""


def with_fraction(
    name: str, share: float, run: Callable[[float], NDArray[np.float32]], excess: float = 0.0
) -> NDArray[np.float32]:
    """What `run` makes of the mean concentration whose outcome has the volume fraction `share`.

    Curved interfaces raise or lower the concentration of both phases (Gibbs and Thomson), and so
    hold solute that the volume fraction lacks: how much is known after a run, and then made up
    for.

    Parameters
    ----------
    name : str
        The parameter that asks for the fraction.
    share : float
        Wanted fraction of the cells above 0.5.
    run : callable
        ``run(mean)``: concentration that evolves from a state with that mean.
    excess : float
        First guess of the mean less the fraction.

    Raises
    ------
    InputError
        If the fraction is missed by more than `TOLERANCE` in the end.
    """
    best, least = np.empty(0, np.float32), math.inf
    for _ in range(PASSES):
        u = run(share + excess)
        error = share - float((u > 0.5).mean())
        if abs(error) < abs(least):
            best, least = u, error
        if abs(error) < ACCURACY:
            break
        excess += error
    if abs(least) > TOLERANCE:
        raise InputError(
            f"{name} = {share:.3g}",
            f"{share - least:.3g} came out of {PASSES} runs on {best.shape[1:]} grid cells",
            "Simulate a larger size, in which more particles balance out, or choose a fraction "
            "nearer to the default range",
        )
    return best
