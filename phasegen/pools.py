"""Where simulations run: in this process, in others of this machine, or on a Dask cluster."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from typing import Any

import numba

from phasegen.errors import InputError

Submit = Callable[..., Future[Any]]
"""``submit(function, *arguments)``: start a call somewhere."""

PATIENCE = 30
"""Seconds to wait for a scheduler, and for its first worker."""


@contextmanager
def pool(workers: int, scheduler: str | None, jobs: int) -> Iterator[tuple[Submit, int]]:
    """Something that calls functions elsewhere, and how many calls keep all its workers busy.

    What has not begun when the block is left is cancelled.

    Parameters
    ----------
    workers : int
        Processes on this machine, each with one thread; 0 takes one per processor.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers are used instead.
    jobs : int
        How many calls there will be; no more processes are started.

    Raises
    ------
    InputError
        If a process is killed, or the scheduler or its workers cannot be reached or are lost.
    """
    workers = min(workers or processors(), jobs)
    if scheduler is not None and jobs:
        with _cluster(scheduler) as cluster:
            yield cluster
        return
    if workers <= 1:
        yield _here, 1
        return
    # One thread per process: on grids of this size threads inside a simulation only contend.
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_follow_parent) as executor:
        watching: list[threading.Thread] = []

        def submit(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
            future = executor.submit(function, *arguments)
            if not watching:  # the first call has started all processes
                watching.append(threading.Thread(target=_end_all, args=(executor,), daemon=True))
                watching[0].start()
            return future

        try:
            yield submit, 2 * workers
        except BrokenProcessPool:
            raise InputError(
                "--workers",
                "a process was killed, perhaps for want of memory",
                "Run the same command again, with fewer workers",
            ) from None
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def _end_all(executor: ProcessPoolExecutor) -> None:
    """Wait for the first process that ends, and if it was killed, end all of them.

    The executor notices a process that is killed, but not while it reads its result: then it waits
    for the other half, and the other processes for their turn, for ever. What it reads from must
    end, and that takes the end of all who may write to it, this process among them.
    """
    processes = {process.sentinel: process for process in executor._processes.values()}
    first = processes[connection.wait(list(processes))[0]]  # type: ignore[index]
    first.join()  # its exit code may be known later than its end
    if first.exitcode == 0:
        return
    for process in processes.values():
        process.kill()
    executor._result_queue._writer.close()  # type: ignore[attr-defined]


def _here(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
    done: Future[Any] = Future()
    done.set_result(function(*arguments))
    return done


@contextmanager
def _cluster(scheduler: str) -> Iterator[tuple[Submit, int]]:
    try:
        from distributed import Client, KilledWorker
    except ImportError:
        problem = "needs the package distributed"
        raise InputError("--scheduler", problem, "pip install 'sim2sem[cluster]'") from None
    try:
        client = Client(scheduler, timeout=PATIENCE)
    except (OSError, ValueError, TimeoutError) as error:
        problem = f"{scheduler} cannot be reached ({' '.join(str(error).split())})"
        remedy = "Start it with `dask scheduler`, and give the address that it prints"
        raise InputError("--scheduler", problem, remedy) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            remedy = f"Start some with `dask worker {scheduler} --nthreads 1`"
            raise InputError("--scheduler", f"{scheduler} has no workers", remedy) from None
        # A call depends on its arguments alone, so one whose worker is lost is made again.
        executor = client.get_executor(pure=False)

        def submit(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
            future: Future[Any] = executor.submit(_on_one_thread, function, *arguments)
            return future

        try:
            yield submit, 2 * sum(client.nthreads().values())
        except (KilledWorker, CancelledError) as error:
            problem = f"{scheduler} has lost its workers ({' '.join(str(error).split())})"
            raise InputError("--scheduler", problem, "Run the same command again") from None
        finally:
            executor.shutdown(wait=False)


def _on_one_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    # Dask starts a process per worker with OMP_NUM_THREADS=1, which Numba does not heed.
    numba.set_num_threads(1)
    return function(*arguments)


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
