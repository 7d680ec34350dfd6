"""CycleGAN: two generators, each of which undoes the other."""

import torch
from torch import Tensor

from cyclegan import losses
from cyclegan.batches import Batch
from cyclegan.networks import Generator
from cyclegan.objectives.objective import Objective
from cyclegan.settings import Translation

LEVEL = 1 / 255
"""Standard deviation of noise that no eye sees: a grey level of an 8-bit image."""

FEW = 2
"""Patches that tell it: two times 65 536 pixels are many."""


class CycleGAN(Objective):
    """Zhu, Park, Isola and Efros, ICCV 2017, equation (2) and the identity loss of section 5.2."""

    domains = ("real", "sim")

    def __init__(self, config: Translation) -> None:
        super().__init__(config)
        self.to_sim = Generator(config.width, config.blocks, config.bound)

    def forward(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Fakes of both domains, and the weighted cycle and identity losses."""
        sim, real = batch.sim, batch.real
        terms = {}
        # One pass for the fakes and the identity; an unweighted identity costs nothing.
        keep = 2 if self.config.identity else 1
        fake_real, *same_real = self.to_real(batch.noisy(torch.cat([sim, real][:keep]))).split(
            len(sim)
        )
        fake_sim, *same_sim = self.to_sim(torch.cat([real, sim][:keep])).split(len(sim))
        if self.config.identity:
            kept = losses.distance(same_real[0], real) + losses.distance(same_sim[0], sim)
            terms["identity"] = self.config.identity * kept
        if self.config.cycle:
            there = losses.distance(self.to_sim(fake_real), sim)
            back = losses.distance(self.to_real(batch.noisy(fake_sim)), real)
            terms["cycle"] = self.config.cycle * (there + back)
        return {"real": fake_real, "sim": fake_sim}, terms

    def figures(self, batch: Batch) -> dict[str, float]:
        """``hidden``: how far the cycle rests on what no eye sees; 1 if it does not.

        The cycle loss when Gaussian noise of `LEVEL` is added to the translated image, over what
        it would be if the noise only added itself.

        References
        ----------
        Chu, Zhmoginov and Sandler, CycleGAN, a master of steganography, 2017, section 4.
        """
        sim = batch.sim[:FEW]
        fake = self.to_real(batch.noisy(sim))
        grain = torch.from_numpy(batch.rngs[0].standard_normal(fake.shape)).to(fake) * LEVEL
        clean = losses.distance(self.to_sim(fake), sim)
        disturbed = losses.distance(self.to_sim(fake + grain), sim)
        itself = losses.distance(grain, torch.zeros_like(grain))
        return {"hidden": float(disturbed / (clean + itself))}
