"""CUT: one generator, whose output must look at every place like the input at that place."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from cyclegan import losses
from cyclegan.batches import Batch
from cyclegan.objectives.objective import Objective
from cyclegan.settings import Translation


class CUT(Objective):
    """Park, Efros, Zhang and Zhu, ECCV 2020, equations (2)-(6).

    Features of the generator's own encoder, at random places of several of its layers, go through
    a projection of two layers. Those of the output must tell the same place of the input from
    other places of it. The same holds for a real patch that is translated (the identity term).
    It is also held at its grey values: contrast alone lets a bounded generator run to its bound,
    where every place still differs from every other, and where its gradient ends.
    """

    def __init__(self, config: Translation) -> None:
        super().__init__(config)
        # 256 wide for the generator of the paper, as there.
        wide = 4 * config.width
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Linear(channels, wide), nn.ReLU(), nn.Linear(wide, wide))
            for channels in self.to_real.channels
        )

    def forward(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Fakes of the real domain, and the weighted contrastive loss."""
        images = torch.cat([batch.sim, batch.real])
        keys = self.to_real.encode(batch.noisy(images))
        translated = self.to_real.decode(images, keys[-1])
        if self.config.noise:
            # One noise in both would tell the place, and the contrast would be free.
            keys = self.to_real.encode(batch.quiet(images))
        queries = self.to_real.encode(batch.quiet(translated))
        total = torch.stack(
            [
                self._contrast(projection, query, key, batch.rngs)
                for projection, query, key in zip(self.projections, queries, keys, strict=True)
            ]
        ).mean()
        terms = {"contrast": self.config.contrast * total}
        if self.config.identity:
            same = losses.distance(translated[len(batch.sim) :], batch.real)
            terms["identity"] = self.config.identity * same
        return {"real": translated[: len(batch.sim)]}, terms

    def _contrast(
        self,
        projection: nn.Module,
        query: Tensor,
        key: Tensor,
        rngs: Sequence[np.random.Generator],
    ) -> Tensor:
        size = query.shape[-2] * query.shape[-1]
        count = min(self.config.places, size)
        drawn = [rngs[i % len(rngs)].choice(size, count, replace=False) for i in range(len(query))]
        rows = torch.arange(len(query), device=query.device)[:, None]
        places = torch.from_numpy(np.stack(drawn)).to(query.device)
        # Channels last: a view, of which `count` rows are copied.
        one, other = (f.permute(0, 2, 3, 1).flatten(1, 2)[rows, places] for f in (query, key))
        return losses.contrastive(projection(one), projection(other).detach())
