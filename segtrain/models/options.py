"""Options of a network: what its builder takes by keyword."""

import json
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from inspect import Parameter, signature
from typing import Any

from pydantic import TypeAdapter, ValidationError
from torch import nn


def checked(
    name: str, build: Callable[..., nn.Module], options: Mapping[str, Any]
) -> dict[str, Any]:
    """The options, of the types that the builder of a network states.

    Parameters
    ----------
    name : str
        What the network is called.
    build : callable
        Its keyword-only parameters are the options.
    options : mapping
        Values as JSON has them: lists stand for tuples, nothing else for anything else.

    Raises
    ------
    ValueError
        If there is no such option, or its value is of another type.
    """
    every = signature(build).parameters.values()
    known = {p.name: p.annotation for p in every if p.kind is Parameter.KEYWORD_ONLY}
    found = {}
    for option, value in options.items():
        if option not in known:
            near = get_close_matches(option, known, n=1)
            listed = ", ".join([*near, *(one for one in known if one not in near)])
            raise ValueError(f"{name} has no option {option!r}; it has {listed or 'none'}")
        try:
            found[option] = TypeAdapter(known[option]).validate_json(json.dumps(value), strict=True)
        except ValidationError as error:
            said = error.errors()[0]["msg"].replace("Input should", "it should")
            others = ", ".join(one for one in known if one != option) or "none"
            problem = (
                f"{name} cannot take {option} = {value!r}: {said}; its other options: {others}"
            )
            raise ValueError(problem) from None
    return found
