"""Checkpoints come back exactly, appear whole or not at all, and are never taken for others."""

import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from phasegen import checkpoint
from phasegen.config import Config
from phasegen.errors import InputError


class Settings(Config):
    rate: float = 0.1
    widths: tuple[int, ...] = (4, 8)


@pytest.fixture
def good(tmp_path):
    state = {"step": 3, "nested": {"a": [torch.arange(5.0), "text"]}, "none": None}
    checkpoint.save(tmp_path / "good.pt", "segtrain", state)
    return tmp_path / "good.pt"


def test_state_comes_back_exactly(good):
    state = checkpoint.load(good, "segtrain")
    assert state["step"] == 3
    assert state["none"] is None
    tensor, text = state["nested"]["a"]
    assert text == "text"
    assert torch.equal(tensor, torch.arange(5.0))
    assert [path.name for path in good.parent.iterdir()] == ["good.pt"]


def test_optimiser_state_comes_back_bit_for_bit(tmp_path):
    network = torch.nn.Conv2d(1, 3, 3).to(memory_format=torch.channels_last)
    adam = torch.optim.AdamW(network.parameters())
    network(torch.rand(2, 1, 8, 8)).sum().backward()
    adam.step()
    checkpoint.save(tmp_path / "a.pt", "x", {"adam": adam.state_dict()})
    loaded = checkpoint.load(tmp_path / "a.pt", "x")["adam"]["state"]
    for number, state in adam.state_dict()["state"].items():
        for name, value in state.items():
            assert torch.equal(loaded[number][name], value)
            assert loaded[number][name].stride() == value.stride()


def test_weights_alone_are_plain_safetensors(tmp_path):
    network = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.BatchNorm2d(4))
    network = network.to(memory_format=torch.channels_last)
    checkpoint.save_weights(tmp_path / "w.safetensors", network)
    weights = load_file(tmp_path / "w.safetensors")
    assert weights.keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(weights[name], tensor)


def test_a_copy_is_the_same_file(good):
    checkpoint.copy(good, good.with_name("copy.pt"))
    assert good.with_name("copy.pt").read_bytes() == good.read_bytes()


def test_a_failed_write_leaves_the_old_file(good):
    before = good.read_bytes()
    with pytest.raises(Exception, match="pickle"):
        checkpoint.save(good, "segtrain", {"cannot": lambda: None})
    assert good.read_bytes() == before


def test_the_wrong_kind_is_named(good):
    with pytest.raises(InputError, match=r"good\.pt: is a checkpoint of segtrain, not of cyclegan"):
        checkpoint.load(good, "cyclegan")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.pt: does not exist.*segtrain"):
        checkpoint.load(tmp_path / "none.pt", "segtrain")


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "other.pt"
    torch.save({"weights": torch.ones(2)}, path)
    with pytest.raises(InputError, match="another program"):
        checkpoint.load(path, "segtrain")
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="another program"):
        checkpoint.load(path, "segtrain")
    for content in (b"", b"text\n", b"\x80\x02}.", pickle.dumps({"kind": "segtrain", "f": print})):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"other\.pt"):
            checkpoint.load(path, "segtrain")


def test_damaged_files_raise_nothing_but_input_errors(good):
    """Truncated anywhere, or with bytes changed: whatever loads must not be a crash."""
    content, rng = good.read_bytes(), np.random.default_rng(0)
    damaged = [content[: int(n)] for n in rng.integers(len(content), size=40)]
    for _ in range(150):
        noisy = np.frombuffer(content, np.uint8).copy()
        noisy[rng.integers(len(noisy), size=3)] = rng.integers(256, size=3)
        damaged.append(noisy.tobytes())
    damaged += [rng.bytes(int(n)) for n in rng.integers(1, 300, size=100)]
    refused = 0
    for content in damaged:
        good.write_bytes(content)
        try:
            checkpoint.load(good, "segtrain")
        except InputError:
            refused += 1
    assert refused > 200


def open_run(folder, settings=None, **inputs):
    return checkpoint.open_run(folder, "segtrain", settings or Settings(), inputs)


def save_last(folder, settings=None, **inputs):
    config = (settings or Settings()).model_dump(mode="json")
    state = {"config": config, "inputs": inputs, "step": 9}
    checkpoint.save(folder / checkpoint.LAST, "segtrain", state)


def test_a_run_starts_empty_beside_its_settings_and_then_goes_on(tmp_path):
    folder = tmp_path / "deep" / "run"
    assert open_run(folder, data="abc") == {}
    assert Settings.load(folder / checkpoint.SETTINGS) == Settings()
    save_last(folder, data="abc")
    assert open_run(folder, data="abc")["step"] == 9


def test_a_run_does_not_go_on_with_other_settings_or_data(tmp_path):
    open_run(tmp_path)
    save_last(tmp_path, data="abc")
    with pytest.raises(InputError, match=r"other settings or data \(rate\).*--overwrite"):
        open_run(tmp_path, Settings(rate=0.2), data="abc")
    with pytest.raises(InputError, match=r"other settings or data \(data\).*--overwrite"):
        open_run(tmp_path, data="abd")


def test_results_without_a_last_state_belong_to_whoever_wrote_them(tmp_path):
    """The same run may be begun again; another one, or one that is not known, is left alone."""
    open_run(tmp_path)
    (tmp_path / "best.pt").write_text("early")
    assert open_run(tmp_path) == {}
    assert not (tmp_path / "best.pt").exists()
    (tmp_path / "teacher.pt").write_text("precious")
    with pytest.raises(
        InputError, match=r"holds teacher\.pt of another run, whose last\.pt is gone"
    ):
        open_run(tmp_path, Settings(rate=0.2))
    (tmp_path / checkpoint.SETTINGS).unlink()
    with pytest.raises(InputError, match=r"holds teacher\.pt of another run"):
        open_run(tmp_path)
    assert (tmp_path / "teacher.pt").read_text() == "precious"


def test_a_run_needs_a_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file, not a folder"):
        open_run(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_only_the_folder_of_a_run_is_discarded(tmp_path):
    checkpoint.discard_run(tmp_path / "absent")
    open_run(tmp_path / "run")
    checkpoint.discard_run(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "mine").mkdir()
    checkpoint.discard_run(tmp_path / "mine")
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="holds no run"):
        checkpoint.discard_run(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "precious"
