"""A fitted translation: styles of a real folder and, if it was learned, a generator."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from skimage.exposure import match_histograms
from torch import Tensor

from cyclegan.agreement import find_disagreements
from cyclegan.batches import Pair
from cyclegan.fda import cut, exchange
from cyclegan.fit import KIND, Progress, fit
from cyclegan.gap.pictures import require_grey
from cyclegan.networks import Generator, towards_real
from cyclegan.real import read_real
from cyclegan.settings import FULL, METHODS, Translation
from cyclegan.variation import shares, vary
from phasegen import checkpoint, devices, distributed
from phasegen.errors import InputError
from phasegen.store import Store, digest, open_store
from phasegen.tiles import apply_tiled

logger = logging.getLogger(__name__)

MODEL = "model.pt"
TILE = 512

PLANES = 8
"""Planes of a volume that a generator learns from; their neighbours look alike."""

Image = NDArray[np.float32]


def _any(scenes: Sequence[Image], rng: np.random.Generator) -> Image:
    return scenes[int(rng.integers(len(scenes)))]


def _exchange(
    config: Translation, scenes: Sequence[Image], image: Image, rng: np.random.Generator
) -> Image:
    shape = image.shape[0], image.shape[1]
    style, band = cut(_any(scenes, rng), shape, rng), float(rng.uniform(*config.band))
    # Drawn aside: whether a style varies changes nothing else that is drawn.
    aside = rng.spawn(1)[0]
    first, second = shares(config, aside)
    styles = [(style, first)]
    if second:
        styles.append((cut(_any(scenes, aside), shape, aside), second))
    return exchange(image, styles, band)


def _match(
    _config: Translation, scenes: Sequence[Image], image: Image, rng: np.random.Generator
) -> Image:
    """The histogram of a scene; grey values keep their order, and boundaries their place."""
    matched: Image = match_histograms(image, _any(scenes, rng)).astype(np.float32)
    return matched


def _leave(
    _config: Translation, _scenes: Sequence[Image], image: Image, _rng: np.random.Generator
) -> Image:
    return image


STARTS = {"fda": _exchange, "histogram": _match, "none": _leave}
"""What is done to an image with real scenes, without any training."""


@dataclass(frozen=True, eq=False)
class Model:
    """What it takes to translate an image.

    Attributes
    ----------
    config : Translation
        What it was fitted with.
    styles : list of ndarray (Y, X)
        Real scenes in 0..1.
    generator : Generator or None
        The learned part, from now on for windows of an image.
    record : dict
        ``method``, ``real`` (folder, with the statistics of its files), ``fingerprint``, and of a
        learned method ``fit``: figures and warnings of `cyclegan.watch` at the last step.
    device : torch.device
        Where the generator is.
    """

    config: Translation
    styles: list[NDArray[np.float32]]
    generator: Generator | None
    record: dict[str, Any]
    device: torch.device

    def __post_init__(self) -> None:
        if self.generator is not None:
            self.generator.in_windows()


def fit_model(config: Translation, out: Path, progress: Progress, overwrite: bool = False) -> Path:
    """Fit a translation in the folder `out`, or go on with it; returns the model's path.

    With `overwrite`, a run in `out` is removed once all input has proved usable.

    Under ``torchrun`` every process must call it; the first one writes.

    Raises
    ------
    InputError
        If the device is unknown, the store or the folder cannot be used, `out` holds another run
        or another run's model, or the training fails (see `cyclegan.fit.fit`).
    """
    device = devices.choose(config.device)
    source = open_store(config.sim)
    require_grey(source)
    if len(source.complete()) < source.samples:
        raise InputError(
            config.sim, "is unfinished", "Run the same phasegen simulate command again"
        )
    learned = METHODS[config.method]
    patch = config.patch if learned else 1
    if min(source.shape[-2:]) < patch:
        asked = f"the patches of {patch}" + " of --size full" * (patch == FULL["patch"])
        problem = f"has samples of {source.shape} pixels, smaller than {asked}"
        remedy = f"Simulate larger ones, or --set patch={min(source.shape[-2:]) // 4 * 4}"
        raise InputError(config.sim, problem, remedy)
    real = read_real(config.real, patch, config.flatten)
    if not distributed.rank():
        for warning in (*real.warnings, *find_disagreements(real, source)):
            logger.warning("%s", warning)
    ranks = distributed.size()
    inputs = {"sim": digest(config.sim), "real": real.record, "processes": ranks}
    with distributed.group(device):
        state = distributed.first(lambda: _open(config, out, inputs, overwrite))
        if state is None:
            return out / MODEL
        weights: dict[str, Tensor] = {}
        record: dict[str, Any] = {}
        if learned:
            simulated = _started(config, source, real.scenes)
            shown = distributed.unseen if distributed.rank() else progress
            weights, watched = fit(config, simulated, real.scenes, out, state, inputs, shown)
            record["fit"] = {key: watched[key] for key in ("step", "figures", "warnings")}
        content = {
            "config": config.model_dump(mode="json"),
            "styles": [torch.from_numpy(np.ascontiguousarray(scene)) for scene in real.scenes],
            "generator": weights,
        }
        record |= {"method": config.method, "real": real.record}
        record["fingerprint"] = _fingerprint(content)
        distributed.first(lambda: checkpoint.save(out / MODEL, KIND, content | {"record": record}))
    return out / MODEL


def _open(
    config: Translation, out: Path, inputs: dict[str, Any], overwrite: bool
) -> dict[str, Any] | None:
    """The state to go on from, empty at the start; None if the model is there already.

    What to do on drift may change on the way: no weight depends on it.
    """
    if overwrite:
        checkpoint.discard_run(out)
    last, settings = out / checkpoint.LAST, config.model_dump(mode="json")
    begun = checkpoint.load(last, KIND)["config"] if last.is_file() else {}
    same = {"on_drift": begun.get("on_drift", config.on_drift)}
    state = checkpoint.open_run(out, KIND, config.model_copy(update=same), inputs)
    if (out / MODEL).is_file() and state:
        fitted = checkpoint.load(out / MODEL, KIND).get("config", {})
        if {**fitted, **same} != {**settings, **same}:
            remedy = "Choose another --run, or start afresh with --overwrite"
            raise InputError(out / MODEL, "is the model of another run", remedy)
        return None
    if same["on_drift"] != config.on_drift:
        config.save(out / checkpoint.SETTINGS)
    if not METHODS[config.method]:
        checkpoint.save(out / checkpoint.LAST, KIND, {"config": settings, "inputs": inputs})
    return state


def load_model(path: Path, device: str = "auto") -> Model:
    """Read a fitted translation.

    Raises
    ------
    InputError
        If it is missing, damaged, no model of ``cyclegan fit``, or of other settings or networks
        than this version has.
    """
    content = checkpoint.load(path, KIND)
    if "styles" not in content:
        raise InputError(path, "is an unfinished fit", f"Give {MODEL} of a finished one")
    where = devices.choose(device)
    generator = None
    try:
        config, record = Translation.model_validate(content["config"]), content["record"]
        if content["generator"]:
            generator = towards_real(config)
            generator.load_state_dict(content["generator"])
            generator = generator.to(where, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    except (KeyError, TypeError, RuntimeError, ValidationError) as error:
        problem = f"does not fit this version ({shorten(str(error), 120)})"
        raise InputError(path, problem, "Give a model of cyclegan fit, or fit again") from None
    styles = [style.numpy() for style in content["styles"]]
    return Model(config, styles, generator, record, where)


def translate(model: Model, image: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Translate an image (Y, X) in 0..1 of any size; the same seed picks the same style."""
    rng = np.random.default_rng((model.config.seed, seed))
    styled = _start(model.config, model.styles, image, rng)
    if model.generator is not None:
        generator, sigma = model.generator, model.config.noise
        layers = styled
        if sigma:
            # Of the whole image, so that tiles share it where they meet.
            noise = sigma * rng.standard_normal(styled.shape, np.float32)
            layers = np.stack([styled, noise.astype(np.float32)])
        out = np.empty_like(styled)

        def function(windows: NDArray[np.float32]) -> NDArray[np.float32]:
            x = torch.from_numpy(windows).to(model.device, memory_format=torch.channels_last)
            with torch.inference_mode(), devices.autocast(model.device):
                return generator(x)[:, 0].float().cpu().numpy()  # type: ignore[no-any-return]

        apply_tiled(
            layers, function, out, tile=TILE, halo=generator.halo, multiple=generator.multiple
        )
        styled = out
    return vary(np.clip(styled, 0, 1), model.config, rng.spawn(1)[0])


