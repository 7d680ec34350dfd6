"""The option ``--decode``: how instances are found in a field, for this command alone."""

from dataclasses import replace
from typing import Annotated, Any

import typer

from phasegen.errors import InputError
from segtrain.config import CLASSES
from segtrain.predict import Segmenter

KINDS: dict[str, type[int] | type[float]] = {
    "epsilon": float,
    "h": float,
    "min_size": int,
    "max_hole": int,
}
"""The parameters of `segtrain.decode.Decoding`."""

Decode = Annotated[
    str | None,
    typer.Option(
        help="How instances are found in a field: epsilon=0.05,h=0.1,min_size=10,max_hole=50, or "
        "some of them [default: as the checkpoint has it]."
    ),
]


def with_decoding(segmenter: Segmenter, text: str | None) -> Segmenter:
    """The segmenter with a decoding changed as ``NAME=VALUE[,NAME=VALUE...]`` says.

    Raises
    ------
    InputError
        If it predicts classes, or a name or value is none of a decoding.
    """
    if text is None:
        return segmenter
    option = f"--decode {text}"
    if segmenter.target == CLASSES:
        raise InputError(option, "is for fields, the model predicts classes", "Leave it out")
    changes: dict[str, Any] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            changes[name] = KINDS[name](value)
        except (KeyError, ValueError):
            remedy = f"Give numbers for some of {', '.join(KINDS)}: h=0.2,min_size=20"
            raise InputError(option, f"has {part!r}", remedy) from None
    return replace(segmenter, decoding=replace(segmenter.decoding, **changes))
