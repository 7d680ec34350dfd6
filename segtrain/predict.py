"""Inference on images of any size: tiled without seams, averaged over rotations."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from phasegen import checkpoint, devices
from phasegen.errors import InputError
from phasegen.images import Micrograph
from phasegen.spectra import flatten
from phasegen.tiles import apply_tiled
from segtrain.data.source import standardise
from segtrain.models import MODELS

ROTATIONS = 4
"""Quarter turns over which probabilities are averaged."""

TILE = 512


@dataclass(frozen=True)
class View:
    """How an image is shown to the network, which may have learned another kind.

    Attributes
    ----------
    scale : float
        Magnification: 2 shows the image at twice its size.
    inverted : bool
        Dark and bright exchanged.
    flat : bool
        Less a polynomial of second order: uneven illumination.
    """

    scale: float = 1.0
    inverted: bool = False
    flat: bool = False

    def __str__(self) -> str:
        words = [f"{self.scale:g}x"] if self.scale != 1 else []
        words += ["inverted"] * self.inverted + ["flattened"] * self.flat
        return ", ".join(words) or "as they are"

    def show(self, scene: NDArray[Any]) -> NDArray[np.float32]:
        """A scene (Y, X) standardised, flat and of the right polarity, its size unchanged."""
        image = standardise(flatten(scene) if self.flat else scene)
        return -image if self.inverted else image


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
    view : View
        How it looks at an image.
    """

    network: nn.Module
    classes: tuple[str, ...]
    device: torch.device
    sources: tuple[dict[str, Any], ...]
    view: View = View()


def build(model: str, classes: int, widths: Sequence[int], device: torch.device) -> nn.Module:
    """A network for one-channel images on `device`, in channels-last order."""
    network = MODELS[model](1, classes, widths)
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def load_segmenter(path: Path, device: str = "auto") -> Segmenter:
    """Read a checkpoint of the trainer.

    Raises
    ------
    InputError
        If it is missing, damaged, of another program, or of a network that there is not.
    """
    state = checkpoint.load(path, "segtrain")
    where = devices.choose(device)
    try:
        config, classes = state["config"], tuple(state["classes"])
        network = build(config["model"], len(classes), config["widths"], where)
        network.load_state_dict(state["network"])
        sources = tuple(state["sources"])
    except (KeyError, TypeError, RuntimeError) as error:
        problem = f"does not fit the networks of this version ({str(error).splitlines()[0]})"
        raise InputError(path, problem, "Give a checkpoint of segtrain, or train again") from None
    return Segmenter(network.eval(), classes, where, sources)


def probabilities(segmenter: Segmenter, windows: NDArray[np.float32]) -> torch.Tensor:
    """Class probabilities (B, K, Y, X) of standardised windows (B, 1, Y, X), on the device."""
    x = torch.from_numpy(np.ascontiguousarray(windows)).to(segmenter.device)
    size = x.shape[2:]
    x = scaled(segmenter, x)
    total = torch.zeros(())
    with torch.inference_mode(), devices.autocast(segmenter.device):
        for turn in range(ROTATIONS):
            turned = torch.rot90(x, turn, (2, 3)).contiguous(memory_format=torch.channels_last)
            logits = segmenter.network(turned).float()
            total = total + torch.rot90(logits.softmax(dim=1), -turn, (2, 3))
        if total.shape[2:] != size:
            total = F.interpolate(total, size=size, mode="bilinear", antialias=True)
    return total / ROTATIONS


def scaled(segmenter: Segmenter, x: torch.Tensor) -> torch.Tensor:
    """Images (B, 1, Y, X) at the magnification of the view; sides become what the network takes."""
    multiple = int(segmenter.network.multiple)  # type: ignore[arg-type]
    size = [max(1, round(n * segmenter.view.scale / multiple)) * multiple for n in x.shape[2:]]
    if segmenter.view.scale == 1:
        return x
    return F.interpolate(x, size=size, mode="bilinear", antialias=True)


def segment(segmenter: Segmenter, micrograph: Micrograph) -> NDArray[np.uint8]:
    """Class mask (Y, X) of a micrograph; its info bar, if any, is class 0."""
    scene = segmenter.view.show(micrograph.scene)
    mask = np.zeros(micrograph.pixels.shape, np.uint8)

    def label(windows: NDArray[np.float32]) -> NDArray[np.uint8]:
        return _bytes(probabilities(segmenter, windows).argmax(dim=1))

    _tiled(segmenter, scene, label, mask[: len(scene)])
    return mask


def segment_with_confidence(
    segmenter: Segmenter, image: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Class mask of a standardised image (Y, X), and the probability of its classes, 0..255."""
    out = np.zeros((2, *image.shape), np.uint8)

    def label(windows: NDArray[np.float32]) -> NDArray[np.uint8]:
        best, chosen = probabilities(segmenter, windows).max(dim=1)
        return _bytes(torch.stack([chosen, (best * 255).round()], dim=1))

    _tiled(segmenter, image, label, out)
    return out[0], out[1]


def _tiled(
    segmenter: Segmenter,
    image: NDArray[np.float32],
    label: Callable[[NDArray[np.float32]], NDArray[np.uint8]],
    out: NDArray[np.uint8],
) -> None:
    """Tiles with a halo of the receptive field: memory stays bounded and no seam appears."""
    halo, multiple = int(segmenter.network.halo), int(segmenter.network.multiple)  # type: ignore[arg-type]
    halo = math.ceil(halo / segmenter.view.scale)
    apply_tiled(image, label, out, tile=TILE, halo=halo, multiple=multiple)


def _bytes(values: torch.Tensor) -> NDArray[np.uint8]:
    return values.to(torch.uint8).cpu().numpy()
