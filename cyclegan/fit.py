"""Training of the CycleGAN: one loop, resumable at any step."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from cyclegan import losses
from cyclegan.networks import Generator, discriminator, segmenter
from cyclegan.settings import Translation
from phasegen import checkpoint, devices
from phasegen.errors import InputError

KIND = "cyclegan"

Progress = Callable[[str, int, int], Any]
"""``(phase, total, done)`` -> context manager of ``advance(steps, note)``."""

Pair = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""Image and class mask, (Y, X)."""


def fit(
    config: Translation,
    simulated: Sequence[Pair],
    scenes: Sequence[NDArray[np.float32]],
    out: Path,
    state: dict[str, Any],
    inputs: dict[str, Any],
    progress: Progress,
) -> dict[str, Tensor]:
    """Train both directions and return the weights of the generator towards real images.

    Parameters
    ----------
    config : Translation
        The configuration.
    simulated : sequence of (image, mask)
        The pictures to start from, their boundaries in place.
    scenes : sequence of ndarray (Y, X)
        Real images on the same grey scale.
    out : Path
        Folder for checkpoints and TensorBoard events.
    state : dict
        Content of the last checkpoint, empty at the start. Batches are functions of seed and
        step, so that with it the run continues as if it had never stopped.
    inputs : dict
        What identifies the data, kept in the checkpoint.
    progress : callable
        Shows progress.

    References
    ----------
    Zhu, Park, Isola and Efros, ICCV 2017, equations (1)-(3) and section 4.
    """
    device = devices.choose(config.device)
    torch.manual_seed(config.seed)
    classes = 1 + max(int(mask.max()) for _, mask in simulated)
    networks = nn.ModuleDict(
        {
            "to_real": Generator(config.width, config.blocks, config.bound),
            "to_sim": Generator(config.width, config.blocks, config.bound),
            "critic_real": discriminator(config.critic_width),
            "critic_sim": discriminator(config.critic_width),
            "segmenter": segmenter(classes),
        }
    ).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    to_real, to_sim, critic_real, critic_sim, watcher = networks.values()
    generators = _adam(chain(to_real.parameters(), to_sim.parameters()), config)
    critics = _adam(chain(critic_real.parameters(), critic_sim.parameters()), config)
    watch = torch.optim.Adam(watcher.parameters(), 2e-3)
    optimisers = {"generators": generators, "critics": critics, "watch": watch}
    pools: dict[str, list[Tensor]] = {"real": [], "sim": []}
    blank = [(scene, np.zeros(scene.shape, np.uint8)) for scene in scenes]
    step = 0
    if state:
        step = state["step"]
        pools = {name: [t.to(device) for t in pool] for name, pool in state["pools"].items()}
        networks.load_state_dict(state["networks"])
        for name, optimiser in optimisers.items():
            optimiser.load_state_dict(state[name])
    # What an interrupted run logged after its last state is logged again.
    purge_step = step + 1 if state else None
    with (
        SummaryWriter(str(out), purge_step=purge_step) as log,
        progress("fit", config.steps, step) as advance,
    ):
        while step < config.steps:
            rng = np.random.default_rng((config.seed, step))
            sim, mask = _draw(simulated, config, rng, device)
            real, _ = _draw(blank, config, rng, device)
            rate = config.learning_rate * min(1.0, 2 * (1 - step / config.steps))
            for optimiser in (generators, critics):
                optimiser.param_groups[0]["lr"] = rate
            watched: dict[str, Tensor] = {}
            if config.geometry == "segmenter":
                with devices.autocast(device):
                    loss = losses.segmentation(watcher.train()(_shade(sim, rng)), mask)
                _descend(watch, loss)
                watched["segmenter"] = loss

            critics_frozen = nn.ModuleList([critic_real, critic_sim, watcher])
            critics_frozen.requires_grad_(False)
            with devices.autocast(device):
                fake_real, fake_sim = to_real(sim), to_sim(real)
                terms = {
                    "adversarial": losses.adversarial(critic_real(fake_real), 1.0)
                    + losses.adversarial(critic_sim(fake_sim), 1.0),
                    "cycle": config.cycle
                    * (
                        losses.distance(to_sim(fake_real), sim)
                        + losses.distance(to_real(fake_sim), real)
                    ),
                    "identity": config.identity
                    * (losses.distance(to_real(real), real) + losses.distance(to_sim(sim), sim)),
                }
                if config.geometry == "segmenter":
                    held = losses.segmentation(watcher.eval()(fake_real), mask)
                    terms["geometry"] = config.geometry_weight * held
                elif config.geometry == "structure":
                    held = losses.structure(sim, fake_real)
                    terms["geometry"] = config.geometry_weight * held
            total = torch.stack(list(terms.values())).sum()
            _descend(generators, total)
            critics_frozen.requires_grad_(True)

            with devices.autocast(device):
                old_real = _from_pool(pools["real"], fake_real.detach(), config.pool, rng)
                old_sim = _from_pool(pools["sim"], fake_sim.detach(), config.pool, rng)
                critic_loss = 0.5 * (
                    losses.adversarial(critic_real(real), 1.0)
                    + losses.adversarial(critic_real(old_real), 0.0)
                    + losses.adversarial(critic_sim(sim), 1.0)
                    + losses.adversarial(critic_sim(old_sim), 0.0)
                )
            _descend(critics, critic_loss)
            step += 1
            if not torch.isfinite(total + critic_loss):
                raise InputError(out, f"diverged at step {step}", "Lower --set learning_rate")
            for name, term in {**terms, "critics": critic_loss, **watched}.items():
                log.add_scalar(f"loss/{name}", term.item(), step)
            advance(1, f"generators {total.item():.3f}, critics {critic_loss.item():.3f}")
            if step % config.checkpoint_every and step < config.steps:
                continue
            for name, batch in (("simulated", sim), ("translated", fake_real), ("real", real)):
                log.add_images(name, batch.detach().float().clamp(0, 1), step)
            state = {
                "step": step,
                "networks": networks.state_dict(),
                "pools": pools,
                "config": config.model_dump(mode="json"),
                "inputs": inputs,
                **{name: optimiser.state_dict() for name, optimiser in optimisers.items()},
            }
            log.flush()  # before the state, from which a killed run would not log it again
            checkpoint.save(out / checkpoint.LAST, KIND, state)
    generator: dict[str, Tensor] = to_real.state_dict()
    return generator


