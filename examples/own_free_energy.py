"""Your own free energy in twenty lines: a sixth-order Landau well, quenched and drawn as a PNG.

python examples/own_free_energy.py PICTURE.png
"""

import sys

import numpy as np
from PIL import Image

from phasegen.equations import Array, GradientFlow
from phasegen.stepping import run


# f = u^2 (u^2 - 1)^2: a first-order transition, where disorder (0) and order (1) coexist.
def potential(u: Array, out: Array) -> None:
    out[:] = 2 * u * (u * u - 1) * (3 * u * u - 1)


def energy(u: Array) -> float:
    return float((u * u * (u * u - 1) ** 2).sum(dtype=float))


flow = GradientFlow(
    names=("order",),
    conserved=(True,),
    mobility=(1.0,),
    gradient=(2.0,),
    stabiliser=(5.0,),  # half the largest f'', or a little more
    potential=potential,
    bulk_energy=energy,
)
start = 0.45 + 0.05 * np.random.default_rng(0).standard_normal((1, 192, 192))
order = run(flow, start, time=300.0)[0]
picture = Image.fromarray(np.uint8(np.clip(255 * order, 0, 255)))
picture.save(sys.argv[1] if len(sys.argv) > 1 else "own_free_energy.png")
