"""Bad files given to every command that reads them.

Each is refused in one line that names it and the remedy, and nothing is written: see `refused`.
"""

import re
import shutil

import numpy as np
import pytest
import tifffile
import torch

from phasegen.images import list_images, write_image
from phasegen.store import open_store
from tests.cli.conftest import snapshot

SHAPE = (96, 80)
RAMP = np.tile(np.arange(SHAPE[1], dtype=np.uint8), (SHAPE[0], 1))


READ_IMAGES = [
    "cyclegan fit --real {folder} --sim {sim}",
    "cyclegan fit --real {folder} --sim {sim} --method=cyclegan --set patch=32",
    "cyclegan translate {folder} --model {model} --out new",
    "segtrain --images {folder} --masks {truth} --set patch=32 --out new",
    "segtrain --store {sem} --patch 64 --adapt {folder} --out new",
    "segtrain evaluate --images {folder} --masks {truth} --checkpoint {checkpoint} --out new",
    "segtrain predict {folder} --checkpoint {checkpoint} --out new",
]

COLOUR = np.stack([RAMP, RAMP[:, ::-1], RAMP], axis=-1)
NAN = np.where(RAMP == 7, np.nan, RAMP).astype(np.float32)

BAD_IMAGES = {
    "text": (lambda path: path.write_text("Magnification 20 kx"), "as an image.*Export it again"),
    "black": (lambda path: write_image(path, 0 * RAMP), "every pixel is 0.*Leave it out"),
    "colour": (lambda path: write_image(path, COLOUR), "colour image.*greyscale"),
    "NaN": (lambda path: tifffile.imwrite(path, NAN), "96 pixels that are NaN.*Replace them"),
    "small": (lambda path: write_image(path, RAMP[:30]), "patch size of 32.*smaller patch"),
}


@pytest.mark.parametrize(
    ("line", "kind"),
    # What cuts no patches takes images of any size.
    [(a, b) for a in READ_IMAGES for b in BAD_IMAGES if b != "small" or "patch=32" in a],
)
def test_one_bad_image_among_good_ones(refused, tmp_path, places, line, kind):
    write, says = BAD_IMAGES[kind]
    shutil.copytree(places["images"], tmp_path / "folder")
    shutil.copytree(places["masks"], tmp_path / "truth")
    write(tmp_path / "folder/bad.tif")  # after the good ones, which bear numbers
    write_image(tmp_path / "truth/bad.png", RAMP[:30] % 2 if kind == "small" else RAMP % 2)
    assert re.search(rf"bad\.tif: .*{says}", refused(line, folder="folder", truth="truth"))


@pytest.mark.parametrize("line", READ_IMAGES)
def test_folder_without_images(refused, tmp_path, places, line):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    for folder, says in (
        ("folder", "holds no image. Give a folder with files of type .tif"),
        ("file", "is a file, not a folder. Give the folder that holds the images"),
        ("nowhere", "does not exist"),
    ):
        assert f"error: {folder}: {says}" in refused(line, folder=folder, truth=places["masks"])


@pytest.mark.parametrize("line", [line for line in READ_IMAGES if "{truth}" in line])
def test_masks_that_do_not_fit(refused, tmp_path, places, line):
    truth, last = tmp_path / "truth", len(list_images(places["images"])) - 1
    given = {"folder": places["images"], "truth": "truth"}
    assert "error: truth: does not exist" in refused(line, **given)
    shutil.copytree(places["masks"], truth)
    (truth / f"{last}.png").unlink()
    expected = rf"{last}\.tif: has no mask in truth\. Add {last}\.png there"
    assert re.search(expected, refused(line, **given))
    write_image(truth / f"{last}.png", RAMP[:, :40] % 2)
    expected = rf"truth/{last}\.png: is 96 x 40 pixels, its image 96 x 80\. Give the mask"
    assert re.search(expected, refused(line, **given))
    write_image(truth / f"{last}.png", RAMP.astype(np.uint16) * 300)
    expected = rf"truth/{last}\.png: holds uint16 values.*no classes\. Save class indices"
    assert re.search(expected, refused(line, **given))


def test_masks_with_classes_that_the_model_does_not_know(refused, tmp_path, places):
    shutil.copytree(places["masks"], tmp_path / "truth")
    write_image(tmp_path / "truth/0.png", RAMP % 4)
    line = "segtrain evaluate --images {images} --masks truth --checkpoint {checkpoint}"
    expected = "truth: holds class 3, the model knows 2 (solute-poor, solute-rich). Give masks"
    assert expected in refused(line)


def test_images_that_would_give_one_file(refused, tmp_path, places):
    shutil.copytree(places["images"], tmp_path / "folder")
    write_image(tmp_path / "folder/0.png", RAMP)
    write_image(tmp_path / "folder/0.bmp.png", RAMP)
    (tmp_path / "folder/0.bmp.png").rename(tmp_path / "folder/0.bmp")
    for line in (
        "segtrain predict folder --checkpoint {checkpoint} --out new",
        "cyclegan translate folder --model {model} --out new",
    ):
        assert "folder: holds images that differ in suffix alone. Rename them" in refused(line)


