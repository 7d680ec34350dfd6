"""What no training begins with: settings and data that mean nothing, or do not go together."""

import pytest

from phasegen.errors import InputError
from segtrain.config import Training
from segtrain.sources import open_data
from segtrain.train import train
from tests.segtrain.specimens import SHORT


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "ce-dise"}, "loss = 'ce-dise'.*did you mean 'ce-dice'"),
        ({"class_weights": (0, 0)}, "class_weights.*all are 0, so that nothing"),
        ({"model": "unte"}, "model = 'unte'.*did you mean 'unet'"),
        ({"model": "transformer"}, "model = 'transformer'.*known are unet"),
        ({"step": 5}, "unknown key 'step'. Did you mean 'steps'"),
        ({"patch": 4}, "patch = 4 is too small"),
        ({"widths": ()}, "widths = .*at least 1"),
        ({"widths": (0, 4)}, "widths.*greater than 0"),
        ({"batch": 0}, "batch = 0.*greater than or equal to 1"),
        ({"batch": 1, "adapt": "images"}, "batch = 1, but adapt takes half of a batch"),
        ({"batch": 1, "patch": 8}, "batch = 1, but of patch = 8 the coarsest level is a single"),
    ],
)
def test_settings_that_mean_nothing_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Training.load(**options)


@pytest.mark.parametrize("given", [("images", "masks"), ("images",), ("masks",)])
def test_synthetic_only_refuses_drawn_masks_before_anything_is_written(
    given, simulation, real, tmp_path, silent
):
    drawn = {name: getattr(real, name) for name in given}
    for store in (None, simulation):
        settings = Training(store=store, synthetic_only=True, **drawn, **SHORT)
        with pytest.raises(InputError, match="drawn masks, which --synthetic-only refuses"):
            open_data(settings)
        with pytest.raises(InputError, match="--synthetic-only"):
            train(settings, tmp_path / "run", silent)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "has no data"),
        (("images",), "needs both --images and --masks"),
        (("masks",), "needs both --images and --masks"),
    ],
)
def test_data_must_be_given_once(given, message, simulation, real, tmp_path, silent):
    known = {"store": simulation, **real._asdict()}
    settings = Training(**{name: known[name] for name in given}, **SHORT)
    with pytest.raises(InputError, match=message):
        train(settings, tmp_path / "run", silent)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch": 33}, "patch 33: has a side that is no multiple of 2"),
        ({"patch": (32, 32, 32)}, r"sim\.zarr: has 2 axes, the patch 3"),
        ({"class_weights": (1,)}, "class_weights: are 1 numbers for 2 classes"),
        ({"freeze": ("encoder",)}, "freeze: names 'encoder'.*Its parts are first, down"),
        ({"mix": (0.5, 0.5)}, "--mix: names 2 shares for 1 sources"),
        ({"shots": 5}, "5 are asked for"),
        ({"data": ("nothing:there",)}, "'nothing' is no known format"),
    ],
)
def test_settings_that_do_not_fit_the_data(change, message, simulation, tmp_path, silent):
    settings = Training(store=simulation, **SHORT | change)
    with pytest.raises(InputError, match=message):
        train(settings, tmp_path / "run", silent)
    assert list(tmp_path.iterdir()) == []


def test_unlabelled_images_are_read_before_anything_is_written(simulation, tmp_path, silent):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"no image")
    settings = Training(store=simulation, adapt=folder, **SHORT)
    with pytest.raises(InputError, match=r"a\.png: cannot be read"):
        train(settings, tmp_path / "run", silent)
    assert not (tmp_path / "run").exists()


def test_too_few_images_to_hold_some_out(simulation, tmp_path, silent):
    settings = Training(store=simulation, **SHORT | {"validation": 6})
    with pytest.raises(InputError, match=r"has 6 images: 6 are held out, none is left"):
        train(settings, tmp_path / "run", silent)
    assert list(tmp_path.iterdir()) == []