def _adam(parameters: Iterable[nn.Parameter], config: Translation) -> torch.optim.Adam:
    return torch.optim.Adam(parameters, config.learning_rate, betas=(0.5, 0.999))


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def _draw(
    pairs: Sequence[Pair], config: Translation, rng: np.random.Generator, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Random patches (B, 1, P, P) and masks (B, P, P), turned and mirrored at random."""
    images: list[Tensor] = []
    masks: list[Tensor] = []
    for _ in range(config.batch):
        image, mask = pairs[int(rng.integers(len(pairs)))]
        y, x = (int(rng.integers(n - config.patch + 1)) for n in image.shape)
        turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
        for array, target in ((image, images), (mask, masks)):
            patch = np.rot90(array[y : y + config.patch, x : x + config.patch], turns)
            target.append(torch.from_numpy((patch[:, ::-1] if mirrored else patch).copy()))
    batch = torch.stack(images)[:, None].to(device).contiguous(memory_format=torch.channels_last)
    return batch, torch.stack(masks).long().to(device)


def _shade(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Change contrast and brightness, so that the segmenter does not hang on grey values."""
    shape = (len(images), 1, 1, 1)
    gain = torch.from_numpy(rng.uniform(0.7, 1.4, shape)).to(images)
    offset = torch.from_numpy(rng.uniform(-0.15, 0.15, shape)).to(images)
    return (images - 0.5) * gain + 0.5 + offset


def _from_pool(pool: list[Tensor], fakes: Tensor, size: int, rng: np.random.Generator) -> Tensor:
    """Fakes of this and of earlier steps, half and half once the pool is full.

    References
    ----------
    Shrivastava et al., CVPR 2017, section 2.3.
    """
    chosen = []
    for fake in fakes[:, None]:
        if len(pool) < size:
            pool.append(fake.clone())
        elif size and rng.random() < 0.5:
            index = int(rng.integers(size))
            fake, pool[index] = pool[index], fake.clone()
        chosen.append(fake)
    return torch.cat(chosen)
