"""What `--dry-run` tells is what the campaign takes."""

import pytest

from phasegen import campaign, estimate
from phasegen.errors import InputError

SETTINGS = campaign.Simulation(
    recipe="spinodal",
    samples=4,
    shape=256,
    parameters={"magnification": 1.0, "time": 150, "composition": 0.5},
)


def test_disk_is_that_of_the_campaign(tmp_path, monkeypatch):
    monkeypatch.setitem(estimate.PROBE, 2, 128**2)
    told = estimate.estimate(SETTINGS)
    assert (told.samples, told.volumes) == (4, 4)
    list(campaign.run(campaign.prepare(tmp_path / "a.zarr", SETTINGS), workers=1))
    disk = sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file())
    assert told.disk == pytest.approx(disk, rel=0.2)


def test_time_is_that_of_a_probe_times_its_share(monkeypatch):
    monkeypatch.setitem(estimate.PROBE, 2, 128**2)
    clock = iter([10.0, 13.0])
    monkeypatch.setattr(estimate.time, "process_time", lambda: next(clock))
    assert estimate.estimate(SETTINGS).seconds == 3.0 * (256 / 128) ** 2 * 4


def test_memory_holds_the_arrays_of_a_sample_and_grows_with_it():
    small = estimate.estimate(SETTINGS).memory
    large = estimate.estimate(SETTINGS.model_copy(update={"shape": (512, 512)})).memory
    arrays = 512 * 512 * (4 + 4 + 4 + 1 + 4)  # phase, field, image, mask and instance
    assert large - estimate.INTERPRETER > arrays
    assert large - small > 0.7 * (large - estimate.INTERPRETER)


def test_sections_take_less_disk_and_share_their_volume():
    settings = SETTINGS.model_copy(update={"shape": (32, 48, 48), "slice": 2})
    volumes = estimate.estimate(settings.model_copy(update={"slice": 0}))
    sections = estimate.estimate(settings)
    assert (volumes.volumes, sections.volumes) == (4, 2)
    assert sections.disk == pytest.approx(volumes.disk / 32, rel=0.05)


def test_settings_are_checked():
    with pytest.raises(InputError, match="unknown key 'tme'"):
        estimate.estimate(SETTINGS.model_copy(update={"parameters": {"tme": 3}}))
