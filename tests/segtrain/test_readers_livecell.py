"""LIVECell: outlines become instances by the stated rules, in every published arrangement."""

import json
import shutil

import numpy as np
import pytest
import tifffile

from phasegen.errors import InputError
from segtrain.data.livecell import draw_outlines, from_livecell
from segtrain.data.source import standardise
from tests.data import real

SHAPE = (40, 50)
NAMES = ("A172_Phase_A7_1_00d00h00m_1.tif", "MCF7_Phase_E4_1_00d00h00m_2.tif")


def square(x, y, side):
    """Outline of the pixels x..x+side-1, y..y+side-1."""
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def annotation(image, *squares, number=0, **more):
    area = sum(side * side for _, _, side in squares)
    outlines = [square(*one) for one in squares]
    return {"id": number, "image_id": image, "segmentation": outlines, "area": area, **more}


def data_set(path, annotations, images=None, nested=False, part="train", as_mapping=False):
    """A COCO file and its images; `images` maps ids to file names."""
    images = images or dict(enumerate(NAMES))
    listed = [
        {"id": k, "file_name": name, "height": SHAPE[0], "width": SHAPE[1]}
        for k, name in images.items()
    ]
    numbered = [
        {**one, "id": k, "iscrowd": one.get("iscrowd", 0)} for k, one in enumerate(annotations)
    ]
    content = {"images": listed, "annotations": numbered}
    if as_mapping:
        content["annotations"] = {str(one["id"]): one for one in numbered}
    folder = path / "annotations" / "LIVECell"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"livecell_coco_{part}.json").write_text(json.dumps(content))
    rng, pixels = np.random.default_rng(0), {}
    for name in images.values():
        folder = (
            path / "images" / "livecell_train_val_images" / (name.split("_")[0] if nested else "")
        )
        folder.mkdir(parents=True, exist_ok=True)
        pixels[name] = rng.integers(0, 255, SHAPE).astype(np.uint8)
        tifffile.imwrite(folder / name, pixels[name])
    return pixels


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("as_mapping", [False, True])
def test_images_with_their_instances(tmp_path, nested, as_mapping):
    annotations = [annotation(0, (5, 10, 4)), annotation(1, (0, 0, 6)), annotation(0, (20, 3, 5))]
    pixels = data_set(tmp_path, annotations, nested=nested, as_mapping=as_mapping)
    source = from_livecell(tmp_path, 32)
    assert (source.count, source.names, source.instances) == (2, NAMES, True)
    first = source.load(0)
    expected = np.zeros(SHAPE, np.int32)
    expected[10:14, 5:9], expected[3:8, 20:25] = 1, 2
    np.testing.assert_array_equal(first.mask, expected)
    np.testing.assert_array_equal(
        first.image, standardise(pixels[NAMES[0]].astype(np.float32))[None]
    )
    assert (first.weight == 1).all()
    assert (source.load(1).mask > 0).sum() == 36


def test_of_overlapping_cells_the_smaller_wins():
    outlines = [annotation(0, (10, 10, 4)), annotation(0, (8, 8, 10)), annotation(0, (9, 9, 6))]
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        mask, _ = draw_outlines([outlines[k] for k in order], SHAPE, "a.json")
        sizes = [int((mask == order.index(k) + 1).sum()) for k in range(3)]
        assert sizes == [16, 100 - 36, 36 - 16]


def test_of_cells_of_one_size_the_later_wins():
    mask, _ = draw_outlines([annotation(0, (5, 5, 4)), annotation(0, (7, 5, 4))], SHAPE, "a.json")
    assert [(mask == k).sum() for k in (1, 2)] == [8, 16]


def test_parts_of_one_cell_have_one_number():
    mask, _ = draw_outlines([annotation(0, (2, 2, 4), (20, 20, 5))], SHAPE, "a.json")
    assert (mask == 1).sum() == 16 + 25


def test_a_cell_thinner_than_a_pixel_is_kept():
    sliver = {"segmentation": [[10.1, 5.1, 10.3, 5.1, 10.3, 5.4]], "area": 0.03}
    mask, _ = draw_outlines([sliver], SHAPE, "a.json")
    assert np.argwhere(mask).tolist() == [[5, 10]]


def test_outlines_may_leave_the_image():
    mask, _ = draw_outlines([annotation(0, (-3, -2, 6)), annotation(0, (47, 37, 9))], SHAPE, "a")
    assert [(mask == k).sum() for k in (1, 2)] == [3 * 4, 3 * 3]


