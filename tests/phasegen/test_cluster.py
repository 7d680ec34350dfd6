"""Campaigns on a Dask cluster: the same samples, and none lost with a worker."""

import os
import signal
import socket
import warnings

import pytest

from phasegen import campaign, pools
from phasegen.errors import InputError
from phasegen.store import digest, open_store, verify

distributed = pytest.importorskip("distributed")

SETTINGS = campaign.Simulation(
    recipe="spinodal",
    samples=16,
    shape=64,
    seed=5,
    parameters={"magnification": 1.0, "time": [300, 500]},
)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The store as a single process makes it."""
    path = tmp_path_factory.mktemp("alone") / "a.zarr"
    assert sorted(campaign.run(campaign.prepare(path, SETTINGS), workers=1)) == list(range(16))
    return path


@pytest.fixture(scope="module")
def cluster():
    with (
        warnings.catch_warnings(),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
    ):
        yield cluster


@pytest.mark.slow
def test_a_cluster_makes_the_same_store(cluster, alone, tmp_path):
    target = campaign.prepare(tmp_path / "a.zarr", SETTINGS)
    assert sorted(campaign.run(target, scheduler=cluster.scheduler_address)) == list(range(16))
    assert digest(tmp_path / "a.zarr") == digest(alone)


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_nothing(cluster, alone, tmp_path):
    with distributed.Client(cluster) as client:
        workers = client.run(os.getpid)
    assert len(set(workers.values())) == 2
    running = campaign.run(
        campaign.prepare(tmp_path / "a.zarr", SETTINGS), scheduler=cluster.scheduler_address
    )
    done = [next(running), next(running)]
    assert len(open_store(tmp_path / "a.zarr").complete()) == 2
    os.kill(next(iter(workers.values())), signal.SIGKILL)
    assert sorted(done + list(running)) == list(range(16))
    assert verify(tmp_path / "a.zarr") == []
    assert digest(tmp_path / "a.zarr") == digest(alone)


@pytest.mark.slow
def test_what_a_cluster_began_a_single_process_ends(cluster, alone, tmp_path):
    target = campaign.prepare(tmp_path / "a.zarr", SETTINGS)
    running = campaign.run(target, scheduler=cluster.scheduler_address)
    first = next(running)
    running.close()
    rest = list(campaign.run(campaign.prepare(tmp_path / "a.zarr", SETTINGS), workers=1))
    assert sorted([first, *rest]) == list(range(16))
    assert digest(tmp_path / "a.zarr") == digest(alone)


def test_a_scheduler_that_is_not_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pools, "PATIENCE", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    target = campaign.prepare(tmp_path / "a.zarr", SETTINGS)
    with pytest.raises(InputError, match=rf"{address} cannot be reached.*dask scheduler"):
        next(campaign.run(target, scheduler=address))
    assert target.complete().size == 0


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    target = campaign.prepare(tmp_path / "a.zarr", SETTINGS)
    with pytest.raises(InputError, match=r"--scheduler: needs.*sim2sem\[cluster\]"):
        next(campaign.run(target, scheduler="tcp://127.0.0.1:1"))
