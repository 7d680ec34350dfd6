"""Configuration: frozen models, a file, then ``--set a.b=c`` on top; unknown keys are errors."""

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import core_schema

from phasegen.errors import InputError
from phasegen.files import written_whole


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if not np.isfinite(bounds).all():
        raise ValueError("is not finite")
    if bounds[0] > bounds[1]:
        raise ValueError(f"the lower bound {bounds[0]} exceeds the upper bound {bounds[1]}")
    return bounds


def _above(bound: float, strictly: bool) -> AfterValidator:
    def check(bounds: tuple[float, float]) -> tuple[float, float]:
        if bounds[0] < bound or (strictly and bounds[0] == bound):
            raise ValueError(f"must be {'more than' if strictly else 'at least'} {bound:g}")
        return bounds

    return AfterValidator(check)


def _share(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[1] >= 1:
        raise ValueError("must be between 0 and 1")
    return bounds


def _pair(value: Any) -> Any:
    return (value, value) if isinstance(value, int | float) else value


Range = Annotated[tuple[float, float], BeforeValidator(_pair), AfterValidator(_ordered)]
"""Bounds ``(low, high)`` from which a value is drawn; a single number fixes it."""

Positive = Annotated[Range, _above(0, strictly=True)]
NotNegative = Annotated[Range, _above(0, strictly=False)]
Share = Annotated[Positive, AfterValidator(_share)]
AtLeastOne = Annotated[Range, _above(1, strictly=False)]


@dataclass(frozen=True)
class Within:
    """Validator of a `Range` beyond whose limits a model does not hold.

    Parameters
    ----------
    low, high : float
        The limits, themselves allowed; infinite if there is none.
    why : str
        What a value outside would mean.
    """

    low: float
    high: float
    why: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, bounds: tuple[float, float]) -> tuple[float, float]:
        if bounds[0] < self.low or bounds[1] > self.high:
            limits = f"from {self.low:g} to {self.high:g}"
            if np.isinf(self.high):
                limits = f"at least {self.low:g}"
            elif np.isinf(self.low):
                limits = f"at most {self.high:g}"
            raise ValueError(f"must be {limits}: {self.why}")
        return bounds


def _axes(value: Any) -> Any:
    if isinstance(value, int):
        return (value, value)
    if isinstance(value, str):
        sides = value.split(",")
        return sides * 2 if len(sides) == 1 else sides
    return value


def _sides(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) not in (2, 3):
        raise ValueError("is not N, Y,X or Z,Y,X")
    if min(shape) < SMALLEST:
        raise ValueError(f"every side must be at least {SMALLEST}")
    return shape


SMALLEST = 32
"""Least side of a simulated image or volume, pixels."""

Shape = Annotated[tuple[int, ...], BeforeValidator(_axes), AfterValidator(_sides)]
"""Pixels per axis, ([Z,] Y, X); a single number is the side of a square."""


def one_of(choices: Collection[str]) -> AfterValidator:
    """Validator of a name that must be among `choices`; the nearest one is suggested."""

    def check(name: str) -> str:
        if name not in choices:
            near = get_close_matches(name, choices, n=1)
            known = f"did you mean {near[0]!r}" if near else f"known are {', '.join(choices)}"
            raise ValueError(f"is unknown; {known}")
        return name

    return AfterValidator(check)


class Config(BaseModel):
    """Base of every stage's configuration: frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def load(
        cls,
        file: Path | None = None,
        settings: Sequence[str] = (),
        /,
        **options: Any,
    ) -> Self:
        """Resolve a configuration: defaults, then `file`, then `options`, then `settings`.

        Parameters
        ----------
        file : Path, optional
            A TOML, YAML or JSON file with the same keys as the model.
        settings : sequence of str
            ``"a.b=c"`` assignments; values are read as YAML (``[1, 2]``, ``true``, ``0.5``), but
            for numbers that Python would take and YAML would not (``1e2``).
        **options
            Values given as command-line options; ``None`` means "not given".

        Raises
        ------
        InputError
            If a key is unknown (the nearest known key is suggested) or a value does not fit.
        """
        values: dict[str, Any] = _read(file) if file else {}
        values |= {key: value for key, value in options.items() if value is not None}
        for setting in settings:
            key, equals, text = setting.partition("=")
            if not equals:
                raise InputError(f"--set {setting}", "has no '='", "Write it as --set key=value")
            try:
                _assign(values, key.strip().split("."), _parse(text))
            except (yaml.YAMLError, TypeError, ValueError) as error:
                problem = f"cannot be read ({' '.join(str(error).split())})"
                raise InputError(f"--set {setting}", problem, "Write it as --set a.b=c") from None
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise _explain(cls, error, file or "configuration") from None

    def ranges(self) -> dict[str, tuple[float, float]]:
        """The bounds of every `Range` of the model, in the order of the fields."""
        return {
            name: getattr(self, name)
            for name, field in type(self).model_fields.items()
            if field.annotation == tuple[float, float]
        }

    @classmethod
    def limits(cls, name: str) -> tuple[float, float]:
        """The limits that the `Range` of that name may not leave, infinite if it has none."""
        within = [m for m in cls.model_fields[name].metadata if isinstance(m, Within)]
        return max([-np.inf, *(m.low for m in within)]), min([np.inf, *(m.high for m in within)])

    def at(self, point: Sequence[float]) -> dict[str, float]:
        """One value for every `Range`: a point of the unit cube, stretched to the bounds."""
        bounds = self.ranges().items()
        return {
            name: float(low + (high - low) * u)
            for (name, (low, high)), u in zip(bounds, point, strict=True)
        }

    def draw(self, rng: np.random.Generator) -> dict[str, float]:
        """One value for every `Range`, uniformly."""
        return self.at(rng.random(len(self.ranges())).tolist())

    def save(self, path: Path) -> None:
        """Write the resolved configuration as YAML, beside the output it belongs to."""
        with written_whole(path) as partial:
            partial.write_text(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False))


class _Loader(yaml.SafeLoader):
    """YAML 1.1, in which an exponent needs a point and a sign, with Python's numbers as well."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def _parse(text: str) -> Any:
    return yaml.load(text, _Loader)


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text()
        values = tomllib.loads(text) if file.suffix == ".toml" else _parse(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        problem = " ".join(str(error).split())
        raise InputError(file, f"cannot be read ({problem})", "Give a TOML or YAML file") from None
    if not isinstance(values, Mapping):
        raise InputError(file, "holds no 'key: value' pairs", "Give a TOML or YAML mapping")
    return dict(values)


def _assign(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        # Copies on the way down, so that a mapping read from a file is never changed in place.
        values[key] = dict(values.get(key) or {})
        values = values[key]
    values[keys[-1]] = value


def _explain(model: type[BaseModel], error: ValidationError, source: str | Path) -> InputError:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    key = ".".join(path)
    if first["type"] != "extra_forbidden":
        said = first["msg"].removeprefix("Value error, ")
        # A rule between several keys has no place, and its input would be the whole configuration.
        problem = f"{key} = {first['input']!r}: {said}" if path else said
        return InputError(source, problem, "Correct the value")
    for part in path[:-1]:
        field = model.model_fields.get(part)
        if field is not None and isinstance(field.annotation, type):
            model = field.annotation
    known = list(model.model_fields)
    near = get_close_matches(path[-1], known, n=1)
    remedy = f"Did you mean {near[0]!r}" if near else f"Known keys: {', '.join(known)}"
    return InputError(source, f"unknown key {key!r}", remedy)
