"""Processes that are killed: told, wherever they were."""

import os
import signal
import sys
import threading

import pytest

from phasegen.errors import InputError
from phasegen.pools import pool


class Fuse:
    """Kills its process a moment after it has been pickled, for good."""

    def __reduce__(self):
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return (Fuse, ())


def half_a_result():
    """So much that it is still being sent when the fuse has burnt down."""
    return bytes(300_000_000), Fuse()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_process_that_is_killed_while_it_sends_its_result_is_told():
    def results():
        with pool(2, None, 2) as (submit, _):
            return [running.result(timeout=60) for running in [submit(half_a_result)] * 2]

    with pytest.raises(InputError, match="a process was killed"):
        results()


def test_processes_that_end_by_themselves_are_no_reason_to_worry():
    with pool(2, None, 4) as (submit, _):
        assert [submit(abs, -n).result() for n in range(4)] == [0, 1, 2, 3]
