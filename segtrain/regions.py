"""Unions of classes by which a data set is judged beside its classes."""

from collections.abc import Mapping, Sequence

from segtrain.data.medical import BRATS_CLASSES

REGIONS: dict[tuple[str, ...], Mapping[str, Sequence[int]]] = {
    BRATS_CLASSES: {"ET": (1,), "TC": (1, 2), "WT": (1, 2, 3)},
    # The same tumours as the Medical Segmentation Decathlon calls them.
    ("background", "edema", "non-enhancing tumor", "enhancing tumour"): {
        "ET": (3,),
        "TC": (2, 3),
        "WT": (1, 2, 3),
    },
}
"""``REGIONS[classes][region]`` -> class numbers; ET, TC and WT as BraTS ranks by (Menze et al.,
IEEE TMI 34, 1993 (2015)): enhancing tumour, tumour core, whole tumour."""
