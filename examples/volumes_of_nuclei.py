"""Every nucleus of mouse embryos, in volumes: 3D U-Net, Poisson field, watershed.

::

    python examples/volumes_of_nuclei.py nuclei_3d out
    python examples/volumes_of_nuclei.py nuclei_3d out --held Emb01,Emb03 --steps 1000

It needs a folder with `images`, `labels` and ``manifest.csv``, whose column ``id`` names volumes
EMBRYO_TIME, such as those of BBBC050 (Tokuoka et al., npj Systems Biology and Applications 6, 32
(2020)). All volumes of the held-out embryos are the test: volumes of one embryo show the same
nuclei, and must not be divided between training and test. The network learns the field of every
nucleus in voxels of the stated size; epsilon and h of the watershed are chosen on volumes that
training held out. The same command again goes on where it was interrupted. `out` holds the
evaluation and ``nuclei.png``: middle planes of the test volumes, their truth and the prediction.
"""

import csv
import shutil
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.color import label2rgb
from typer import Option

from cli import common
from phasegen.errors import InputError
from phasegen.files import make_folder
from phasegen.images import write_image
from segtrain.config import Training
from segtrain.data.source import Source
from segtrain.evaluate import evaluate_source
from segtrain.findings import write_evaluation
from segtrain.predict import Segmenter, load_segmenter, segment_image
from segtrain.sources import open_source
from segtrain.train import train
from segtrain.tune import held_out, tune, write_decoding

PATCH = (24, 48, 48)


def embryos(data: Path) -> dict[str, list[str]]:
    """Names of the volumes of every embryo.

    Raises
    ------
    InputError
        If there is no manifest, or it names no volumes.
    """
    manifest = data / "manifest.csv"
    if not manifest.exists():
        raise InputError(manifest, "does not exist", "Write one with the column id: EMBRYO_TIME")
    with manifest.open(newline="") as file:
        names = [row.get("id", "") for row in csv.DictReader(file)]
    found: dict[str, list[str]] = {}
    for name in filter(None, names):
        found.setdefault(name.partition("_")[0], []).append(name)
    if not found:
        raise InputError(manifest, "names no volumes", "Give the column id: EMBRYO_TIME")
    return found


def arrange(data: Path, out: Path, held: list[str]) -> None:
    """Links to the volumes of the held-out embryos in ``out/test``, to all others in ``out/train``.

    What was there goes: volumes that an earlier call divided otherwise would be in both. Where
    the system allows no links, there are copies.

    Raises
    ------
    InputError
        If an embryo is unknown, all are held out, or a volume is missing.
    """
    known = embryos(data)
    for embryo in held:
        if embryo not in known:
            raise InputError("--held", f"names {embryo!r}", f"Choose from {', '.join(known)}")
    if len(set(held)) == len(known):
        raise InputError("--held", "leaves no embryo to learn from", "Hold out fewer")
    for kind, test in product(("images", "labels"), (True, False)):
        embryos_of_part = [embryo for embryo in known if (embryo in held) == test]
        volumes = [f"{name}.tif" for embryo in embryos_of_part for name in known[embryo]]
        folder = out / ("test" if test else "train") / kind
        make_folder(folder)
        for stale in folder.iterdir():
            stale.unlink()
        for name in volumes:
            target, link = (data / kind / name).resolve(), folder / name
            if not target.exists():
                raise InputError(target, "does not exist", "Leave it out of manifest.csv")
            try:
                link.symlink_to(target)
            except OSError:  # Windows wants a privilege for it
                shutil.copyfile(target, link)


def picture(segmenter: Segmenter, source: Source, volumes: int = 4) -> NDArray[np.uint8]:
    """Middle planes of the last volumes: image, truth, prediction; a row for each."""
    rows = []
    for index in range(source.count)[-volumes:]:
        sample = source.load(index)
        plane = len(sample.mask) // 2
        low, high = np.percentile(sample.image, (1, 99.8))
        grey = np.clip((sample.image[0, plane] - low) / (high - low), 0, 1)
        masks = (sample.mask[plane], segment_image(segmenter, sample.image)[plane])
        tiles = [np.repeat(grey[..., None], 3, axis=2)]
        tiles += [label2rgb(mask, grey, alpha=0.5, bg_label=0) for mask in masks]
        cut = [tile[:128, :128] for tile in tiles]
        lack = [(0, 128 - n) for n in cut[0].shape[:2]]
        rows.append(np.hstack([np.pad(tile, [*lack, (0, 0)]) for tile in cut]))
    return np.round(255 * np.kron(np.vstack(rows), np.ones((2, 2, 1)))).astype(np.uint8)


program = common.app("volumes_of_nuclei", "Instances in volumes of embryos that were not seen.")


@program.command()
def main(
    data: Path,
    out: Path,
    held: Annotated[str, Option(help="embryos to test on")] = "Emb11",
    spacing: Annotated[str, Option(help="size of a voxel, um, z first")] = "1.75:0.8:0.8",
    model: Annotated[str, Option(help="network")] = "unet3d",
    widths: Annotated[str, Option(help="channels of every level")] = "8,16,32",
    steps: Annotated[int, Option(help="steps of training")] = 300,
    seed: Annotated[int, Option(help="seed of the training")] = 0,
) -> None:
    """Train on all embryos of DATA but those held out, and score these."""
    torch.set_num_threads(1)
    arrange(data, out, held.split(","))
    learned, tested = (
        f"folder-instances:{out / part},spacing={spacing}" for part in ("train", "test")
    )
    config = Training(
        data=(learned,),
        target="poisson",
        model=model,
        widths=tuple(int(width) for width in widths.split(",")),
        patch=PATCH,
        batch=2,
        foreground=0.7,
        steps=steps,
        validation=3,
        validate_every=max(1, steps // 2),
        patience=1000,
        seed=seed,
        device="cpu",
    )
    best = train(config, out / "run", common.progress)
    source, indices = held_out(best)
    write_decoding(best, tune(load_segmenter(best, "cpu"), source, indices)[0].decoding)
    segmenter = load_segmenter(best, "cpu")
    test = open_source(tested, PATCH, True)
    result = evaluate_source(segmenter, test, tolerance=2.0)
    write_evaluation(out / "evaluation", result, segmenter, 2.0)
    write_image(out / "nuclei.png", picture(segmenter, test))
    columns = ("pq", "ap50", "seg", "dice")
    rows = [[name, *(f"{row[one]:.3f}" for one in columns)] for name, row in result.scores.items()]
    rows.append(["mean", *(f"{result.summary[one].mean:.3f}" for one in columns)])
    rows.append(["all nuclei pooled", *(f"{result.pooled[one]:.3f}" for one in columns)])
    common.table(["volume", "PQ", "AP@0.5", "SEG", "Dice"], rows)


if __name__ == "__main__":
    common.run(program)
