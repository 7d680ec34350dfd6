"""Small folders of images and labels of cells, and a segmenter that finds these."""

import numpy as np
import tifffile
import torch

from segtrain.decode import Decoding
from segtrain.predict import Segmenter

CPU = torch.device("cpu")


def discs(shape, seed):
    """Labels of spots on a grid, and their noisy image."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.arange(6, n, 14) for n in shape), indexing="ij"), -1)
    labels = np.zeros(shape, np.uint16)
    places = np.moveaxis(np.indices(shape), 0, -1)
    for number, centre in enumerate(grid.reshape(-1, len(shape)), 1):
        labels[((places - centre) ** 2).sum(-1) <= rng.uniform(9, 25)] = number
    image = 3000.0 * (labels > 0) + 500 + rng.normal(0, 100, shape)
    return labels, image.astype(np.uint16)


def folder(path, shape=(64, 64), count=4):
    """`count` images ``images/N.tif`` with ``labels/N.tif``."""
    (path / "images").mkdir(parents=True)
    (path / "labels").mkdir()
    for number in range(count):
        labels, image = discs(shape, number)
        tifffile.imwrite(path / "images" / f"{number}.tif", image, photometric="minisblack")
        tifffile.imwrite(path / "labels" / f"{number}.tif", labels, photometric="minisblack")
    return path


class Brightness(torch.nn.Module):
    """Takes the brightness of a pixel for its field: enough to find `discs`."""

    multiple, halo = 1, 0

    def forward(self, x):
        return 0.4 * x


def field_model(axes=2, target="poisson", **decoding):
    """A segmenter of a field that finds the discs."""
    return Segmenter(
        Brightness(),
        ("background", "instance"),
        CPU,
        (),
        target=target,
        decoding=Decoding(**decoding),
        spacing=(1.0,) * axes,
        window=(16,) * axes,
    )
