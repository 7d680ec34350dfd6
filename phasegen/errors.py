"""The one error a user's input may raise: it names the source, the problem and the remedy."""

from pathlib import Path


class InputError(ValueError):
    """Input that cannot be used.

    Every command prints it as one line and exits with code 2; a traceback is kept for our own
    mistakes.

    Parameters
    ----------
    source : str or Path
        The file, option or key that is at fault.
    problem : str
        What is wrong with it, without a full stop.
    remedy : str
        What the user can do about it, without a full stop.
    """

    def __init__(self, source: str | Path, problem: str, remedy: str) -> None:
        super().__init__(source, problem, remedy)
        self.source, self.problem, self.remedy = source, problem, remedy

    def __str__(self) -> str:
        return f"{self.source}: {self.problem}. {self.remedy}."
