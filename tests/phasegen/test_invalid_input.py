"""What cannot be simulated is refused: the parameter is named, and what to do about it."""

import numpy as np
import pytest

from phasegen.elasticity import Cubic, Misfit
from phasegen.equations import GradientFlow
from phasegen.equations.allen_cahn import allen_cahn
from phasegen.equations.cahn_hilliard import cahn_hilliard
from phasegen.equations.eutectic import eutectic
from phasegen.equations.grain_growth import evolve, grains_from_labels
from phasegen.equations.ordered_precipitates import ordered_precipitates
from phasegen.equations.regular_solution import binodal, regular_solution
from phasegen.equations.solidification import Solidification
from phasegen.errors import InputError
from phasegen.grid import Grid
from phasegen.stepping import run

NAN, INF = float("nan"), float("inf")
NICKEL = Cubic(230.0, 150.0, 105.0)


def _run(time: float = 1.0, **control: object) -> None:
    run(cahn_hilliard(), np.full((1, 8, 8), 0.5), time, **control)


def _misfit(strain: float = 0.01, **others: object) -> None:
    Misfit(strain, NICKEL, NICKEL, **others)


def _own_flow(**changes: object) -> None:
    each = {"mobility": (1.0,), "gradient": (1.0,), "stabiliser": (1.0,)} | changes
    GradientFlow(("c",), (True,), potential=np.copyto, bulk_energy=np.sum, **each)


def _evolve(**parameters: float) -> None:
    labels = np.repeat([0, 1], 8)[None] * np.ones((8, 1), int)
    evolve(grains_from_labels(labels), **({"time": 1.0} | parameters))


