"""Adaptation of a trained network to the folder at hand, without a label.

How an image is shown to the network (its view) is chosen by how strange it is: by how far the
statistics of the network's features, and the prediction itself, lie from those of the training. A
network is sure of itself on inverted or unevenly lit images as well, so its confidence says nothing
of that.

What changes the network itself is judged by the information that the prediction holds about the
pixels: the entropy of the mean prediction less the mean entropy of the predictions. It is large
where the network is sure of every pixel and yet does not call all of them the same, which mere
confidence would reward. All that was done is judged so once more at the end, the view included.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from phasegen import devices
from phasegen.errors import InputError
from phasegen.images import list_images, read_micrograph, spread
from segtrain.config import CLASSES
from segtrain.data.source import describe_masks
from segtrain.predict import Segmenter, View, scaled

SCALES = (1.0, 0.5, 0.71, 1.41, 2.0)
"""Magnifications at which the folder is looked at."""

CLEARLY, AT_LEAST = 0.8, 0.01
"""Another view is preferred if it is less strange than the best so far by this factor, and by this
much: parts of one image differ by as much from each other.
"""

STRUCTURE = 0.1
"""Weight of the predicted structure beside the features: inverted particles come to 0.2."""

SEEN, SIDE = 8, 384
"""Images that are looked at, and the side of the part in their middle, pixels."""

TRAINED, VIEW = "as trained", "view"

STEPS, RATE = 60, 3e-4
"""Steps of self-training, and its learning rate."""


@dataclass(frozen=True)
class Adapted:
    """What became of a network.

    Attributes
    ----------
    segmenter : Segmenter
        The adapted one, or the given one.
    strange : tuple of float
        Strangeness of the folder as it is, and under the view that was chosen.
    information : dict of str to float
        Information of the prediction, 0..1: of the given network, under the view that was found,
        and after each stage. What was done in the end holds at least as much as the first.
    kept : tuple of str
        What of it was kept: `VIEW` if another one was found, and stages.
    """

    segmenter: Segmenter
    strange: tuple[float, float]
    information: dict[str, float]
    kept: tuple[str, ...]


Scene = NDArray[np.float32]


def adapt(
    segmenter: Segmenter, folder: Path, advance: Callable[[], None] = lambda: None, seed: int = 0
) -> Adapted:
    """Fit a segmenter to a folder of unlabelled images.

    First the view is chosen: magnification, polarity, flattening. Then the normalisation takes the
    statistics of these images (Li et al., AdaBN, 2016), and at last the network learns from its own
    confident predictions. These two stay only if the prediction holds more information after them.

    The result never holds less information on these images than the given segmenter. A view may
    cost some, since a network is sure of itself on inverted images as well, and it stays if the
    stages after it make up for that. Otherwise they start again without a view.

    Parameters
    ----------
    segmenter : Segmenter
        Not changed.
    folder : Path
        Images, of which up to `SEEN` are looked at.
    advance : callable
        Called after each of the stages.
    seed : int
        Of the self-training.

    Raises
    ------
    InputError
        If the segmenter predicts no class masks of grey images, or an image cannot be used.
    """
    if (segmenter.target, segmenter.channels, segmenter.axes) != (CLASSES, 1, 2):
        problem = (
            f"is for class masks of grey images; the model predicts {segmenter.target} from "
            f"{segmenter.channels} channels along {segmenter.axes} axes"
        )
        raise InputError("--adapt", problem, "Leave it out")
    scenes = read_scenes(folder)
    known = {TRAINED: information(segmenter, scenes)}
    viewed = best_view(segmenter, scenes)
    known[VIEW] = information(viewed, scenes)
    advance()
    start = viewed
    result, held, stages = _improved(start, scenes, seed, advance)
    if held < known[TRAINED]:
        start = segmenter
        result, held, stages = _improved(start, scenes, seed)
    strange = strangeness(segmenter, scenes), strangeness(start, scenes)
    seen = (VIEW,) if start.view != segmenter.view else ()
    kept = seen + tuple(name for name, (_, better) in stages.items() if better)
    reached = {name: value for name, (value, _) in stages.items()}
    return Adapted(result, strange, known | reached, kept)


def _improved(
    segmenter: Segmenter,
    scenes: Sequence[Scene],
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> tuple[Segmenter, float, dict[str, tuple[float, bool]]]:
    """The segmenter after the stages that add information, what it holds, and how each went."""
    held, went = information(segmenter, scenes), {}
    for name, stage in STAGES.items():
        changed = stage(segmenter, scenes, seed)
        reached = information(changed, scenes)
        went[name] = reached, reached > held
        if reached > held:
            segmenter, held = changed, reached
        advance()
    return segmenter, held, went


def read_scenes(folder: Path) -> list[Scene]:
    """The middle of up to `SEEN` images, spread over the folder."""
    scenes = []
    for path in spread(list_images(folder), SEEN):
        scene = read_micrograph(path).scene
        spans = [slice(max(0, (n - SIDE) // 2), (n + SIDE) // 2) for n in scene.shape]
        scenes.append(scene[spans[0], spans[1]])
    return scenes


def information(segmenter: Segmenter, scenes: Sequence[Scene]) -> float:
    """Information that the prediction holds about a pixel, as a share of log K: 0..1.

    References
    ----------
    Krause, Perona and Gomes, NIPS 2010, equation (1).
    """
    mean, doubt = torch.zeros(()), 0.0
    for scene in scenes:
        p = predicted(segmenter, shown(segmenter, scene))
        mean = mean + p.mean(dim=(0, 2, 3)) / len(scenes)
        doubt += float(_entropy(p, 1).mean()) / len(scenes)
    return (float(_entropy(mean, 0)) - doubt) / float(np.log(len(segmenter.classes)))


def shown(segmenter: Segmenter, scene: Scene) -> Tensor:
    """A scene as the network gets to see it, (1, 1, Y, X), cut to sides that it takes."""
    image = torch.from_numpy(segmenter.view.show(scene))[None, None].to(segmenter.device)
    multiple = int(segmenter.network.multiple)  # type: ignore[arg-type]
    height, width = (n // multiple * multiple for n in image.shape[2:])
    return scaled(segmenter, image[..., :height, :width])


@torch.no_grad()
def predicted(segmenter: Segmenter, image: Tensor) -> Tensor:
    """Class probabilities (1, K, Y, X) of what `shown` shows."""
    with devices.autocast(segmenter.device):
        logits = segmenter.network(image.contiguous(memory_format=torch.channels_last))
    p: Tensor = logits.float().softmax(dim=1)
    return p


def strangeness(segmenter: Segmenter, scenes: Sequence[Scene]) -> float:
    """Distance of the scenes from the training: of the features, and of the predicted structure.

    Features: for every channel before a normalisation layer, the symmetric Kullback-Leibler
    divergence between normal distributions of the mean and variance in training (its running
    statistics) and in the scene; the median over the channels of a layer, the mean over layers.
    Structure: differences in the shares of the classes and in polarity, which tells particles from
    the matrix around them (`segtrain.data.source.describe_masks`), weighted by `STRUCTURE`.
    """
    found: list[float] = []

    def compare(layer: nn.Module, inputs: tuple[Tensor], _: Tensor) -> None:
        x = inputs[0].float()
        mean, variance = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3)).clamp(min=1e-9)
        trained = layer.running_var.clamp(min=1e-9)  # type: ignore[operator]
        shift = (mean - layer.running_mean).square()  # type: ignore[operator]
        both = (variance + shift) / trained + (trained + shift) / variance - 2
        found.append(float((both / 4).median()))

    layers = [m for m in segmenter.network.modules() if isinstance(m, nn.BatchNorm2d)]
    hooks = [layer.register_forward_hook(compare) for layer in layers]
    try:
        masks = [predicted(segmenter, shown(segmenter, scene)).argmax(dim=1)[0] for scene in scenes]
    finally:
        for hook in hooks:
            hook.remove()
    features = float(np.mean(found)) if found else 0.0
    known = [source["structure"] for source in segmenter.sources if "structure" in source]
    if not known:
        return features
    seen = describe_masks([_bytes(mask) for mask in masks], len(segmenter.classes))
    shares = np.abs(np.subtract(seen["shares"], known[0]["shares"])).sum()
    return features + STRUCTURE * float(shares + abs(seen["polarity"] - known[0]["polarity"]))


def best_view(segmenter: Segmenter, scenes: Sequence[Scene]) -> Segmenter:
    """The segmenter with the view under which the scenes are least strange to it."""
    best, least = segmenter, strangeness(segmenter, scenes)
    for flat in (False, True):
        for inverted in (False, True):
            for scale in SCALES:
                candidate = replace(segmenter, view=View(scale, inverted, flat))
                reached = strangeness(candidate, scenes)
                if reached < min(CLEARLY * least, least - AT_LEAST):
                    best, least = candidate, reached
    return best


def with_statistics(segmenter: Segmenter, scenes: Sequence[Scene], seed: int = 0) -> Segmenter:
    """The segmenter whose normalisation has the mean of the trained and the folder's statistics."""
    network = copy.deepcopy(segmenter.network)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    statistics = {
        name: (buffer, buffer.clone())
        for name, buffer in network.named_buffers()
        if name.endswith(("running_mean", "running_var"))
    }
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over the scenes
        layer.train()
    changed = replace(segmenter, network=network)
    for scene in scenes:
        predicted(changed, shown(segmenter, scene))
    for buffer, trained in statistics.values():
        buffer.lerp_(trained, 0.5)
    network.eval()
    return changed


