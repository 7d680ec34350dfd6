"""What the three applications share: settings, errors, progress and tables."""

import logging
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

import typer
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from phasegen.errors import InputError

QUIET_SECONDS = 5.0
"""Least time between two lines of progress in a log."""

ENDLESS = 1 << 16
"""Width of a pipe in characters: no cell is ever folded or cut there."""


PACKAGES = ("phasegen", "cyclegan", "segtrain")
"""Whose warnings are shown; those of other libraries are none of the user's business."""


class Advance(Protocol):
    """Report that `steps` more steps are done, with a short `note` such as ``"loss 0.12"``."""

    def __call__(self, steps: int = 1, note: str = "") -> None: ...


def app(name: str, help: str) -> typer.Typer:
    """Make a Typer application with the settings common to all commands.

    Parameters
    ----------
    name : str
        Name of the program, as the user types it.
    help : str
        What it does, in Markdown; shown by ``--help``, ``-h`` and without arguments.
    """
    return typer.Typer(
        name=name,
        help=help,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        # Rich markup would swallow the brackets of "[low, high]".
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def run(app: typer.Typer, args: Sequence[str] | None = None) -> None:
    """Run an application; warnings, and what the user can mend, are lines on stderr.

    Parameters
    ----------
    app : typer.Typer
        An application made by `app`.
    args : sequence of str, optional
        Arguments; those of the process by default.

    Raises
    ------
    SystemExit
        Always. 0: done; 2: bad input or usage; 130: interrupted by Ctrl-C.
    """
    warned = _Warnings(logging.WARNING)
    try:
        for name in PACKAGES:
            logging.getLogger(name).addHandler(warned)
        app(args, prog_name=app.info.name)
    except InputError as error:
        _complain(Text.assemble(("error: ", "bold red"), " ".join(str(error).splitlines())))
        sys.exit(2)
    except SystemExit as stop:
        # Typer turns KeyboardInterrupt into this code, silently.
        if stop.code == 130:
            _complain(Text("interrupted; run the same command again to go on"))
        raise
    finally:
        for name in PACKAGES:
            logging.getLogger(name).removeHandler(warned)


class _Warnings(logging.Handler):
    """Lines on what is stderr at the time: while a bar is shown, it lets them pass above it."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"warning: {record.getMessage()}", file=sys.stderr)


def _complain(line: Text) -> None:
    Console(stderr=True).print(line, soft_wrap=True)


@contextmanager
def progress(description: str, total: int, done: int = 0) -> Iterator[Advance]:
    """Show on stderr how far a loop has come, and how long it has still to go.

    A terminal gets a bar; a log gets a plain line about every tenth of the way, the lines at
    least `QUIET_SECONDS` apart, so that the output of a batch job stays readable.

    Parameters
    ----------
    description : str
        What is being done, in a word or two.
    total : int
        Steps in all.
    done : int
        Steps that an earlier run has already done; they do not count for the time to go.

    Yields
    ------
    Advance
        Function to call after each step: ``advance()``, ``advance(4, "loss 0.123")``.
    """
    console = Console(stderr=True, force_terminal=sys.stderr.isatty())
    if console.is_interactive:
        shown = _bar(console, description, total, done)
    else:
        shown = _log(description, total, done)
    with shown as advance:
        yield advance


@contextmanager
def _bar(console: Console, description: str, total: int, done: int) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    # A step may take minutes, so the speed is estimated over a long window.
    with Progress(
        *columns, console=console, refresh_per_second=4, speed_estimate_period=600
    ) as bars:
        task = bars.add_task(description, total=total, completed=done, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            bars.update(task, advance=steps, note=note)

        yield advance


@contextmanager
def _log(description: str, total: int, done: int) -> Iterator[Advance]:
    start = last = time.monotonic()
    at, tenth = done, 10 * done // max(total, 1)

    def line(*details: str) -> None:
        share = f"{100 * at // max(total, 1)} %"
        text = ", ".join([f"{description}: {at}/{total} ({share})", *filter(None, details)])
        print(text, file=sys.stderr, flush=True)

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal at, tenth, last
        at += steps
        now = time.monotonic()
        due = 10 * at // max(total, 1) > tenth and now - last >= QUIET_SECONDS
        if due or at == total:
            elapsed = now - start
            left = elapsed * (total - at) / max(at - done, 1)
            line(f"{clock(elapsed)} elapsed", f"{clock(left)} left" if at < total else "", note)
            tenth, last = 10 * at // max(total, 1), now

    line()
    yield advance


def clock(seconds: float) -> str:
    """Seconds as hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table to stdout; nothing is cut, and a pipe gets plain columns on single lines.

    Parameters
    ----------
    header : sequence of str
        Names of the columns.
    rows : iterable of sequence
        Cells, printed by ``str``; a column whose cells all begin like numbers is set flush right.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else ENDLESS)
    grid = Table(
        box=box.SIMPLE_HEAD if terminal else None, pad_edge=False, show_edge=False, highlight=False
    )
    for index, name in enumerate(header):
        numeric = all(re.match(r"[-+.\d]", row[index]) for row in cells)
        grid.add_column(
            Text(name), justify="right" if cells and numeric else "left", overflow="fold"
        )
    for row in cells:
        grid.add_row(*map(Text, row))
    console.print(grid)
