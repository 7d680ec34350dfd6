"""How far a prediction is to be trusted, without a label.

Two things can be wrong without a label to tell. A network may be unsure: then its masks change when
an image is shown a little smaller, blurred or noisier. Or it may be sure of what it has never
learned, an inverted image for instance: then the statistics of its features, or the structure that
it finds, are far from those of the training. Both are measured:

- agreement: between the mask and those under `PERTURBATIONS`, and of other checkpoints if there are
  any, the geometric mean of Boundary F1 and IoU of the foreground, then the mean over all of them.
  Boundary F1 alone is high by chance where boundaries are everywhere, as in noise.
- strangeness: the distance of `segtrain.adapt.strangeness` from the training.

The figure is agreement, less where an image is very strange: ``1 / (1 + (strangeness / FAR)^4)``
times. It ranks images; it is no estimate of their Boundary F1. An image is not to be trusted if its
figure is below `THRESHOLD`, or its strangeness above `STRANGE`.
"""

import csv
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional as F

from phasegen import devices
from phasegen.errors import InputError
from phasegen.files import make_folder, written_whole
from phasegen.images import TIFF, Micrograph, list_images, read_micrograph, write_image
from phasegen.tiles import apply_tiled
from segtrain.adapt import SIDE, strangeness
from segtrain.config import CLASSES
from segtrain.metrics import boundary_f1, inner_boundary, iou
from segtrain.predict import TILE, Segmenter, outputs, scaled

FAR = 0.5
"""Strangeness that halves the figure."""

THRESHOLD = 0.8
"""Figure below which a network is unsure."""

STRANGE = 0.15
"""Strangeness above which an image is unlike the training."""

UNSETTLED = 2.0
"""Strangeness that no other kind of image has come near: the network's own statistics are off."""

TOLERANCE = 2.0
"""Of the Boundary F1 that measures agreement, pixels: that of `segtrain evaluate`."""

NAMED = 5
"""Images that a warning names."""

Windows = NDArray[np.float32]


@dataclass(frozen=True)
class Perturbation:
    """One way to show an image differently that leaves its truth as it is.

    Attributes
    ----------
    turns : int
        Quarter turns; odd ones are mirrored as well.
    scale : float
        Magnification.
    change : callable
        Of the grey values of standardised windows (B, C, Y, X).
    """

    turns: int
    scale: float = 1.0
    change: Callable[[Windows], Windows] = lambda x: x


def _blurred(x: Windows) -> Windows:
    return np.asarray(ndimage.gaussian_filter(x, (0, 0, 1.5, 1.5)))


def _noisy(x: Windows) -> Windows:
    noise = np.random.default_rng(0).normal(0, 0.4, x.shape)
    return x + noise.astype(np.float32)


def _skewed(x: Windows) -> Windows:
    """Bright contrast up, dark contrast down; monotone from -4 standard deviations on."""
    return x + 0.125 * (x * x - 1)


PERTURBATIONS: dict[str, Perturbation] = {
    "smaller": Perturbation(0, scale=0.85),
    "larger": Perturbation(1, scale=1.18),
    "blurred": Perturbation(2, change=_blurred),
    "noisy": Perturbation(3, change=_noisy),
    "skewed": Perturbation(0, change=_skewed),
}
"""About as strong as the augmentation of the training, or a little stronger."""


@dataclass(frozen=True, eq=False)
class Trust:
    """What is known of a prediction without a label.

    Attributes
    ----------
    agreement : float
        0..1; 0 if the prediction has no boundary, for nothing speaks for it then.
    strangeness : float
        From 0, the training itself.
    confidence : ndarray (Y, X), uint8
        Mean probability of the predicted class over all ways of looking, 0..255; 0 in an info bar.
    """

    agreement: float
    strangeness: float
    confidence: NDArray[np.uint8]

    @property
    def figure(self) -> float:
        """Agreement, less where the image is very strange, 0..1."""
        return self.agreement / (1 + (self.strangeness / FAR) ** 4)

    @property
    def doubt(self) -> str:
        """Why the prediction is not to be trusted; nothing if it is."""
        doubts = ["unsure"] * (self.figure < THRESHOLD)
        doubts += ["unlike the training"] * (self.strangeness > STRANGE)
        # Running means of a normalisation need some 50 steps to forget where they start.
        doubts += ["or the training was too short to know"] * (self.strangeness > UNSETTLED)
        return ", ".join(doubts)


def require_kin(segmenter: Segmenter, witnesses: Sequence[Segmenter] = ()) -> None:
    """Refuse models that cannot be judged, or cannot be witnesses.

    Raises
    ------
    InputError
        If one is not of classes in grey images, or a witness of other classes.
    """
    for one in (segmenter, *witnesses):
        if (one.target, one.axes, one.channels) != (CLASSES, 2, 1):
            problem = f"predicts {one.target} of {one.channels} channels and {one.axes} axes"
            raise InputError("trust", problem, "Use a model of classes for grey images")
        if one.classes != segmenter.classes:
            problem = f"knows the classes {', '.join(one.classes)}"
            raise InputError("trust", problem, f"Use one that knows {', '.join(segmenter.classes)}")