def test_crowds_have_no_weight():
    counts = [2, 3, SHAPE[0] * SHAPE[1] - 5]  # three pixels down the first column
    crowd = {"segmentation": {"counts": counts, "size": SHAPE}, "area": 3, "iscrowd": 1}
    mask, weight = draw_outlines([crowd], SHAPE, "a.json")
    assert not mask.any()
    assert np.argwhere(weight == 0).tolist() == [[2, 0], [3, 0], [4, 0]]
    mask, weight = draw_outlines([crowd, annotation(0, (0, 0, 4))], SHAPE, "a.json")
    assert np.argwhere(weight == 0).tolist() == [[4, 0]]
    mask, weight = draw_outlines([{**crowd, "iscrowd": 0}], SHAPE, "a.json")
    assert (mask.sum(), weight.min()) == (3, 1)


@pytest.mark.parametrize(
    ("counts", "problem"),
    [("PQR", "compressed run lengths"), ([1, 2], "run lengths of 3 pixels for 40 x 50")],
)
def test_run_lengths_that_cannot_be_read(counts, problem):
    outline = {"segmentation": {"counts": counts, "size": SHAPE}, "area": 3}
    with pytest.raises(InputError, match=rf"a\.json: .*{problem}"):
        draw_outlines([outline], SHAPE, "a.json")


@pytest.mark.parametrize("order", [(7, 8), (8, 7)])
def test_a_file_with_two_ids_has_the_fuller_annotation(tmp_path, order):
    annotations = [
        annotation(7, (5, 5, 5)),
        annotation(8, (5, 5, 6)),
        annotation(8, (20, 20, 6)),
    ]
    data_set(tmp_path, annotations, dict.fromkeys(order, NAMES[0]))
    source = from_livecell(tmp_path, 32)
    assert source.count == 1
    assert np.bincount(source.load(0).mask.ravel()).tolist()[1:] == [36, 36]


def test_of_two_equal_annotations_the_first_is_taken(tmp_path):
    data_set(
        tmp_path, [annotation(8, (5, 5, 6)), annotation(7, (5, 5, 5))], {7: NAMES[0], 8: NAMES[0]}
    )
    assert (from_livecell(tmp_path, 32).load(0).mask > 0).sum() == 25


def test_images_without_annotation_are_left_out(tmp_path):
    data_set(tmp_path, [annotation(1, (0, 0, 6))])
    source = from_livecell(tmp_path, 32)
    assert (source.names, source.record["unannotated"]) == (NAMES[1:], 1)
    data_set(tmp_path, [])
    with pytest.raises(InputError, match="annotates no image"):
        from_livecell(tmp_path, 32)


def test_cell_types_and_parts(tmp_path):
    annotations = [annotation(0, (5, 10, 4)), annotation(1, (0, 0, 6))]
    data_set(tmp_path, annotations)
    data_set(tmp_path, annotations[1:], part="test")
    assert from_livecell(tmp_path, 32, cells=("mcf7",)).names == NAMES[1:]
    assert from_livecell(tmp_path, 32, cells=("A172", "MCF7")).names == NAMES
    assert from_livecell(tmp_path, 32, part="test").names == NAMES[1:]
    with pytest.raises(InputError, match=r"cell type 'BV2'\. Choose from A172, MCF7"):
        from_livecell(tmp_path, 32, cells=("BV2",))
    with pytest.raises(InputError, match=r"holds no livecell_coco_val\.json\. .*parts test, train"):
        from_livecell(tmp_path, 32, part="val")


def test_another_coco_file_is_named(tmp_path):
    data_set(tmp_path, [annotation(0, (5, 10, 4))])
    published = tmp_path / "annotations" / "LIVECell" / "livecell_coco_train.json"
    shutil.copy(published, tmp_path / "livecell_mcf7_train.json")
    assert from_livecell(tmp_path, 32, annotations="livecell_mcf7_train.json").count == 1
    with pytest.raises(InputError, match=r"absent\.json: does not exist"):
        from_livecell(tmp_path, 32, annotations="absent.json")
    shutil.copy(published, tmp_path)
    with pytest.raises(InputError, match=r"holds 2 files livecell_coco_train\.json"):
        from_livecell(tmp_path, 32)


def test_missing_images_are_counted(tmp_path):
    data_set(tmp_path, [annotation(0, (5, 10, 4)), annotation(1, (0, 0, 6))])
    (tmp_path / "images" / "livecell_train_val_images" / NAMES[0]).unlink()
    with pytest.raises(InputError, match=rf"annotates {NAMES[0]} and 0 more images"):
        from_livecell(tmp_path, 32)


