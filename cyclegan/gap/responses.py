"""What networks make of a patch: those of a fit, or one that the user brings."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from cyclegan.fit import KIND
from cyclegan.networks import discriminator, segmenter
from cyclegan.settings import Translation
from phasegen import checkpoint
from phasegen.errors import InputError

Array = NDArray[Any]

BATCH = 32
"""Patches that pass a network at once."""

Extractor = Callable[[Array], Array]
"""Patches (N, P, P) in 0..1 -> features (N, D)."""


def fitted_networks(model: Path) -> dict[str, Extractor]:
    """The discriminator and the watching segmenter of a fit, as far as it has kept them.

    Parameters
    ----------
    model : Path
        Checkpoint of ``cyclegan fit``: of ``model.pt``, the ``last.pt`` beside it is read.

    Raises
    ------
    InputError
        If there is no such checkpoint, or its networks are not those of this version.
    """
    content = checkpoint.load(model, KIND)
    beside = model.with_name(checkpoint.LAST)
    if "networks" not in content and beside.is_file():
        content = checkpoint.load(beside, KIND)
    weights: dict[str, Tensor] = content.get("networks", {})
    found: dict[str, Extractor] = {}
    try:
        config = Translation.model_validate(content["config"])
        if critic := _part(weights, "critics.real."):
            found["discriminator"] = activations(discriminator(config.critic_width), critic)
        if config.geometry == "segmenter" and (watcher := _part(weights, "segmenter.")):
            classes = len(list(watcher.values())[-1])
            found["segmenter"] = activations(segmenter(classes), watcher)
    except (KeyError, TypeError, RuntimeError, ValidationError) as error:
        problem = f"does not fit this version ({' '.join(str(error).split())[:120]})"
        raise InputError(model, problem, "Fit again") from None
    return found


def _part(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def activations(network: nn.Module, weights: dict[str, Tensor]) -> Extractor:
    """Mean and standard deviation over a patch of every channel after each nonlinearity."""
    network.load_state_dict(weights)
    network.eval()

    def extract(batch: Tensor) -> Tensor:
        seen: list[Tensor] = []

        def keep(_: nn.Module, __: Sequence[Tensor], output: Tensor) -> None:
            seen.extend([output.mean((2, 3)), output.std((2, 3))])

        active = [one for one in network.modules() if isinstance(one, nn.ReLU | nn.LeakyReLU)]
        hooks = [one.register_forward_hook(keep) for one in active]
        network(batch)
        for hook in hooks:
            hook.remove()
        return torch.cat(seen, dim=1)

    return lambda patches: _batches(extract, patches)


def inception(path: Path) -> Extractor:
    """A TorchScript network (N, 3, 299, 299) in 0..1 -> (N, D) that the user brings.

    Raises
    ------
    InputError
        If the file is missing or no such network.
    """
    if not path.is_file():
        raise InputError(path, "does not exist", "Give a TorchScript file")
    try:
        network = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
        with torch.inference_mode():
            shape = tuple(network(torch.zeros(2, 3, 299, 299)).shape)
    except Exception as error:  # the archive may fail anywhere, and so may the network
        problem = f"cannot be used ({' '.join(str(error).split())[:120]})"
        remedy = "Give a TorchScript network (N, 3, 299, 299) -> (N, D)"
        raise InputError(path, problem, remedy) from None
    if len(shape) != 2 or shape[0] != 2:
        remedy = "Give a TorchScript network (N, 3, 299, 299) -> (N, D)"
        raise InputError(path, f"turns 2 images into an array {shape}", remedy)

    def extract(batch: Tensor) -> Tensor:
        large = nn.functional.interpolate(
            batch, (299, 299), mode="bilinear", align_corners=False, antialias=True
        )
        found: Tensor = network(large.expand(-1, 3, -1, -1))
        return found

    return lambda patches: _batches(extract, patches)


def _batches(extract: Callable[[Tensor], Tensor], patches: Array) -> Array:
    with torch.inference_mode():
        parts = [
            extract(torch.from_numpy(patches[i : i + BATCH])[:, None])
            for i in range(0, len(patches), BATCH)
        ]
        return np.asarray(torch.cat(parts).double().numpy())