def self_trained(segmenter: Segmenter, scenes: Sequence[Scene], seed: int = 0) -> Segmenter:
    """The segmenter after learning from its own predictions, the surer the more they count."""
    network = copy.deepcopy(segmenter.network)
    pairs = []
    for scene in scenes:
        image = shown(segmenter, scene)
        sure, label = predicted(segmenter, image).max(dim=1)
        pairs.append((image, label, (2 * sure - 1).clamp(min=0)))
    optimiser = torch.optim.AdamW(network.parameters(), RATE)
    rng = np.random.default_rng(seed)
    for step in range(STEPS):
        turn, mirrored = int(rng.integers(4)), bool(rng.integers(2))
        image, label, weight = (
            torch.rot90(part.flip(-1) if mirrored else part, turn, (-2, -1))
            for part in pairs[step % len(pairs)]
        )
        gain, offset = rng.uniform(0.8, 1.25), rng.uniform(-0.2, 0.2)
        noise = torch.from_numpy(rng.normal(0, 0.1, tuple(image.shape)).astype(np.float32))
        image = gain * image + offset + noise.to(image.device)
        with devices.autocast(segmenter.device):
            logits = network(image.contiguous(memory_format=torch.channels_last))
        loss = (F.cross_entropy(logits.float(), label, reduction="none") * weight).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return replace(segmenter, network=network)


STAGES: dict[str, Callable[[Segmenter, Sequence[Scene], int], Segmenter]] = {
    "statistics": with_statistics,
    "self-training": self_trained,
}
"""What is tried, in this order: ``stage(segmenter, scenes, seed)`` -> another segmenter."""


def _bytes(mask: Tensor) -> NDArray[np.uint8]:
    return mask.to(torch.uint8).cpu().numpy()


def _entropy(p: Tensor, dim: int) -> Tensor:
    return -(p * p.clamp(min=1e-12).log()).sum(dim=dim)
