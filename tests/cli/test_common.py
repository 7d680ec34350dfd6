import io
import logging
import os
import re
import signal
import sys

import pytest
import typer

from cli import common
from phasegen.errors import InputError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def visible(screen: Terminal) -> str:
    return re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", screen.getvalue())


def exit_code(program: typer.Typer, *args: str) -> int | str | None:
    with pytest.raises(SystemExit) as stop:
        common.run(program, args)
    return stop.value.code


@pytest.fixture
def program() -> typer.Typer:
    app = common.app("program", "Draw from a [low, high] range.")

    @app.command()
    def good(times: int = 1) -> None:
        """Say it."""
        print("good " * times)

    @app.command()
    def bad(name: str) -> None:
        """Complain."""
        raise InputError(name, "is [bold]not[/bold] an image\nat all", "Give " + "x" * 200)

    @app.command()
    def interrupted() -> None:
        """Press Ctrl-C."""
        os.kill(os.getpid(), signal.SIGINT)

    @app.command()
    def doubtful() -> None:
        """Warn, as the packages do and as another library does."""
        logging.getLogger("cyclegan.real").warning("%s", "5 % of [bold]it[/bold]")
        logging.getLogger("cyclegan.real").info("read")
        logging.getLogger("elsewhere").warning("deprecated")

    @app.command()
    def broken() -> None:
        """Fail by our own mistake."""
        raise ZeroDivisionError

    return app


def test_success_exits_with_0(program, capsys):
    assert exit_code(program, "good", "--times", "2") == 0
    assert capsys.readouterr().out.split() == ["good", "good"]


def test_bad_input_is_one_verbatim_line_and_code_2(program, capsys):
    assert exit_code(program, "bad", "a[red].tif") == 2
    out, err = capsys.readouterr()
    remedy = "x" * 200
    assert out == ""
    assert err == f"error: a[red].tif: is [bold]not[/bold] an image at all. Give {remedy}.\n"


def test_warnings_of_the_packages_are_lines_on_stderr(program, capsys):
    # Twice, for a handler that stayed would say it again.
    for _ in range(2):
        assert exit_code(program, "doubtful") == 0
        assert capsys.readouterr() == ("", "warning: 5 % of [bold]it[/bold]\n")


def test_a_warning_passes_above_the_bar(program, monkeypatch):
    screen = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen)

    @program.command()
    def slow() -> None:
        with common.progress("slow", total=1) as advance:
            logging.getLogger("cyclegan").warning("look")
            advance()

    assert exit_code(program, "slow") == 0
    assert "\rwarning: look" in visible(screen).replace("\n", "\r")


def test_interruption_says_how_to_go_on(program, capsys):
    # Jobs that a shell starts in the background ignore the signal, and so would these tests there.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert exit_code(program, "interrupted") == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "interrupted; run the same command again to go on\n"


def test_our_own_mistakes_keep_their_traceback(program):
    with pytest.raises(ZeroDivisionError):
        common.run(program, ["broken"])


@pytest.mark.parametrize(
    "args", [["nonsense"], ["good", "--times", "many"], ["good", "--nonsense"], ["bad"], []]
)
def test_wrong_usage_exits_with_2(program, args):
    assert exit_code(program, *args) == 2


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_keeps_brackets_and_offers_no_completion(program, capsys, flag):
    assert exit_code(program, flag) == 0
    text = capsys.readouterr().out
    assert "Usage: program" in text
    assert "[low, high]" in text
    assert "completion" not in text
    assert exit_code(program, "good", flag) == 0


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(common, "time", clock)
    return clock


def test_log_gets_a_line_every_tenth_with_time_to_go(capsys, clock):
    with common.progress("simulate", total=60, done=12) as advance:
        for step in range(12, 60):
            clock.now += 10.0
            advance(1, f"loss {1 / (step + 1):.3f}")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "simulate: 12/60 (20 %)"
    assert lines[1] == "simulate: 18/60 (30 %), 0:01:00 elapsed, 0:07:00 left, loss 0.056"
    assert lines[-1] == "simulate: 60/60 (100 %), 0:08:00 elapsed, loss 0.017"
    assert [int(re.search(r"\((\d+) %\)", line)[1]) for line in lines] == [*range(20, 101, 10)]


def test_log_lines_keep_their_distance_in_time(capsys, clock):
    with common.progress("fast", total=1000) as advance:
        for _ in range(1000):
            clock.now += 0.012
            advance()
    lines = capsys.readouterr().err.splitlines()
    elapsed = [line.split(", ")[1] for line in lines[1:]]
    assert elapsed == ["0:00:05 elapsed", "0:00:10 elapsed", "0:00:12 elapsed"]


def test_log_ends_where_an_interrupted_loop_ends(capsys, clock):
    def stop_at_4() -> None:
        with common.progress("train", total=10) as advance:
            clock.now += 60
            advance(4)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_at_4()
    assert capsys.readouterr().err.splitlines()[-1].startswith("train: 4/10 (40 %)")


@pytest.mark.parametrize("total", [0, 1])
def test_progress_of_nothing_and_of_one_step(capsys, total):
    with common.progress("few", total=total) as advance:
        for _ in range(total):
            advance()
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"few: {total}/{total}")


def test_terminal_gets_a_bar_with_the_note(monkeypatch):
    screen = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", screen)
    with common.progress("sim[ulate]", total=3, done=1) as advance:
        advance(2, "loss [0.5]")
    drawn = visible(screen)
    assert "━━━" in drawn
    assert drawn.count("\r") > 1
    assert re.search(r"sim\[ulate\].* 3/3 .*loss \[0\.5\]", drawn)


def test_forced_colour_does_not_animate_a_log(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with common.progress("simulate", total=1) as advance:
        advance()
    assert "\x1b" not in capsys.readouterr().err


ROWS = [["spot[1]", "gamma prime, " * 20 + "end", "0.955 ± 0.002"], ["b", "c", "12"]]


def test_piped_table_is_plain_aligned_and_whole(capsys):
    common.table(["image", "what", "IoU"], ROWS)
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["image", "what", "IoU"]
    assert first.split("  ")[0] == "spot[1]"
    assert ROWS[0][1] in first
    assert len(header) == len(first) == len(second)
    assert second.endswith(" 12")
    assert first.index("gamma") == second.index("c")


def test_table_on_a_narrow_terminal_loses_nothing(monkeypatch):
    screen = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "stdout", screen)
    common.table(["image", "what", "IoU"], [*ROWS, ["x" * 60, "d", "1"]])
    text = visible(screen)
    assert max(map(len, text.splitlines())) <= 40
    assert "…" not in text
    assert (text.count("prime,"), text.count("x")) == (20, 60)


def test_empty_table_shows_its_header(capsys):
    common.table(["image", "IoU"], [])
    assert capsys.readouterr().out.split() == ["image", "IoU"]
