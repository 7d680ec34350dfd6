"""Batches are functions of seed, step and index; the pool gives back what it was given."""

import numpy as np
import torch

from cyclegan.batches import draw, from_pool, shade
from tests.cyclegan.specimens import SCENES, SIMULATED, settings

CPU = torch.device("cpu")


def test_a_batch_does_not_depend_on_who_draws_it():
    config = settings(noise=0.5)
    whole = draw(SIMULATED, SCENES, config, 7, range(8), CPU)
    halves = [draw(SIMULATED, SCENES, config, 7, part, CPU) for part in (range(4), range(4, 8))]
    for name in ("sim", "mask", "real"):
        parts = torch.cat([getattr(half, name) for half in halves])
        assert torch.equal(getattr(whole, name), parts)
    noisy = torch.cat([half.noisy(half.sim) for half in halves])
    assert torch.equal(whole.noisy(whole.sim), noisy)
    shaded = torch.cat([shade(half.sim, half.rngs) for half in halves])
    assert torch.equal(shade(whole.sim, whole.rngs), shaded)


def test_steps_and_seeds_differ():
    first = draw(SIMULATED, SCENES, settings(), 0, range(4), CPU).sim
    assert not torch.equal(first, draw(SIMULATED, SCENES, settings(), 1, range(4), CPU).sim)
    assert not torch.equal(first, draw(SIMULATED, SCENES, settings(seed=1), 0, range(4), CPU).sim)


def test_image_and_mask_are_cut_turned_and_mirrored_alike():
    coded = [(image * 0 + mask, mask) for image, mask in SIMULATED]
    batch = draw(coded, SCENES, settings(), 3, range(32), CPU)
    assert torch.equal(batch.sim[:, 0], batch.mask.float())
    assert batch.sim.shape == (32, 1, 32, 32)
    assert 0.3 < batch.sim.mean() < 0.7


def test_every_orientation_and_place_turns_up():
    ramp = np.arange(40 * 40, dtype=np.float32).reshape(40, 40)
    batch = draw([(ramp, ramp.astype(np.uint8))], [ramp], settings(), 0, range(200), CPU)
    down, across = (batch.sim[:, 0, y, x] - batch.sim[:, 0, 0, 0] for y, x in ((1, 0), (0, 1)))
    found = {tuple(map(int, steps)) for steps in zip(down, across, strict=True)}
    assert found == {(a, b) for a in (40, -40) for b in (1, -1)} | {
        (b, a) for a in (40, -40) for b in (1, -1)
    }
    corners = batch.sim.amin((1, 2, 3))
    assert corners.min() == 0
    assert corners.max() == 8 * 40 + 8


def test_noise_is_a_second_channel_of_the_given_strength():
    batch = draw(SIMULATED, SCENES, settings(noise=0.5), 0, range(16), CPU)
    first, second = batch.noisy(batch.sim), batch.noisy(batch.sim)
    assert torch.equal(first[:, :1], batch.sim)
    assert abs(first[:, 1].std() - 0.5) < 0.02
    assert not torch.equal(first[:, 1], second[:, 1])  # fresh each time
    assert not batch.quiet(batch.sim)[:, 1].any()
    plain = draw(SIMULATED, SCENES, settings(), 0, range(2), CPU)
    assert plain.noisy(plain.sim) is plain.sim
    assert plain.quiet(plain.sim) is plain.sim


def test_the_pool_fills_and_then_returns_old_images_half_of_the_time():
    rng, pool = np.random.default_rng(0), []
    fakes = torch.arange(400.0).reshape(100, 4, 1, 1, 1)
    returned = [from_pool(pool, batch, 10, rng) for batch in fakes]
    assert len(pool) == 10
    assert all(torch.equal(*pair) for pair in zip(returned[:2], fakes[:2], strict=True))
    fresh = [
        bool(a == b)
        for r, f in zip(returned[3:], fakes[3:], strict=True)
        for a, b in zip(r, f, strict=True)
    ]
    assert 0.35 < np.mean(fresh) < 0.65
    assert torch.cat(returned[3:]).min() < 40  # the first ones come back
    assert torch.equal(from_pool([], fakes[0], 0, rng), fakes[0])
