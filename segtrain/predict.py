"""Inference on images and volumes of any size, averaged over rotations."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
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
from segtrain.config import CLASSES, Training
from segtrain.data.source import standardise
from segtrain.decode import Decoding, decode
from segtrain.models import MODELS
from segtrain.preparation import Preparation, preparation
from segtrain.sliding import slide

ROTATIONS = 4
"""Quarter turns over which the outputs for an image are averaged."""

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
        Names of the classes; of instances, what background and instances are.
    device : torch.device
        Where the network is.
    sources : tuple of dict
        Records of all the data that it has seen, see `segtrain.data.source.Source`.
    view : View
        How it looks at an image.
    target : str
        What it predicts: ``"classes"``, or a field of `segtrain.targets`.
    decoding : Decoding
        How instances are found in a field.
    channels : int
        Channels of an image.
    spacing : tuple of float
        Size of a pixel along every axis: two for images, three for volumes.
    window : tuple of int
        Sides of the window that slides over a volume.
    prepared : Preparation
        How volumes were prepared for its training.
    """

    network: nn.Module
    classes: tuple[str, ...]
    device: torch.device
    sources: tuple[dict[str, Any], ...]
    view: View = View()
    target: str = CLASSES
    decoding: Decoding = field(default_factory=Decoding)
    channels: int = 1
    spacing: tuple[float, ...] = (1.0, 1.0)
    window: tuple[int, ...] = ()
    prepared: Preparation = field(default_factory=Preparation)

    @property
    def axes(self) -> int:
        """2 for images, 3 for volumes."""
        return len(self.spacing)


def build(
    config: Training, channels: int, classes: int, axes: int, device: torch.device
) -> nn.Module:
    """The network of a configuration on `device`, in channels-last order."""
    outputs = classes if config.target == CLASSES else 1
    network = MODELS[config.model](channels, outputs, config.widths, axes, **config.options)
    return network.to(device, memory_format=layout(axes))  # type: ignore[call-overload, no-any-return]


def layout(axes: int) -> torch.memory_format:
    """Order in memory of images (2 axes) or volumes (3 axes)."""
    return torch.channels_last if axes == 2 else torch.channels_last_3d


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
        config = Training.model_validate(state["config"])
        classes, spacing = tuple(state["classes"]), tuple(state["spacing"])
        network = build(config, state["channels"], len(classes), len(spacing), where)
        network.load_state_dict(state["network"])
        sources = tuple(state["sources"])
        decoding = Decoding(**state.get("decoding", {}))
        prepared = preparation(config, spacing)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        problem = f"does not fit the networks of this version ({str(error).splitlines()[0]})"
        raise InputError(path, problem, "Give a checkpoint of segtrain, or train again") from None
    return Segmenter(
        network.eval(),
        classes,
        where,
        sources,
        target=config.target,
        decoding=decoding,
        channels=state["channels"],
        spacing=spacing,
        window=config.sides(len(spacing)),
        prepared=prepared,
    )


def outputs(segmenter: Segmenter, windows: NDArray[np.float32]) -> torch.Tensor:
    """What a segmenter says of standardised windows (B, C, [Z,] Y, X), on the device.

    Class probabilities (B, K, [Z,] Y, X), or a field (B, 1, [Z,] Y, X).
    """
    x = torch.from_numpy(np.ascontiguousarray(windows)).to(segmenter.device)
    size, planar = x.shape[2:], segmenter.axes == 2
    if planar:
        x = scaled(segmenter, x)
    turns = ROTATIONS if planar else 1
    total = torch.zeros(())
    with torch.inference_mode(), devices.autocast(segmenter.device):
        for turn in range(turns):
            turned = torch.rot90(x, turn, (-2, -1)).contiguous(memory_format=layout(segmenter.axes))
            response = segmenter.network(turned).float()
            if segmenter.target == CLASSES:
                response = response.softmax(dim=1)
            total = total + torch.rot90(response, -turn, (-2, -1))
        if total.shape[2:] != size:
            total = F.interpolate(total, size=size, mode="bilinear", antialias=True)
    return total / turns


def scaled(segmenter: Segmenter, x: torch.Tensor) -> torch.Tensor:
    """Images (B, 1, Y, X) at the magnification of the view; sides become what the network takes."""
    multiple = int(segmenter.network.multiple)  # type: ignore[arg-type]
    size = [max(1, round(n * segmenter.view.scale / multiple)) * multiple for n in x.shape[2:]]
    if segmenter.view.scale == 1:
        return x
    return F.interpolate(x, size=size, mode="bilinear", antialias=True)