CASES = [
    (_run, {"dt": 0.0}, "dt = 0 is not positive"),
    (_run, {"dt": -0.1}, "dt = -0.1 is not positive"),
    (_run, {"dt": NAN}, "dt = nan is not positive"),
    (_run, {"dt": INF}, "dt = inf is not finite"),
    (_run, {"time": -1.0}, "time = -1 is negative"),
    (_run, {"time": NAN}, "time = nan is negative or not finite"),
    (_run, {"time": INF}, "time = inf is negative or not finite"),
    (_run, {"tolerance": 0.0}, "tolerance = 0 is not positive"),
    (_run, {"tolerance": NAN}, "tolerance = nan is not positive"),
    (_run, {"relative_tolerance": -0.1}, "relative_tolerance = -0.1 is not positive"),
    (_run, {"temperature": NAN}, "temperature = nan makes no fluctuations"),
    (_run, {"temperature": INF, "rng": np.random.default_rng(0)}, "temperature = inf"),
    (_run, {"dtype": "float16"}, "precision 'float16' is unknown"),
    (_run, {"spacing": INF}, "spacing = inf is not finite"),
    (Grid, {"shape": (8, 0)}, r"shape \(8, 0\) holds no cells"),
    (Grid, {"shape": (8, 8), "dtype": "int32"}, "precision 'int32' is unknown"),
    (Grid, {"shape": (8, 8), "spacing": NAN}, "spacing = nan is not positive"),
    (_misfit, {"strain": NAN}, "strain = nan is not finite"),
    (_misfit, {"angle": INF}, "angle = inf is not finite"),
    (_misfit, {"scale": NAN}, "scale = nan is not finite"),
    (_misfit, {"scale": -1.0}, "scale = -1 is negative"),
    (_misfit, {"stress": (0.0, NAN, 0.0)}, "stress along y = nan is not finite"),
    (_misfit, {"stress": (1.0, 2.0)}, "has 2 components"),
    (Cubic, {"c11": INF, "c12": 1.0, "c44": 1.0}, "C11 - C12 = inf is not finite"),
    (Cubic, {"c11": 2.0, "c12": 1.0, "c44": NAN}, "C44 = nan is not positive"),
    (_own_flow, {"mobility": (-1.0,)}, r"mobility = \(-1.0,\) is negative"),
    (_own_flow, {"gradient": (NAN,)}, r"gradient = \(nan,\) is negative or not finite"),
    (_own_flow, {"stabiliser": (1.0, 1.0)}, "stabiliser has 2 entries for 1 field"),
    (cahn_hilliard, {"low": 0.7, "high": 0.3}, "high - low = -0.4 is not positive"),
    (cahn_hilliard, {"barrier": INF}, "barrier = inf is not finite"),
    (regular_solution, {"lengths": (1.0,)}, r"lengths = \(1.0,\) are no segments"),
    (regular_solution, {"lengths": (0.0, 1.0)}, "are no segments per molecule"),
    (regular_solution, {"lengths": (1.0, -2.0)}, "are no segments per molecule"),
    (regular_solution, {"lengths": (1.0, NAN)}, "are no segments per molecule"),
    (regular_solution, {"interaction": NAN}, "interaction = nan makes no two phases"),
    (regular_solution, {"interaction": INF}, "interaction = inf makes no two phases"),
    (binodal, {"interaction": 2.5, "lengths": (0.5, 1.0)}, "are no segments per molecule"),
    (eutectic, {"driving_force": NAN}, "driving_force = nan is not positive"),
    (allen_cahn, {"drive": NAN}, "drive = nan is more than a fifth"),
]
FACTORIES = {
    cahn_hilliard: {},
    regular_solution: {},
    allen_cahn: {},
    ordered_precipitates: {},
    eutectic: {"driving_force": 0.1},
    _evolve: {},
}
CASES += [(f, given | {"mobility": -1.0}, "mobility = -1 ") for f, given in FACTORIES.items()]
CASES += [(f, given | {"mobility": NAN}, "mobility = nan ") for f, given in FACTORIES.items()]
# The size that would do is named.
CASES += [
    (cahn_hilliard, {"gradient": 0.25}, "spacing of 0.518, or raise the gradient to 0.932"),
    (allen_cahn, {"gradient": 0.25}, "spacing of 0.518, or raise the gradient to 0.932"),
    (ordered_precipitates, {"gradient": 0.25}, "raise the gradient to 0.932"),
    (eutectic, {"driving_force": 0.1, "gradient": 0.25}, "raise the gradient to 0.932"),
    (regular_solution, {"gradient": 0.1}, "spacing of .*, or raise the gradient to"),
    (_evolve, {"width": 2.0}, "Make it 5 or wider"),
    (Solidification, {"spacing": 2.0}, "Choose a spacing up to 1.04"),
]


@pytest.mark.parametrize(("use", "given", "message"), CASES)
def test_what_cannot_be_simulated_is_refused(use, given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        use(**given)
    assert caught.value.remedy


@pytest.mark.parametrize("build", [cahn_hilliard, regular_solution, allen_cahn])
def test_the_spacing_and_the_gradient_that_would_do_are_accepted(build) -> None:
    with pytest.raises(InputError) as caught:
        build(gradient=0.3)
    words = caught.value.remedy.replace(",", "").split()
    spacing, gradient = float(words[words.index("of") + 1]), float(words[-1])
    build(gradient=0.3, spacing=spacing * 0.998)
    build(gradient=gradient * 1.005)
    for still in ({"gradient": 0.3, "spacing": spacing * 1.01}, {"gradient": gradient * 0.98}):
        with pytest.raises(InputError, match="too thin"):
            build(**still)


def test_nothing_happens_in_no_time() -> None:
    u = np.random.default_rng(0).random((1, 8, 8))
    np.testing.assert_array_equal(run(cahn_hilliard(), u, 0.0), u)


def test_a_mobility_that_turns_negative_is_refused_where_it_does():
    flow = cahn_hilliard(gradient=2.0, relative_mobility=lambda c: 4 * c * (1 - c))
    u = 0.5 + np.random.default_rng(0).uniform(-0.8, 0.8, (1, 16, 16))
    with pytest.raises(InputError, match=r"relative mobility: is negative, .*np\.clip"):
        run(flow, u, 1.0)
