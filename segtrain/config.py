"""Configuration of the training."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

from phasegen.config import Config, one_of
from phasegen.errors import InputError
from segtrain.losses import FIELD_LOSSES, LOSSES
from segtrain.losses.pde import STRENGTH, WIDTH
from segtrain.models import MODELS
from segtrain.models.options import checked
from segtrain.schedules import SCHEDULES
from segtrain.targets import TARGETS

CLASSES = "classes"
"""The target that is no field."""


class Training(Config):
    """Everything that training needs to know."""

    store: Path | None = Field(None, description="store with exact masks")
    images: Path | None = Field(None, description="folder of real images, with `masks`")
    masks: Path | None = Field(None, description="folder of drawn masks")
    data: tuple[str, ...] = Field((), description="more data, each a store or FORMAT:PATH")
    mix: tuple[float, ...] = Field((), description="share of the patches from each source")
    classes: tuple[str, ...] = Field((), description="names of the values of drawn masks")
    synthetic_only: bool = Field(False, description="refuse every drawn mask")
    adapt: Path | None = Field(None, description="folder of unlabelled images to adapt to")
    shots: int = Field(0, ge=0, description="labelled images used of the last source; 0: all")
    target: Annotated[str, one_of([CLASSES, *TARGETS])] = Field(
        CLASSES, description="what the network learns: classes, or a field of every instance"
    )
    model: Annotated[str, one_of(MODELS)] = Field("unet", description="network")
    options: dict[str, Any] = Field({}, description="options of the network, by name")
    widths: tuple[PositiveInt, ...] = Field(
        (16, 32, 64, 128), min_length=1, description="channels of every level, bottleneck last"
    )
    start: Path | None = Field(None, description="checkpoint to start from: fine-tuning")
    freeze: tuple[str, ...] = Field((), description="parts of the network that stay as they start")
    loss: Annotated[str, one_of([*LOSSES, *FIELD_LOSSES])] | None = Field(
        None, description="loss; ce-class-dice of classes and l1 of a field if left out"
    )
    class_weights: tuple[NonNegativeFloat, ...] = Field(
        (), description="weight of the pixels of every class"
    )
    prior_weight: float = Field(STRENGTH, ge=0, description="weight of the loss's prior, if any")
    prior_width: float = Field(WIDTH, gt=0, description="width of interfaces in the prior, pixels")
    prior_warm_up: float = Field(
        0.2, ge=0, le=1, description="share of the steps over which the prior gains its weight"
    )
    steps: int = Field(1000, ge=1, description="steps of training")
    batch: int = Field(8, ge=1, description="patches a step")
    patch: PositiveInt | tuple[PositiveInt, ...] = Field(
        128, description="side of a patch, pixels; one for all axes or one for each, z first"
    )
    foreground: float = Field(
        0,
        ge=0,
        le=1,
        description="share of the patches centred on the foreground, each class equally often",
    )
    learning_rate: float = Field(3e-3, gt=0, description="peak learning rate")
    weight_decay: float = Field(1e-4, ge=0, description="of AdamW")
    schedule: Annotated[str, one_of(SCHEDULES)] = Field(
        "cosine", description="course of the learning rate after the warm-up"
    )
    warm_up: float = Field(0.2, ge=0, lt=1, description="share of the steps in which it rises")
    final_rate: float = Field(0, ge=0, le=1, description="where it ends, as a share of its peak")
    clip: float = Field(0, ge=0, description="largest norm of the gradient; 0: any")
    ema: float = Field(0, ge=0, lt=1, description="decay of the mean network that is kept; 0: none")
    validation: int = Field(4, ge=0, description="images of the last source held out")
    validate_every: int = Field(50, ge=1, description="steps between validations and checkpoints")
    patience: int = Field(10, ge=1, description="validations without progress before stopping")
    adapt_steps: int = Field(400, ge=1, description="steps of self-training")
    adapt_rate: float = Field(1e-3, gt=0, description="peak learning rate of self-training")
    confidence: float = Field(0.7, ge=0, lt=1, description="least probability of a pseudo-label")
    compile: bool = Field(False, description="compile the network with torch.compile")
    deterministic: bool = Field(False, description="refuse operations that vary between runs")
    seed: int = Field(0, ge=0, lt=2**63, description="seed")
    device: str = Field("auto", description="auto, cpu or cuda")

    @field_validator("class_weights")
    @classmethod
    def _check_weights(cls, weights: tuple[float, ...]) -> tuple[float, ...]:
        if weights and not any(weights):
            raise ValueError("all are 0, so that nothing would be learned")
        return weights

    @field_validator("options")
    @classmethod
    def _check_options(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        model = info.data.get("model")  # absent if it was refused itself
        return checked(model, MODELS[model], options) if model else options

    @model_validator(mode="after")
    def _check_batch(self) -> Self:
        if self.adapt and self.batch < 2:
            raise ValueError("batch = 1, but adapt takes half of a batch from each kind of data")
        sides = (self.patch,) if isinstance(self.patch, int) else self.patch
        if self.batch == 1 and max(sides) <= 2 ** (len(self.widths) - 1):
            problem = f"batch = 1, but of patch = {self.patch} the coarsest level is a single pixel"
            raise ValueError(f"{problem}, which cannot be normalised: larger patches, or batch = 2")
        return self

    @model_validator(mode="after")
    def _check_patch(self) -> Self:
        sides = (self.patch,) if isinstance(self.patch, int) else self.patch
        if min(sides) < 8 or len(sides) > 3:
            raise ValueError(f"patch = {self.patch} is too small, or of more than three axes")
        return self

    @model_validator(mode="after")
    def _check_loss(self) -> Self:
        known = LOSSES if self.target == CLASSES else FIELD_LOSSES
        if self.loss and self.loss not in known:
            raise ValueError(
                f"loss = {self.loss} does not fit the target {self.target}: choose one of "
                f"{', '.join(known)}"
            )
        if self.target != CLASSES and self.adapt:
            raise ValueError("adapt needs target = classes: a field has no confidence")
        return self

    def sides(self, axes: int) -> tuple[int, ...]:
        """Sides of a patch of so many axes.

        Raises
        ------
        InputError
            If `patch` has another number of sides.
        """
        sides = (self.patch,) * axes if isinstance(self.patch, int) else self.patch
        if len(sides) != axes:
            problem = f"has {len(sides)} sides, the data {axes} axes"
            raise InputError(f"patch {self.patch}", problem, "Give one side, or one for each axis")
        return sides

    @property
    def criterion(self) -> str:
        """Name of the loss in use."""
        return self.loss or ("ce-class-dice" if self.target == CLASSES else "l1")
