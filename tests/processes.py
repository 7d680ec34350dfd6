"""Two processes that work together, as ``torchrun`` starts them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_two(module, folder):
    """Run ``python -m MODULE FOLDER`` as ranks 0 and 1, and wait until both have ended well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    shared |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", module, str(folder)]
    workers = [
        subprocess.Popen(
            command, cwd=ROOT, env=shared | {"RANK": str(rank)}, stderr=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    try:
        for worker in workers:
            _, said = worker.communicate(timeout=600)
            assert worker.returncode == 0, said
    finally:
        for worker in workers:
            worker.kill()
