"""Formats of annotated data that others publish, and which reader each has."""

import difflib
import inspect
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from phasegen.errors import InputError
from segtrain.data.cases import Layout, from_volumes
from segtrain.data.ctc import from_ctc
from segtrain.data.instances import from_label_folders
from segtrain.data.livecell import from_livecell
from segtrain.data.medical import brats, lits, msd, nnunet
from segtrain.data.readers import from_folders
from segtrain.data.source import Source


def _volumes(layout: Callable[[Path], Layout]) -> Callable[..., Source]:
    def read(
        path: Path,
        patch: int | Sequence[int],
        *,
        part: str = "all",
        seed: int = 0,
        spacing: Sequence[float] | None = None,
        middle_slice: bool = False,
        cache: Path | None = None,
    ) -> Source:
        return from_volumes(
            layout(path),
            path,
            patch,
            part=part,
            seed=seed,
            spacing=spacing,
            middle_slice=middle_slice,
            cache=cache,
        )

    return read


def _folder(path: Path, patch: int | Sequence[int], *, classes: Sequence[str] = ()) -> Source:
    """Images in ``PATH/images`` with class masks of the same name in ``PATH/masks``."""
    return from_folders(path / "images", path / "masks", patch, classes)


READERS: dict[str, Callable[..., Source]] = {
    "folder": _folder,
    "folder-instances": from_label_folders,
    "ctc": from_ctc,
    "livecell": from_livecell,
    "msd": _volumes(msd),
    "nnunet": _volumes(nnunet),
    "brats": _volumes(brats),
    "lits": _volumes(lits),
}
"""``READERS[format](path, patch, **options) -> Source``."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(":"))


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(word) for word in text.split(":"))


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


OPTIONS: dict[str, tuple[Callable[[str], Any], str]] = {
    "annotations": (str, "a path below the folder"),
    "cache": (Path, "a folder"),
    "classes": (_words, "names such as matrix:oxide"),
    "cells": (_words, "names such as MCF7:BT474"),
    "middle_slice": (_truth, "true or false"),
    "part": (str, "a name such as train"),
    "seed": (int, "a whole number"),
    "sequences": (_words, "names such as 01:02"),
    "spacing": (_numbers, "sizes such as 2:0.8:0.8, z first"),
    "truth": (str, "GT or ST"),
}
"""How the options of readers are read from text, and what they look like."""


def open_format(text: str, patch: int | Sequence[int]) -> Source:
    """The data that ``FORMAT:PATH[,OPTION=VALUE,...]`` names.

    Several values of one option are joined by colons: ``livecell:/data,cells=MCF7:BT474``.

    Raises
    ------
    InputError
        If there is no such format, it has no such option, a value cannot be read, and as the
        format's reader does.
    """
    name, _, rest = text.partition(":")
    if name not in READERS:
        raise InputError(text, f"{name!r} is no known format", _near(name, READERS))
    words = rest.split(",")
    # What exists is the path, however many commas it has.
    known_paths = (k for k in range(len(words), 0, -1) if os.path.exists(",".join(words[:k])))
    end = next(known_paths, 1)
    path, given = ",".join(words[:end]), words[end:]
    known = list(inspect.signature(READERS[name]).parameters)[2:]
    options = {}
    for one in given:
        option, _, value = one.partition("=")
        if option not in known:
            remedy = _near(option, known) if "=" in one else "Give a path that exists, then options"
            raise InputError(text, f"{name} has no option {option!r}", remedy)
        read, looks = OPTIONS[option]
        try:
            options[option] = read(value)
        except (KeyError, ValueError):
            raise InputError(text, f"{option} is {value!r}", f"Give {looks}") from None
    return READERS[name](Path(path), patch, **options)


def _near(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, known := list(known), 1)
    return f"Did you mean {near[0]!r}" if near else f"Choose from {', '.join(known)}"
