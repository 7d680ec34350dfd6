"""``cyclegan gap``: by what, and how much, synthetic pictures differ from real ones."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from cli import common
from cyclegan.gap import report
from cyclegan.gap.compare import compare, gains
from cyclegan.gap.compare import halves as compare_halves
from cyclegan.gap.embedding import MISSING, embed
from cyclegan.gap.pictures import read_pictures
from cyclegan.gap.responses import Extractor, fitted_networks, inception
from cyclegan.gap.samples import BANK, measure_samples
from phasegen.errors import InputError

HTML = (".html", ".htm")


def gap(
    real: Annotated[Path, typer.Argument(metavar="REAL", help="Folder of unlabelled images.")],
    synth: Annotated[
        list[Path], typer.Argument(metavar="SYNTH...", help="Stores or folders of images.")
    ],
    out: Annotated[Path, typer.Option(help="Page to write; a .json takes its name.")] = Path(
        "gap.html"
    ),
    patch: Annotated[int, typer.Option(min=32, help="Side of a patch, pixels.")] = 128,
    patches: Annotated[int, typer.Option(min=1, help="Patches of each image.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Seed of patches and permutations.")] = 0,
    model: Annotated[
        Path | None, typer.Option(help="Model of `cyclegan fit` whose networks judge, too.")
    ] = None,
    inception_: Annotated[
        Path | None,
        typer.Option("--inception", help="TorchScript network (N,3,299,299) -> (N,D)."),
    ] = None,
    pixel_size: Annotated[
        float | None, typer.Option(min=1e-9, help="Side of a pixel of REAL, micrometres.")
    ] = None,
) -> None:
    """Compare synthetic images with real ones: style, morphology, and which of them is off."""
    if out.suffix.lower() not in HTML:
        raise InputError(out, "is no name of a page", "Give --out a name that ends in .html")
    networks: dict[str, Extractor] = {}
    remarks = []
    if model is not None:
        networks |= fitted_networks(model)
        if not networks:
            remarks.append(f"{model} keeps no networks; the texture features judge alone.")
    if inception_ is not None:
        networks["inception"] = inception(inception_)
    pictures = []
    with common.progress("gap", 3 * (1 + len(synth))) as advance:
        for number, path in enumerate((real, *synth)):
            pictures.append(
                read_pictures(path, patch, patches, seed, None if number else pixel_size)
            )
            advance()
        # Two stores may bear one name.
        times = Counter(one.name for one in pictures)
        pictures = [
            one if times[one.name] == 1 else replace(one, name=str(one.path)) for one in pictures
        ]
        first, *others = measure_samples(pictures, networks, advance)
        gaps = []
        for other in others:
            gaps.append(compare(first, other, seed))
            advance()
        halves = compare_halves(first, seed)
        advance()
    remarks += gains(gaps, [one.pictures for one in others])
    maps = embed([one.features[BANK] for one in (first, *others)], seed)
    if maps is None:
        remarks.append(MISSING)
    written = report.save(out, [first, *others], gaps, halves, remarks, maps)
    common.table(*report.table([*gaps, halves] if halves else gaps))
    for one in gaps:
        print(f"{one.name}: {one.verdict}", *one.notes, sep="\n")
    for remark in remarks:
        print(remark)
    print(", ".join(map(str, written)))