READ_STORES = [
    "phasegen show {store} --out new.png",
    "phasegen verify {store}",
    "cyclegan fit --real {images} --sim {store}",
    "cyclegan translate {store} --model {model} --out new.zarr",
    "segtrain --store {store} --synthetic-only --patch 32",
]


def cut(path):
    """Lose the second half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD_STORES = {
    "chunk cut": (lambda path: cut(path / "image/c/5/0/0/0"), r"/image: sample 5 cannot be read"),
    "chunk lost": (lambda path: (path / "mask/c/5/0/0").unlink(), r"/mask: sample 5 cannot be"),
    "metadata cut": (lambda path: cut(path / "zarr.json"), r": the metadata cannot be read"),
    "array cut": (lambda path: cut(path / "mask/zarr.json"), r": the metadata cannot be read"),
    "array lost": (lambda path: shutil.rmtree(path / "mask"), r": the metadata cannot be read"),
    "no store": (lambda path: (path / "zarr.json").unlink(), r": is not a store\. Give a folder"),
    "nowhere": (lambda path: shutil.rmtree(path), r": does not exist\. Give a folder that"),
}


@pytest.mark.parametrize("kind", BAD_STORES)
@pytest.mark.parametrize("line", READ_STORES)
def test_damaged_store(refused, tmp_path, places, line, kind):
    shutil.copytree(places["sim"], tmp_path / "damaged.zarr")
    damage, says = BAD_STORES[kind]
    damage(tmp_path / "damaged.zarr")
    said = refused(line, store="damaged.zarr")
    if line.startswith("phasegen verify"):
        says = r": has [12] problems\. See the lines above"
    assert re.search(f"error: damaged.zarr{says}", said)


@pytest.mark.parametrize("line", READ_STORES[2:])
def test_unfinished_store(refused, tmp_path, places, line):
    shutil.copytree(places["sim"], tmp_path / "half.zarr")
    open_store(tmp_path / "half.zarr", "r+").arrays["state"][3] = 0
    assert re.search(
        r"half\.zarr: is unfinished.*\. Run the .*again", refused(line, store="half.zarr")
    )


@pytest.mark.parametrize(
    "line",
    [
        "cyclegan fit --real {images} --sim {sim} --method cyclegan --set patch=100",
        "segtrain --store {sim} --synthetic-only --patch 104",
    ],
)
def test_samples_smaller_than_a_patch(refused, line):
    assert re.search(r"sim\.zarr: has (samples|images) of \(?96(, | x )96\)? pixels", refused(line))


READ_CHECKPOINTS = [
    "cyclegan translate {sim} --model {file} --out new.zarr",
    "cyclegan translate {images} --model {file} --out new",
    "segtrain evaluate --images {images} --masks {masks} --checkpoint {file}",
    "segtrain predict {images} --checkpoint {file} --out new",
]


@pytest.mark.parametrize("line", READ_CHECKPOINTS)
def test_checkpoint_of_another_program_or_none(refused, tmp_path, places, line):
    program, other = line.split()[0], "segtrain"
    ours, theirs = places["model"], places["checkpoint"]
    if program == "segtrain":
        other, ours, theirs = "cyclegan", theirs, ours
    expected = f"error: {theirs}: is a checkpoint of {other}, not of {program}. Give a checkpoint"
    assert expected in refused(line, file=theirs)
    shutil.copy(ours, tmp_path / "cut.pt")
    cut(tmp_path / "cut.pt")
    (tmp_path / "random.pt").write_bytes(np.random.default_rng(0).bytes(4096))
    (tmp_path / "empty.pt").touch()
    torch.save({"weights": torch.zeros(3)}, tmp_path / "foreign.pt")
    for name, says in (
        ("cut.pt", "is damaged or no checkpoint"),
        ("random.pt", "is damaged or no checkpoint"),
        ("empty.pt", "is damaged or no checkpoint"),
        ("foreign.pt", f"is a checkpoint of another program, not of {program}"),
        ("nowhere.pt", "does not exist"),
    ):
        remedy = f"Give a checkpoint that {program} has written"
        assert refused(line, file=name) == f"error: {name}: {says}. {remedy}."


def test_translation_that_is_not_fitted_to_its_end(refused, places):
    said = refused(READ_CHECKPOINTS[0], file=places["unfinished"])
    assert said.endswith("last.pt: is an unfinished fit. Give model.pt of a finished one.")


SIMULATE = "phasegen simulate spinodal --n 1 --size 64"
FIT = "cyclegan fit --real {images} --sim {sim}"
TRANSLATE = "cyclegan translate {sim} --model {model}"
TRAIN = "segtrain --synthetic-only --store {sem} --patch 64"
EVALUATE = "segtrain evaluate --images {images} --masks {masks} --checkpoint {checkpoint}"


@pytest.mark.parametrize(
    "line",
    [
        FIT,
        f"{FIT} --method cyclegan --set patch=32",
        f"{TRANSLATE} --out new.zarr",
        TRAIN,
        EVALUATE,
        "segtrain predict {images} --checkpoint {checkpoint}",
    ],
)
@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_device_that_is_not_there(refused, line, device):
    said = refused(f"{line} --device {device}")
    assert re.search(rf"device '{device}': cannot be used .*\. Use auto, cpu or cuda\.", said)


NO_STORE, NO_FOLDER = "is not a store. Give a folder", "is a file, not a folder. Choose another"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"{SIMULATE} --out taken", NO_STORE),
        (f"{SIMULATE} --out taken --overwrite", NO_STORE),
        (f"{FIT} --run taken", NO_FOLDER),
        (f"{FIT} --run taken --overwrite", NO_FOLDER),
        (f"{FIT} --out taken", NO_STORE),
        (f"{FIT} --out taken --overwrite", NO_STORE),
        (f"{TRANSLATE} --out taken", NO_STORE),
        (f"{TRANSLATE} --out taken --overwrite", NO_STORE),
        ("cyclegan translate {images} --model {model} --out taken", NO_FOLDER),
        (f"{TRAIN} --out taken", NO_FOLDER),
        (f"{TRAIN} --out taken --overwrite", NO_FOLDER),
        (f"{EVALUATE} --out taken", NO_FOLDER),
        ("segtrain predict {images} --checkpoint {checkpoint} --out taken", NO_FOLDER),
    ],
)
def test_output_that_is_in_the_way(refused, tmp_path, line, says):
    (tmp_path / "taken").write_text("my notes")
    assert refused(line).startswith(f"error: taken: {says}")


def test_contact_sheet_below_a_file(refused, tmp_path):
    (tmp_path / "taken").write_text("my notes")
    assert "error: taken: is a file" in refused("phasegen show {sim} --out taken/sheet.png")


def test_overwriting_removes_nothing_but_runs_and_stores(refused, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").write_text("years of work")
    for line, says in (
        ("phasegen simulate spinodal --n 1 --size 64 --out thesis", "is not a store"),
        ("cyclegan translate {sim} --model {model} --out thesis", "is not a store"),
        ("segtrain --store {sem} --patch 32 --out thesis", "holds no run"),
    ):
        assert f"error: thesis: {says}" in refused(f"{line} --overwrite")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"{SIMULATE} --set parameters.tme=3 --out a", "tme"),
        ("cyclegan fit --real nowhere --sim {sim} --run a", "nowhere"),
        ("cyclegan translate broken.zarr --model {model} --out b", "broken"),
        ("segtrain --store broken.zarr --out a", "broken"),
        (f"{TRAIN} --adapt nowhere --out a", "nowhere"),
    ],
)
def test_overwriting_waits_until_the_input_is_checked(refused, tmp_path, places, line, says):
    shutil.copytree(places["sim"], tmp_path / "broken.zarr")
    cut(tmp_path / "broken.zarr/image/c/5/0/0/0")
    run = {"cyclegan": places["model"], "segtrain": places["checkpoint"]}.get(line.split()[0])
    shutil.copytree(run.parent if run else places["sim"], tmp_path / "a")
    shutil.copytree(places["sem"], tmp_path / "b")
    assert says in refused(f"{line} --overwrite")


def test_input_that_is_also_the_output(refused, tmp_path, places):
    shutil.copytree(places["images"], tmp_path / "folder")
    shutil.copytree(places["sim"], tmp_path / "a.zarr")
    for line in (
        "segtrain predict folder --checkpoint {checkpoint} --out folder",
        "cyclegan translate folder --model {model} --out folder",
        "cyclegan translate a.zarr --model {model} --out a.zarr --overwrite",
    ):
        assert re.search(
            r"is the (folder of the images|store to translate)\. Choose", refused(line)
        )


def test_one_real_image_is_too_few_for_a_style(refused, tmp_path):
    (tmp_path / "folder").mkdir()
    write_image(tmp_path / "folder/only.tif", RAMP)
    said = refused("cyclegan fit --real folder --sim {sim}")
    assert said == "error: folder: holds a single image. Give at least two, better five."


def test_grey_stored_as_colour_is_grey(command, tmp_path, places):
    for name in ("grey", "colour"):
        (tmp_path / name).mkdir()
    for path in list_images(places["images"]):
        grey = (tifffile.imread(path) >> 8).astype(np.uint8)
        write_image(tmp_path / "grey" / path.name, grey)
        write_image(tmp_path / "colour" / path.name, np.stack([grey] * 3, axis=-1))
    for name in ("grey", "colour"):
        fit = f"cyclegan fit --real {name} --sim {{sim}} --run {name}.run --no-translate"
        assert command(fit).code == 0
        predict = f"segtrain predict {name} --checkpoint {{checkpoint}} --out {name}.masks"
        assert command(predict).code == 0
    assert snapshot(tmp_path / "grey.masks") == snapshot(tmp_path / "colour.masks")
    styles = [torch.load(f"{name}.run/model.pt")["styles"] for name in ("grey", "colour")]
    torch.testing.assert_close(*styles, rtol=0, atol=0)
