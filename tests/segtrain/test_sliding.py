"""A window that slides over a volume: every plane once, in order, and blended to one."""

import numpy as np
import pytest
import torch

from phasegen import devices
from segtrain.predict import Segmenter, field_of
from segtrain.sliding import slide


def slid(volume, function, window, **options):
    """What `slide` hands on, together, and where every piece began."""
    planes, starts = [], []

    def keep(first, part):
        starts.append((first, part.shape[1]))
        planes.append(part.copy())

    slide(volume, function, window, keep, **options)
    return np.concatenate(planes, axis=1), starts


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("shape", [(17, 23, 11), (8, 8, 8), (5, 30, 9), (3, 2, 4), (40, 8, 8)])
def test_every_plane_comes_once_and_in_order_and_weights_sum_to_one(shape, overlap):
    volume = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    found, starts = slid(volume, lambda x: np.concatenate([x, 0 * x + 1], 1), (8, 8, 8),
                         overlap=overlap)  # fmt: skip
    assert [first for first, _ in starts] == np.cumsum([0] + [n for _, n in starts])[:-1].tolist()
    assert found.shape == (4, *shape)
    np.testing.assert_allclose(found[:2], volume, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[2:], 1, rtol=1e-5)


def test_only_what_a_layer_of_windows_needs_is_read_and_held():
    """A lazy volume is asked for windows, and planes are handed on before the last is read."""
    log = []

    class Lazy:
        shape = (1, 64, 10, 12)

        def __getitem__(self, key):
            log.append(("read", key[1].stop))
            spans = [range(n)[k] for n, k in zip(self.shape, key, strict=True)]
            return np.ones([len(span) for span in spans], np.float32)

    def keep(first, part):
        log.append(("keep", first + part.shape[1]))
        assert part.shape[1] <= 8

    slide(Lazy(), lambda x: x, (8, 8, 8), keep)
    deepest = 0
    for what, plane in log:
        if what == "read":
            deepest = max(deepest, plane)
        else:
            assert deepest - plane <= 8  # no more than the planes of one layer wait
    assert log[-1] == ("keep", 64)


def test_the_middle_of_a_window_counts_most():
    """Two windows that contradict each other meet half-way between their middles."""
    calls = []

    def number(x):
        calls.append(1)
        return np.full_like(x, len(calls))

    found, _ = slid(np.zeros((1, 12, 8, 8), np.float32), number, (8, 8, 8))
    line = found[0, :, 4, 4]
    assert len(calls) == 2
    assert (np.diff(line) >= -1e-6).all()
    assert line[2] == pytest.approx(1)
    assert line[5:7].mean() == pytest.approx(1.5, abs=1e-3)
    # Gaussians of standard deviation 1 about 3.5 and 7.5, seen from plane 5.
    theirs, ours = np.exp(-0.5 * 2.5**2), np.exp(-0.5 * 1.5**2)
    assert line[5] == pytest.approx((ours + 2 * theirs) / (ours + theirs), rel=1e-4)


@pytest.mark.parametrize("overlap", [-0.1, 1.0])
def test_overlaps_that_make_no_sense(overlap):
    with pytest.raises(ValueError, match="is not in"):
        slid(np.zeros((1, 8, 8, 8)), lambda x: x, (8, 8, 8), overlap=overlap)


def test_a_function_that_changes_the_size_is_refused():
    with pytest.raises(ValueError, match="came back as"):
        slid(np.zeros((1, 9, 9, 9)), lambda x: x[..., 1:], (8, 8, 8))


class Convolution(torch.nn.Module):
    """A network of small receptive field."""

    multiple = 1

    def __init__(self, side):
        super().__init__()
        torch.manual_seed(0)
        self.halo = side // 2
        self.conv = torch.nn.Conv3d(1, 1, side, padding=side // 2, bias=False)

    def forward(self, x):
        return self.conv(x)


@pytest.mark.parametrize(("side", "tolerance"), [(1, 1e-5), (3, 0.01)])
def test_windows_give_what_the_whole_volume_gives_inside(side, tolerance, monkeypatch):
    # Bfloat16 would round by more.
    monkeypatch.setattr(devices, "autocast", lambda at: torch.autocast(at.type, enabled=False))
    volume = np.random.default_rng(1).normal(size=(1, 20, 26, 22)).astype(np.float32)
    network = Convolution(side).eval()
    segmenter = Segmenter(
        network,
        ("a", "b"),
        torch.device("cpu"),
        (),
        target="poisson",
        spacing=(1.0, 1.0, 1.0),
        window=(12, 12, 12),
    )
    found = field_of(segmenter, volume)
    with torch.inference_mode():
        whole = network(torch.from_numpy(volume)[None])[0, 0].numpy()
    assert found.shape == whole.shape
    inner = (slice(3, -3),) * 3
    assert np.abs(found - whole)[inner].max() < tolerance * np.abs(whole).max()
