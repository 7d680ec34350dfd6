"""A campaign of gamma-prime samples through the command, with one worker and with two.

    export OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1
    python benchmarks/campaign.py [--samples 32] [--size 256] [--repeats 3]

Two campaigns of different length cancel what the command takes to start. Efficiency over processes
is T1/(2 T2), by the clock of the wall: it needs two idle cores. The CPU time, which counts every
process of the command, also holds on a busy machine: what it grows by with a second worker is what
sharing caches and memory costs. The memory is the peak of the command's largest process.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

COMMAND = Path(sys.executable).with_name("phasegen")
CAMPAIGN = 1000


class Cost(NamedTuple):
    """Seconds by the wall clock, seconds of all processors, and MiB of the largest process."""

    wall: float
    cpu: float
    memory: float


def main() -> None:
    """Run the campaigns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    simulate(2, options.size, 2)  # compiles
    print("workers | s per sample | CPU s per sample | minutes for 1,000 | peak MiB", flush=True)
    costs = {}
    for workers in (1, 2):
        runs = [per_sample(options.samples, options.size, workers) for _ in range(options.repeats)]
        costs[workers] = Cost(*(median(values) for values in zip(*runs, strict=True)))
        wall, cpu, memory = costs[workers]
        minutes = CAMPAIGN * wall / 60
        print(f"{workers} | {wall:.3f} | {cpu:.3f} | {minutes:.1f} | {memory:.0f}", flush=True)
    one, two = costs[1], costs[2]
    print(f"efficiency over 2 processes: {one.wall / (2 * two.wall):.2f}")
    print(f"the same, by CPU time: {one.cpu / two.cpu:.2f}")
    print(f"minutes for 1,000 on 2 idle cores, by CPU time: {CAMPAIGN * two.cpu / 120:.1f}")


def per_sample(samples: int, size: int, workers: int) -> Cost:
    """Cost of a sample, without that of starting the command."""
    few = max(samples // 4, workers)
    short, full = simulate(few, size, workers), simulate(samples, size, workers)
    more = samples - few
    return Cost((full.wall - short.wall) / more, (full.cpu - short.cpu) / more, full.memory)


def simulate(samples: int, size: int, workers: int) -> Cost:
    """Run the command into a folder that is thrown away."""
    with TemporaryDirectory() as folder:
        options = ["--n", samples, "--size", size, "--workers", workers, "--out", f"{folder}/sim"]
        command = [str(COMMAND), "simulate", "gamma-prime", *map(str, options)]
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        # Unlike subprocess itself, this tells what the process and those that it started used.
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
