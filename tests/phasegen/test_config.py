"""Layers of a configuration, and what a user is told when a key or value is wrong."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from phasegen.config import Config, Range, Within
from phasegen.errors import InputError


class Inner(Config):
    depth: int = 3
    spread: Range = (0.0, 1.0)


class Outer(Config):
    magnification: Range = (1.0, 2.0)
    rate: float = 0.5
    inner: Inner = Inner()


FILES = {
    "a.toml": "rate = 0.25\n[inner]\ndepth = 7\n",
    "a.yaml": "rate: 0.25\ninner: {depth: 7}\n",
    "a.json": '{"rate": 0.25, "inner": {"depth": 7}}',
}


@pytest.mark.parametrize("name", FILES)
def test_file_replaces_defaults(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text(FILES[name])
    config = Outer.load(file)
    assert config == Outer(rate=0.25, inner=Inner(depth=7))
    assert config.inner.spread == (0.0, 1.0)


def test_later_layers_win(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("rate: 0.25\ninner: {depth: 7, spread: [0.1, 0.2]}\n")
    assert Outer.load(file, rate=None).rate == 0.25
    assert Outer.load(file, rate=0.125).rate == 0.125
    config = Outer.load(file, ["rate=1e-3", "inner.depth=9"], rate=0.125)
    assert config.rate == 1e-3
    assert config.inner == Inner(depth=9, spread=(0.1, 0.2))


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("magnification=[1.5, 3]", (1.5, 3.0)),
        ("magnification=2", (2.0, 2.0)),
        (" magnification = [1, 1]", (1.0, 1.0)),
    ],
)
def test_a_range_is_two_bounds_or_one_number(setting: str, expected: tuple[float, float]) -> None:
    assert Outer.load(None, [setting]).magnification == expected


@pytest.mark.parametrize(
    "number", ["1e2", "1E2", "1e+2", "+1e2", "1.e2", "10_0e0", ".1e3", "100.", "1_00", "1000e-1"]
)
def test_a_number_is_what_python_takes_for_one(tmp_path: Path, number: str) -> None:
    assert float(number) == 100
    assert Outer.load(None, [f"rate={number}"]).rate == 100
    assert Outer.load(None, [f"magnification=[-1e-1, {number}]"]).magnification == (-0.1, 100)
    (tmp_path / "a.yaml").write_text(f"rate: {number}\ninner: {{depth: {number}}}\n")
    assert Outer.load(tmp_path / "a.yaml") == Outer(rate=100, inner=Inner(depth=100))


@pytest.mark.parametrize("text", ["e2", "1e", "1e2e3", "1e2x", "0x1e2g", "1 e2"])
def test_text_stays_text(text: str) -> None:
    class Named(Config):
        name: str

    assert Named.load(None, [f"name={text}"]).name == text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["magnificaton=2"], "unknown key 'magnificaton'. Did you mean 'magnification'."),
        (["inner.dept=2"], "unknown key 'inner.dept'. Did you mean 'depth'."),
        (["zzz=2"], "unknown key 'zzz'. Known keys: magnification, rate, inner."),
        (["rate"], "--set rate: has no '='. Write it as --set key=value."),
        (["magnification=[3, 2]"], "the lower bound 3.0 exceeds the upper bound 2.0"),
        (["inner.depth=much"], "inner.depth = 'much': "),
    ],
)
def test_a_wrong_setting_is_explained(settings: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Outer.load(None, settings)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.yaml", "rats: 1", "unknown key 'rats'. Did you mean 'rate'"),
        ("a.toml", "rate = = 1", "cannot be read"),
        ("a.yaml", "rate: [1", "cannot be read"),
        ("a.yaml", "- rate", "holds no 'key: value' pairs"),
        ("a.yaml", "", "holds no 'key: value' pairs"),
        ("missing.yaml", None, "cannot be read"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, name: str, text: str | None, problem: str) -> None:
    file = tmp_path / name
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError) as caught:
        Outer.load(file)
    assert caught.value.source == file
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_draws_lie_in_their_ranges_and_repeat() -> None:
    config = Outer.load(magnification=(1.5, 1.75))
    draws = [config.draw(np.random.default_rng(seed)) for seed in range(50)]
    values = np.array([d["magnification"] for d in draws])
    assert draws[0].keys() == {"magnification"}
    assert values.min() >= 1.5
    assert values.max() <= 1.75
    assert np.ptp(values) > 0.2
    assert config.draw(np.random.default_rng(3)) == draws[3]
    assert Outer.load(magnification=2).draw(np.random.default_rng(0)) == {"magnification": 2.0}


def test_limits_of_a_range_are_told_and_kept() -> None:
    class Narrow(Config):
        wide: Range = (0.0, 1.0)
        share: Annotated[Range, Within(0.2, np.inf, "too little")] = (0.3, 0.4)

    assert Narrow.limits("share") == (0.2, np.inf)
    assert Narrow.limits("wide") == (-np.inf, np.inf)
    assert Narrow.load(share=0.2).share == (0.2, 0.2)
    with pytest.raises(InputError, match=r"share = 0\.1: must be at least 0\.2: too little"):
        Narrow.load(share=0.1)


def test_saved_configuration_loads_as_itself(tmp_path: Path) -> None:
    config = Outer.load(None, ["inner.depth=9", "magnification=[1.1, 1.3]"])
    path = tmp_path / "resolved.yaml"
    config.save(path)
    assert Outer.load(path) == config
    assert list(yaml.safe_load(path.read_text())) == ["magnification", "rate", "inner"]
    assert [p.name for p in tmp_path.iterdir()] == ["resolved.yaml"]


def test_configuration_is_frozen() -> None:
    with pytest.raises(ValidationError):
        Outer().rate = 1.0