def test_an_image_of_another_size(tmp_path):
    data_set(tmp_path, [annotation(0, (5, 10, 4))])
    path = tmp_path / "images" / "livecell_train_val_images" / NAMES[0]
    tifffile.imwrite(path, np.arange(40 * 49, dtype=np.uint16).reshape(40, 49))
    with pytest.raises(InputError, match=r"is 40 x 49 pixels, 40 x 50 in livecell_coco_train"):
        from_livecell(tmp_path, 32).load(0)
    with pytest.raises(InputError, match=r"has images of 40 x 50 pixels"):
        from_livecell(tmp_path, 41)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"images": []}', '{"annotations": 3, "images": []}']
)
def test_what_is_no_coco_file(tmp_path, content):
    (tmp_path / "livecell_coco_train.json").write_text(content)
    with pytest.raises(InputError, match=r"livecell_coco_train\.json: is no COCO file"):
        from_livecell(tmp_path, 32)
    with pytest.raises(InputError, match="is no folder"):
        from_livecell(tmp_path / "absent", 32)


@pytest.mark.parametrize("part", ["train", "test"])
def test_published_cells(part):
    """Every cell of the file is there, and together they have the areas that it states."""
    path = real("livecell")
    source = from_livecell(path, 256, part=part)
    content = json.loads((path / f"livecell_coco_{part}.json").read_text())
    ids = {one["file_name"]: one["id"] for one in content["images"]}
    assert sorted(ids) == list(source.names)
    for index, name in enumerate(source.names):
        cells = [one for one in content["annotations"] if one["image_id"] == ids[name]]
        read = source.load(index)
        assert read.image.shape == (1, 520, 704)
        assert len(np.unique(read.mask)) - 1 == len(cells)
        alone = [(draw_outlines([one], (520, 704), path)[0] > 0).sum() for one in cells[:30]]
        stated = [one["area"] for one in cells[:30]]
        assert sum(alone) == pytest.approx(sum(stated), rel=0.01)
        area = sum(one["area"] for one in cells)
        assert 0.95 * area < (read.mask > 0).sum() < 1.002 * area  # less by what overlaps
    train = from_livecell(path, 256)
    both = [from_livecell(path, 256, cells=(cell,)) for cell in ("MCF7", "BT474")]
    assert sum(one.count for one in both) == train.count == 8


SQUARE = square(5, 5, 4)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"segmentation": []}, "has no outline"),
        ({"segmentation": None}, "has no outline"),
        ({"segmentation": [[]]}, "has an outline that is no list of polygons"),
        ({"segmentation": [SQUARE[:-1]]}, "no list of polygons"),
        ({"segmentation": SQUARE}, "no list of polygons"),
        ({"segmentation": [[*SQUARE[:-1], float("nan")]]}, "no list of polygons"),
        ({"segmentation": [[*SQUARE[:-1], "a"]]}, "no list of polygons"),
        ({"segmentation": [[*SQUARE[:-1], None]]}, "no list of polygons"),
        ({"segmentation": 3}, "no list of polygons"),
        ({"area": "large"}, "has the area 'large'"),
        ({"area": float("nan")}, "has the area nan"),
        ({"area": -1}, "has the area -1"),
        ({"area": [4]}, r"has the area \[4\]"),
    ],
)
def test_annotations_that_cannot_be_drawn_are_named_at_once(tmp_path, change, problem):
    data_set(tmp_path, [annotation(0, (20, 20, 4)), annotation(0, (5, 5, 4)) | change])
    with pytest.raises(
        InputError, match=rf"train\.json: holds the annotation 1, which .*{problem}"
    ):
        from_livecell(tmp_path, 32)


def test_annotations_without_a_key(tmp_path):
    bare = annotation(0, (5, 5, 4))
    del bare["segmentation"]
    data_set(tmp_path, [bare])
    with pytest.raises(InputError, match="holds the annotation 0, which has no outline"):
        from_livecell(tmp_path, 32)


@pytest.mark.parametrize("area", [{"area": None}, {}])
def test_an_area_that_is_not_stated_is_that_of_the_pixels(area):
    small, large = annotation(0, (10, 10, 4)), annotation(0, (8, 8, 10))
    del small["area"]
    mask, _ = draw_outlines([small | area, large], SHAPE, "a.json")
    assert [(mask == k).sum() for k in (1, 2)] == [16, 84]
    del large["area"]
    mask, _ = draw_outlines([annotation(0, (10, 10, 4)), large | area], SHAPE, "a.json")
    assert [(mask == k).sum() for k in (1, 2)] == [16, 84]


@pytest.mark.parametrize("counts", [[2, -1], ["a", 2], None, 5])
def test_run_lengths_that_are_no_lengths(counts):
    outline = {"segmentation": {"counts": counts, "size": SHAPE}, "area": 3}
    with pytest.raises(InputError, match=r"a\.json: holds the run lengths"):
        draw_outlines([outline], SHAPE, "a.json")