def segment(segmenter: Segmenter, micrograph: Micrograph) -> NDArray[Any]:
    """Class mask or instances (Y, X) of a micrograph; its info bar, if any, is 0.

    Raises
    ------
    InputError
        If the segmenter is for volumes or for several channels.
    """
    if (segmenter.axes, segmenter.channels) != (2, 1):
        problem = f"is for {segmenter.channels} channels and {segmenter.axes} axes"
        raise InputError("the model", problem, "Give it data of that kind with --data")
    scene = segmenter.view.show(micrograph.scene)[None]
    labels = segment_image(segmenter, scene)
    bar = len(micrograph.pixels) - len(micrograph.scene)
    return np.pad(labels, ((0, bar), (0, 0)))


def segment_image(segmenter: Segmenter, image: NDArray[np.float32]) -> NDArray[Any]:
    """Class mask (uint8) or instances (uint32), ([Z,] Y, X), of a standardised image.

    Parameters
    ----------
    image : ndarray, shape (C, [Z,] Y, X)
        As `segtrain.data.source.Labelled` has it.
    """
    if segmenter.target != CLASSES:
        return decode(field_of(segmenter, image), **asdict(segmenter.decoding))
    mask = np.zeros(image.shape[1:], np.uint8)
    if segmenter.axes == 2:

        def label(windows: NDArray[np.float32]) -> NDArray[np.uint8]:
            return _bytes(outputs(segmenter, windows).argmax(dim=1))

        _tiled(segmenter, image, label, mask)
    else:
        segment_planes(segmenter, image, mask)
    return mask


def field_of(segmenter: Segmenter, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The predicted field ([Z,] Y, X) of a standardised image (C, [Z,] Y, X)."""
    result = np.zeros(image.shape[1:], np.float32)
    if segmenter.axes == 2:

        def regress(windows: NDArray[np.float32]) -> NDArray[np.float32]:
            return outputs(segmenter, windows)[:, 0].cpu().numpy()

        _tiled(segmenter, image, regress, result)
    else:
        segment_planes(segmenter, image, result)
    return result


def segment_planes(
    segmenter: Segmenter,
    volume: Any,
    out: Any,
    confidence: Any = None,
    *,
    overlap: float = 0.5,
    advance: Callable[[int], object] = lambda planes: None,
) -> None:
    """Segment a standardised volume, plane by plane, by a window that slides over it.

    Halos as wide as the receptive field, as images have, would be most of a window.

    Parameters
    ----------
    volume, out, confidence : array, shape (C, Z, Y, X), and (Z, Y, X)
        See `segtrain.stream.predict_volume`.
    overlap : float
        See `segtrain.sliding.slide`.
    advance : callable
        Called with a number of planes when they are done.
    """

    def respond(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        return outputs(segmenter, windows).cpu().numpy()

    def keep(first: int, blended: NDArray[np.float32]) -> None:
        planes = slice(first, first + blended.shape[1])
        if segmenter.target == CLASSES:
            out[planes] = blended.argmax(axis=0).astype(np.uint8)
        else:
            out[planes] = blended[0]
        if confidence is not None:
            confidence[planes] = (255 * blended.max(axis=0)).round().astype(np.uint8)
        advance(blended.shape[1])

    slide(volume, respond, segmenter.window, keep, overlap=overlap)


def segment_with_confidence(
    segmenter: Segmenter, image: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Class mask of a standardised image (1, Y, X), and the probability of its classes, 0..255."""
    out = np.zeros((2, *image.shape[1:]), np.uint8)

    def label(windows: NDArray[np.float32]) -> NDArray[np.uint8]:
        best, chosen = outputs(segmenter, windows).max(dim=1)
        return _bytes(torch.stack([chosen, (best * 255).round()], dim=1))

    _tiled(segmenter, image, label, out)
    return out[0], out[1]


def _tiled(
    segmenter: Segmenter,
    image: NDArray[np.float32],
    label: Callable[[NDArray[np.float32]], NDArray[Any]],
    out: NDArray[Any],
) -> None:
    """Tiles with a halo of the receptive field: memory stays bounded and no seam appears."""
    halo, multiple = int(segmenter.network.halo), int(segmenter.network.multiple)  # type: ignore[arg-type]
    halo = math.ceil(halo / segmenter.view.scale)
    apply_tiled(image, label, out, tile=TILE, halo=halo, multiple=multiple)


def _bytes(values: torch.Tensor) -> NDArray[np.uint8]:
    return values.to(torch.uint8).cpu().numpy()
