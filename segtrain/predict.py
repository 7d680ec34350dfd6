"""Inference on images of any size: tiled without seams, averaged over rotations."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from phasegen import checkpoint, devices
from phasegen.errors import InputError
from phasegen.images import Micrograph
from phasegen.tiles import apply_tiled
from segtrain.data.source import standardise
from segtrain.models import MODELS

ROTATIONS = 4
"""Quarter turns over which probabilities are averaged."""

TILE = 512


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A trained network with what it takes to use it.

    Attributes
    ----------
    network : torch.nn.Module
        In evaluation mode.
    classes : tuple of str
        Names of the classes.
    device : torch.device
        Where the network is.
    sources : tuple of dict
        Records of all the data that it has seen, see `segtrain.data.source.Source`.
    """

    network: nn.Module
    classes: tuple[str, ...]
    device: torch.device
    sources: tuple[dict[str, Any], ...]


def build(model: str, classes: int, widths: Sequence[int], device: torch.device) -> nn.Module:
    """A network for one-channel images on `device`, in channels-last order.

    Raises
    ------
    InputError
        If the model is unknown.
    """
    if model not in MODELS:
        raise InputError(f"model {model!r}", "is unknown", f"Known models: {', '.join(MODELS)}")
    network = MODELS[model](1, classes, widths)
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def load_segmenter(path: Path, device: str = "auto") -> Segmenter:
    """Read a checkpoint of the trainer.

    Raises
    ------
    InputError
        If it is missing, damaged, or of another program.
    """
    state = checkpoint.load(path, "segtrain")
    where = devices.choose(device)
    config, classes = state["config"], tuple(state["classes"])
    network = build(config["model"], len(classes), config["widths"], where)
    network.load_state_dict(state["network"])
    return Segmenter(network.eval(), classes, where, tuple(state["sources"]))


def probabilities(segmenter: Segmenter, windows: NDArray[np.float32]) -> torch.Tensor:
    """Class probabilities (B, K, Y, X) of standardised windows (B, 1, Y, X), on the device."""
    x = torch.from_numpy(np.ascontiguousarray(windows)).to(segmenter.device)
    total = torch.zeros(())
    with torch.inference_mode(), devices.autocast(segmenter.device):
        for turn in range(ROTATIONS):
            turned = torch.rot90(x, turn, (2, 3)).contiguous(memory_format=torch.channels_last)
            logits = segmenter.network(turned).float()
            total = total + torch.rot90(logits.softmax(dim=1), -turn, (2, 3))
    return total / ROTATIONS


def segment(segmenter: Segmenter, micrograph: Micrograph) -> NDArray[np.uint8]:
    """Class mask (Y, X) of a micrograph; its info bar, if any, is class 0.

    The image is read in tiles with a halo of the receptive field, so memory does not grow with
    the network's activations over the whole image, and no seam can appear.
    """
    mask, _ = segment_with_confidence(segmenter, micrograph, confidence=False)
    return mask


def segment_with_confidence(
    segmenter: Segmenter, micrograph: Micrograph, confidence: bool = True
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Class mask, and the probability of the chosen class scaled to 0..255, both (Y, X)."""
    scene = standardise(micrograph.scene)
    planes = 2 if confidence else 1
    out = np.zeros((planes, *micrograph.pixels.shape), np.uint8)

    def function(windows: NDArray[Any]) -> NDArray[np.uint8]:
        best, label = probabilities(segmenter, windows).max(dim=1)
        parts = [label, (best * 255).round()][:planes]
        return torch.stack(parts, dim=1).to(torch.uint8).cpu().numpy()

    halo, multiple = int(segmenter.network.halo), int(segmenter.network.multiple)  # type: ignore[arg-type]
    view = out[:, : len(scene)]
    apply_tiled(scene, function, view, tile=TILE, halo=halo, multiple=multiple)
    return out[0], out[-1]