def _started(
    config: Translation, source: Store, scenes: Sequence[NDArray[np.float32]]
) -> list[Pair]:
    """What the generator starts from: the store's images as `translate` will hand them to it."""
    pairs = []
    for index in range(source.samples):
        sample = source.read(index)
        planes = [(sample.grey, sample.mask)]
        if sample.mask.ndim == 3:
            planes = list(zip(sample.grey, sample.mask, strict=True))[
                :: -(-len(sample.mask) // PLANES)
            ]
        for grey, mask in planes:
            rng = np.random.default_rng((config.seed, index))
            pairs.append((_start(config, scenes, grey, rng), mask))
    return pairs


def _start(
    config: Translation,
    scenes: Sequence[NDArray[np.float32]],
    image: NDArray[np.float32],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    return STARTS[config.style](config, scenes, image, rng)


def _fingerprint(content: Any) -> str:
    """SHA-256 over nested dicts and lists of tensors and plain values."""
    total = hashlib.sha256()

    def update(value: Any) -> None:
        if isinstance(value, dict):
            for key in value:
                total.update(str(key).encode())
                update(value[key])
        elif isinstance(value, list | tuple):
            for item in value:
                update(item)
        elif isinstance(value, Tensor):
            total.update(value.contiguous().cpu().numpy().tobytes())
        else:
            total.update(repr(value).encode())

    update(content)
    return total.hexdigest()