def judge(
    segmenter: Segmenter, micrograph: Micrograph, witnesses: Sequence[Segmenter] = ()
) -> Trust:
    """Look at an image in several ways and compare what is seen.

    Memory stays bounded but for one byte per pixel and way of looking.

    Parameters
    ----------
    segmenter : Segmenter
        Of classes, in images of one channel.
    micrograph : Micrograph
        The image.
    witnesses : sequence of Segmenter
        Other checkpoints of the same classes, such as ``teacher.pt`` or runs of other seeds.

    Raises
    ------
    InputError
        If a segmenter is of another kind, or a witness of other classes.
    """
    require_kin(segmenter, witnesses)
    image = segmenter.view.show(micrograph.scene)[None]
    ways = len(PERTURBATIONS) + len(witnesses)
    seen = np.zeros((2 + ways, *image.shape[1:]), np.uint8)

    def look(windows: Windows) -> NDArray[np.uint8]:
        p = outputs(segmenter, windows)
        others = [_once(segmenter, windows, way) for way in PERTURBATIONS.values()]
        others += [outputs(one, windows) for one in witnesses]
        mask = p.argmax(dim=1, keepdim=True)
        sure = torch.stack([one.gather(1, mask) for one in (p, *others)]).mean(dim=0)
        masks = [one.argmax(dim=1, keepdim=True) for one in others]
        content = torch.cat([mask, (255 * sure).round(), *masks], dim=1)
        return content.to(torch.uint8).cpu().numpy()

    widest = min(1.0, *(way.scale for way in PERTURBATIONS.values())) * segmenter.view.scale
    network = segmenter.network
    halo = math.ceil(int(network.halo) / widest)  # type: ignore[arg-type]
    apply_tiled(image, look, seen, tile=TILE, halo=halo, multiple=int(network.multiple))  # type: ignore[arg-type]
    mask, confidence = seen[:2]
    agreement = 0.0
    if inner_boundary(mask > 0).any():
        agreement = float(np.mean([_agreement(other > 0, mask > 0) for other in seen[2:]]))
    scene = micrograph.scene
    middle = tuple(slice(max(0, (n - SIDE) // 2), (n + SIDE) // 2) for n in scene.shape)
    bar = len(micrograph.pixels) - len(scene)
    return Trust(
        agreement,
        strangeness(segmenter, [scene[middle]]),
        np.pad(confidence, ((0, bar), (0, 0))),
    )


def trust_folder(
    segmenter: Segmenter,
    folder: Path,
    out: Path,
    advance: Callable[[], None] = lambda: None,
    witnesses: Sequence[Segmenter] = (),
) -> dict[str, Trust]:
    """Judge every image of a folder; write ``trust.csv`` and the maps in ``confidence`` to `out`.

    Images that are not to be trusted are named in one warning for each reason. Those unlike the
    training may become like it with `segtrain.adapt.adapt`.

    Returns
    -------
    dict of str to Trust
        By image name; the maps, which are on disk, are left empty.

    Raises
    ------
    InputError
        If an image cannot be read, or see `judge`.
    """
    maps = out / "confidence"
    make_folder(maps)
    found = {}
    for path in list_images(folder):
        trust = judge(segmenter, read_micrograph(path), witnesses)
        name = path.name if path.suffix.lower() in TIFF else f"{path.stem}.png"
        write_image(maps / name, trust.confidence)
        found[path.name] = replace(trust, confidence=np.zeros((0, 0), np.uint8))
        advance()
    with (
        written_whole(out / "trust.csv") as partial,
        partial.open("w", encoding="utf-8", errors="replace", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(("image", "trust", "agreement", "strangeness", "doubt"))
        for name, one in found.items():
            figures = (f"{value:.3f}" for value in (one.figure, one.agreement, one.strangeness))
            writer.writerow((name, *figures, one.doubt))
    for doubt in sorted({one.doubt for one in found.values()} - {""}):
        named = [name for name, one in found.items() if one.doubt == doubt]
        logging.getLogger(__name__).warning(
            "%d of %d masks are not to be trusted (%s): %s%s; see %s",
            *(len(named), len(found), doubt, ", ".join(named[:NAMED])),
            f" and {len(named) - NAMED} more" if len(named) > NAMED else "",
            out / "trust.csv",
        )
    return found


def _agreement(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return math.sqrt(boundary_f1(one, other, TOLERANCE) * iou(one, other))


@torch.inference_mode()
def _once(segmenter: Segmenter, windows: Windows, way: Perturbation) -> torch.Tensor:
    """Class probabilities (B, K, Y, X) of windows shown in one way, back in their own place."""
    view = replace(segmenter.view, scale=segmenter.view.scale * way.scale)
    x = torch.from_numpy(np.ascontiguousarray(way.change(windows))).to(segmenter.device)
    x = torch.rot90(scaled(replace(segmenter, view=view), x), way.turns, (-2, -1))
    if way.turns % 2:
        x = x.flip(-1)
    with devices.autocast(segmenter.device):
        logits = segmenter.network(x.contiguous(memory_format=torch.channels_last))
    p: torch.Tensor = logits.float().softmax(dim=1)
    if way.turns % 2:
        p = p.flip(-1)
    p = torch.rot90(p, -way.turns, (-2, -1))
    if p.shape[2:] != windows.shape[2:]:
        p = F.interpolate(p, size=windows.shape[2:], mode="bilinear", antialias=True)
    return p
