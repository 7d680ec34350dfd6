"""Cost of a training step of the CycleGAN beside a plain implementation, and of a large image.

    OMP_NUM_THREADS=2 python benchmarks/translation.py [--device cuda] [--steps 20] [--side 8192]

The reference has the same networks, batches and losses, written as in the original paper (Zhu et
al., ICCV 2017): channels first, float32, one pass for every term, no mixed precision. Ours is the
loop of `cyclegan fit` with what the original lacks switched off (geometry loss, mean weights,
augmentation). Rates are medians of three runs; memory is the peak of a process of its own. The
last table compares the translation of one large image, in tiles, with the bare network on one tile
without its margin; it starts from the image itself, since the exchange is no part of the network.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cli import common
from cyclegan import losses, model
from cyclegan.batches import Pair, draw, from_pool
from cyclegan.fit import fit
from cyclegan.networks import Generator, discriminator
from cyclegan.settings import Translation

PLAIN: dict[str, Any] = {"geometry": "none", "augment": 0, "ema": 0, "checkpoint_every": 10_000}


def ours(config: Translation, pairs: list[Pair], scenes: list[NDArray[np.float32]]) -> None:
    """The loop of this project."""
    with tempfile.TemporaryDirectory() as out:
        fit(config, pairs, scenes, Path(out), {}, {}, lambda *_: nullcontext(lambda *_: None))


def reference(config: Translation, pairs: list[Pair], scenes: list[NDArray[np.float32]]) -> None:
    """The same training, term by term as in the paper."""
    device = torch.device(config.device)
    there, back = (
        Generator(config.width, config.blocks, config.bound).to(device) for _ in range(2)
    )
    critics = [discriminator(config.critic_width).to(device) for _ in range(2)]
    both = [*there.parameters(), *back.parameters()]
    judges = [p for critic in critics for p in critic.parameters()]
    of_generators = torch.optim.Adam(both, config.learning_rate, betas=(0.5, 0.999))
    of_critics = torch.optim.Adam(judges, config.learning_rate, betas=(0.5, 0.999))
    pools: list[list[torch.Tensor]] = [[], []]
    rng = np.random.default_rng(0)
    for step in range(config.steps):
        batch = draw(pairs, scenes, config, step, range(config.batch), device)
        sim, real = batch.sim.contiguous(), batch.real.contiguous()
        for parameter in judges:
            parameter.requires_grad_(False)
        fake_real, fake_sim = there(sim), back(real)
        loss = losses.adversarial(critics[0](fake_real), 1.0)
        loss = loss + losses.adversarial(critics[1](fake_sim), 1.0)
        cycle = losses.distance(back(fake_real), sim) + losses.distance(there(fake_sim), real)
        same = losses.distance(there(real), real) + losses.distance(back(sim), sim)
        of_generators.zero_grad()
        (loss + config.cycle * cycle + config.identity * same).backward()
        of_generators.step()
        for parameter in judges:
            parameter.requires_grad_(True)
        of_critics.zero_grad()
        for critic, true, fake, pool in zip(
            critics, (real, sim), (fake_real, fake_sim), pools, strict=True
        ):
            old = from_pool(pool, fake.detach(), config.pool, rng)
            judged = losses.adversarial(critic(true), 1.0) + losses.adversarial(critic(old), 0.0)
            (0.5 * judged).backward()
        of_critics.step()
        if config.device == "cuda":
            torch.cuda.synchronize()


METHODS: dict[str, Callable[..., None]] = {"reference": reference, "ours": ours}


def measure(name: str, steps: int, device: str) -> tuple[float, float]:
    """Seconds a step and peak memory in MiB; in a fresh process."""
    rng = np.random.default_rng(0)
    scenes = [rng.random((512, 512), np.float32) for _ in range(4)]
    pairs = [(scene, (scene > 0.5).astype(np.uint8)) for scene in scenes]
    times = []
    for count in (2, 2 + steps, 2 + 2 * steps, 2 + 3 * steps):
        config = Translation(real=Path("."), method="cyclegan", steps=count, device=device, **PLAIN)
        begin = time.perf_counter()
        METHODS[name](config, pairs, scenes)
        times.append(time.perf_counter() - begin)
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**20
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    # What it costs to start and to end drops out of the differences.
    return float(np.median(np.diff(times))) / steps, peak


def large(side: int, device: str) -> tuple[float, float, float]:
    """Megapixels a second of a large image and of the bare network, and peak memory in MiB."""
    config = Translation(real=Path("."), method="cyclegan", start="none", device=device)
    where = torch.device(device)
    generator = Generator(config.width, config.blocks, config.bound)
    generator = generator.to(where, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    image = np.random.default_rng(0).random((side, side), np.float32)
    fitted = model.Model(config, [image[:64, :64]], generator, {}, where)
    begin = time.perf_counter()
    model.translate(fitted, image, 0)
    tiled = side**2 / (time.perf_counter() - begin) / 1e6
    x = torch.from_numpy(image[None, None, : model.TILE, : model.TILE].copy())
    x = x.to(where, memory_format=torch.channels_last)
    times = []
    with torch.inference_mode(), model.devices.autocast(where):
        for _ in range(5):
            begin = time.perf_counter()
            generator(x).float().cpu()
            times.append(time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return tiled, x.numel() / float(np.median(times)) / 1e6, peak


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--side", type=int, default=8192)
    options = parser.parse_args()
    spawn = get_context("spawn")
    rows = {}
    for name in METHODS:
        with spawn.Pool(1) as pool:
            rows[name] = pool.apply(measure, (name, options.steps, options.device))
    base = rows["reference"][0]
    common.table(
        ("training step", "s", "to the reference", "peak MiB"),
        [(n, f"{s:.3f}", f"{s / base:.2f}", f"{peak:.0f}") for n, (s, peak) in rows.items()],
    )
    with spawn.Pool(1) as pool:
        tiled, bare, peak = pool.apply(large, (options.side, options.device))
    share = f"{tiled / bare:.0%}"
    common.table(
        (f"{options.side} px image", "Mpx/s", "bare network, Mpx/s", "share", "peak MiB"),
        [("translation", f"{tiled:.2f}", f"{bare:.2f}", share, f"{peak:.0f}")],
    )


if __name__ == "__main__":
    main()
