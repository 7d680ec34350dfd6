from pathlib import Path

from phasegen.errors import InputError


def test_one_line_names_source_problem_and_remedy() -> None:
    error = InputError(Path("a/b.tif"), "is empty", "Give an image")
    assert str(error) == "a/b.tif: is empty. Give an image."
    assert (error.source, error.problem, error.remedy) == (
        Path("a/b.tif"),
        "is empty",
        "Give an image",
    )
    assert isinstance(error, ValueError)
