"""Stores on object storage, against a real server that speaks S3."""

import fsspec
import pytest

from cli import phasegen
from phasegen import campaign
from phasegen.errors import InputError
from phasegen.places import exists, remove
from phasegen.store import digest, open_store, verify
from tests.cli.conftest import call

pytest.importorskip("s3fs")
server = pytest.importorskip("moto.server")

SETTINGS = campaign.Simulation(
    recipe="spinodal", samples=2, shape=64, seed=5, parameters={"magnification": 1.0, "time": 60}
)


@pytest.fixture(scope="module")
def bucket():
    """URL of an empty bucket, whose server the environment names."""
    running = server.ThreadedMotoServer(port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir("bucket")
        yield "s3://bucket"
    running.stop()


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    path = tmp_path_factory.mktemp("local") / "a.zarr"
    assert list(campaign.run(campaign.prepare(path, SETTINGS), workers=1)) == [0, 1]
    return path


def test_a_campaign_resumes_there_and_equals_a_local_one(bucket, local):
    place = f"{bucket}/deep/a.zarr"
    assert not exists(place)
    first = campaign.run(campaign.prepare(place, SETTINGS), workers=1)
    assert next(first) == 0
    first.close()
    assert open_store(place).complete().tolist() == [0]
    assert list(campaign.run(campaign.prepare(place, SETTINGS), workers=1)) == [1]
    assert verify(place) == []
    assert digest(place) == digest(local)
    with pytest.raises(InputError, match=r"other settings \(seed\)"):
        campaign.prepare(place, SETTINGS.model_copy(update={"seed": 6}))


def test_the_command_line_takes_urls(bucket, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    place = f"{bucket}/b.zarr"
    line = ("simulate", "spinodal", "--n", 1, "--size", 64, "--workers", 1, "--out", place)
    assert call(phasegen.app, *line, "--set", "parameters.time=20") == 0
    assert call(phasegen.app, *line, "--set", "parameters.time=30", "--overwrite") == 0
    assert open_store(place).parameters[0]["time"] == 30
    assert call(phasegen.app, "verify", place) == 0
    assert call(phasegen.app, "show", place) == 0
    assert (tmp_path / "b.png").is_file()
    assert capsys.readouterr().out.endswith("b.png\n")
    assert [p.name for p in tmp_path.iterdir()] == ["b.png"]


def test_a_lost_chunk_is_found(bucket):
    place = f"{bucket}/c.zarr"
    for _ in campaign.run(campaign.prepare(place, SETTINGS), workers=1):
        pass
    remove(f"{place}/mask/c/1/0/0")
    assert any("sample 1 cannot be read" in problem for problem in verify(place))


def test_what_is_not_there_is_refused(bucket):
    with pytest.raises(InputError, match=r"none\.zarr: does not exist"):
        open_store(f"{bucket}/none.zarr")
    with pytest.raises(InputError, match=r"s3://nowhere/a\.zarr: cannot be"):
        campaign.prepare("s3://nowhere/a.zarr", SETTINGS)


def test_a_storage_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match=r"nonsense://a.* cannot be reached"):
        open_store("nonsense://a")


def test_a_missing_package_is_named(monkeypatch):
    def missing(*_, **__):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(InputError, match=r"Install s3fs.*sim2sem\[s3\]"):
        campaign.prepare("s3://bucket/a.zarr", SETTINGS)
