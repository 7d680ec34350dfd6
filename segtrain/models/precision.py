"""Parts of a network that mixed precision leaves alone."""

from contextlib import AbstractContextManager, nullcontext

import torch


def unmixed(device: torch.device) -> AbstractContextManager[object]:
    """What is computed within stays in the precision of its tensors."""
    # Tensors without content, by which operations are counted, know no mixed precision.
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)
