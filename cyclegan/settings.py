"""Configuration of the translation."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from phasegen.config import Config, Range, one_of

METHODS = {"fda": False, "cyclegan": True, "cut": True, "histogram": False}
"""The methods, and whether they learn something on top of ``start``."""


def _band(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] < 0 or bounds[1] > 0.5:
        raise ValueError("is a share of the image's size, between 0 and 0.5")
    return bounds


Band = Annotated[Range, AfterValidator(_band)]


class Translation(Config):
    """Everything that `cyclegan fit` needs to know."""

    real: Path = Field(Path(), description="folder of unlabelled real images; has no default")
    sim: Path = Field(Path("data/sim.zarr"), description="store to translate")
    method: Annotated[str, one_of(METHODS)] = Field(
        "fda", description="fda, cyclegan, cut or histogram"
    )
    start: Literal["fda", "histogram", "none"] = Field(
        "fda", description="what a learned method starts from: exchanged, matched or bare images"
    )
    band: Band = Field((0.01, 0.08), description="half-width of the exchanged frequencies, 0..0.5")
    flatten: int = Field(
        0, ge=0, le=4, description="order of the background taken off the real images; 0: none"
    )
    mix: float = Field(
        0, ge=0, le=1, description="probability that an exchange mixes two real images' amplitudes"
    )
    extrapolate: float = Field(
        0, ge=0, description="share by which an exchange may go beyond the real amplitudes"
    )
    relief: float = Field(
        0, ge=0, le=1, description="largest change of a grey value by shading of a relief"
    )
    flip: float = Field(0, ge=0, le=1, description="probability of an inverted image")
    seed: int = Field(0, ge=0, lt=2**63, description="seed")
    device: str = Field("auto", description="auto, cpu or cuda")
    width: int = Field(16, ge=1, description="channels of the generator at full resolution")
    blocks: int = Field(3, ge=1, description="residual blocks of the generator")
    critic_width: int = Field(32, ge=1, description="channels of the discriminator")
    patch: int = Field(128, ge=32, multiple_of=4, description="side of a patch, pixels")
    batch: int = Field(4, ge=1, description="patches of each side a step")
    steps: int = Field(1000, ge=1, description="steps; the rate falls to 0 over the second half")
    learning_rate: float = Field(5e-4, gt=0, description="of Adam, for all networks")
    bound: float = Field(0.3, gt=0, le=1, description="largest change of a grey value, 0..1")
    cycle: float = Field(3.0, ge=0, description="weight of the cycle loss")
    identity: float = Field(1.0, ge=0, description="weight of the identity loss")
    geometry: Literal["segmenter", "structure", "none"] = Field(
        "segmenter", description="what ties boundaries to the mask"
    )
    geometry_weight: float = Field(1.0, ge=0, description="weight of the geometry loss")
    contrast: float = Field(1.0, ge=0, description="weight of the contrastive loss of cut")
    places: int = Field(256, ge=2, description="places of a patch that cut contrasts")
    noise: float = Field(0, ge=0, description="noise channel: one mask, many pictures; 0: none")
    diversity: float = Field(0.01, gt=0, lt=1, description="least difference of such pictures")
    augment: float = Field(
        0.6, ge=0, lt=1, description="confidence that augmentation grants the discriminator; 0: off"
    )
    ema: float = Field(0.995, ge=0, lt=1, description="decay of the kept generator's mean; 0: off")
    pool: int = Field(50, ge=0, description="translated patches kept for the discriminator")
    checkpoint_every: int = Field(100, ge=1, description="steps between checkpoints")
    on_drift: Literal["stop", "warn"] = Field(
        "stop", description="what to do if boundaries have moved at three checkpoints in a row"
    )

    @model_validator(mode="after")
    def _check_real(self) -> Self:
        # A required field would be complained of before a key that is misspelt.
        if "real" not in self.model_fields_set:
            raise ValueError("names no folder of real images: give --real, or real in --config")
        return self

    @property
    def style(self) -> str:
        """What is done to an image with real scenes before anything that is learned."""
        return self.start if METHODS[self.method] else self.method


FULL = {"width": 64, "blocks": 9, "critic_width": 64, "patch": 256, "steps": 40_000, "ema": 0.999}
"""What ``--size full`` changes: networks as wide and deep as the original paper's, for a GPU."""

EVERYWHERE = {"real", "sim", "method", "flatten", "relief", "flip", "seed", "device"}
"""Settings that every method uses."""


def find_unused(config: Translation, names: Iterable[str]) -> dict[str, str]:
    """Those of some settings that change nothing, and which methods use them."""
    learned = METHODS[config.method]
    users = {
        **dict.fromkeys(Translation.model_fields, (learned, "cyclegan and cut")),
        **dict.fromkeys(EVERYWHERE, (True, "all")),
        "cycle": (config.method == "cyclegan", "cyclegan"),
        **dict.fromkeys(("contrast", "places"), (config.method == "cut", "cut")),
        **dict.fromkeys(
            ("band", "mix", "extrapolate"),
            (config.style == "fda", "fda, and cyclegan and cut with start = fda"),
        ),
        "geometry_weight": (
            learned and config.geometry != "none",
            "cyclegan and cut with geometry = segmenter or structure",
        ),
        "diversity": (learned and config.noise > 0, "cyclegan and cut with noise"),
    }
    return {name: users[name][1] for name in names if not users[name][0]}
