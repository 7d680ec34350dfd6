"""One line of text names a format, a folder and options."""

import inspect

import numpy as np
import pytest
import tifffile

from phasegen.errors import InputError
from segtrain.data.formats import OPTIONS, READERS, open_format


def volumes(path):
    for part in ("images", "labels"):
        (path / part).mkdir()
        array = np.arange(5 * 12 * 12, dtype=np.uint16).reshape(5, 12, 12) % 7
        tifffile.imwrite(path / part / "a.tif", array, photometric="minisblack")


def test_a_format_with_options(tmp_path):
    volumes(tmp_path)
    assert open_format(f"folder-instances:{tmp_path}", 4).spacing == (1.0, 1.0, 1.0)
    source = open_format(f"folder-instances:{tmp_path},spacing=2:0.8:0.8", (4, 8, 8))
    assert source.spacing == (2.0, 0.8, 0.8)


def test_every_option_of_every_reader_can_be_read():
    for read in READERS.values():
        path, patch, *options = inspect.signature(read).parameters
        assert (path, patch) == ("path", "patch")
        assert set(options) <= set(OPTIONS)


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("cells", "MCF7:BT474", ("MCF7", "BT474")),
        ("cells", "MCF7", ("MCF7",)),
        ("sequences", "01", ("01",)),
        ("spacing", "2:0.8:0.8", (2.0, 0.8, 0.8)),
        ("middle_slice", "true", True),
        ("middle_slice", "False", False),
        ("seed", "7", 7),
        ("part", "test", "test"),
    ],
)
def test_values_of_options(option, text, value):
    read, _ = OPTIONS[option]
    assert read(text) == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("brat:/a", "'brat' is no known format. Did you mean 'brats'"),
        ("xyz:/a", "Choose from folder, folder-instances, ctc, livecell, msd, nnunet, brats, lits"),
        (
            "brats:/a,middle-slice=true",
            "brats has no option 'middle-slice'. Did you mean 'middle_s",
        ),
        ("ctc:/a,cells=b", "ctc has no option 'cells'. Choose from truth, sequences, spacing"),
        ("brats:/a,middle_slice=yes", "middle_slice is 'yes'. Give true or false"),
        ("msd:/a,seed=x", "seed is 'x'. Give a whole number"),
        ("msd:/a,spacing=1:", "spacing is '1:'. Give sizes such as"),
        ("msd:/a,spacing", "spacing is ''. Give sizes such as"),
        ("folder:b,c", "folder has no option 'c'. Give a path that exists, then options"),
    ],
)
def test_text_that_names_nothing(text, problem):
    with pytest.raises(InputError) as error:
        open_format(text, 32)
    assert str(error.value).startswith(f"{text}: ")
    assert problem in str(error.value)


@pytest.mark.parametrize("options", ["", ",part=all", ",part=all,spacing=1:1:1"])
def test_folders_may_have_commas(tmp_path, options):
    folder = tmp_path / "a,part=test" / "b,c"
    folder.mkdir(parents=True)
    volumes(folder)
    assert open_format(f"folder-instances:{folder}{options}", 4).count == 1
