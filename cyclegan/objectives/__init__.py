"""The learned methods: one loop trains them all, they differ by an objective."""

from cyclegan.objectives.cut import CUT
from cyclegan.objectives.cyclegan import CycleGAN
from cyclegan.objectives.objective import Objective

OBJECTIVES: dict[str, type[Objective]] = {"cyclegan": CycleGAN, "cut": CUT}
