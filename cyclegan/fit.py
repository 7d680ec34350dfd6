"""Training of the learned methods: one loop, resumable at any step."""

import copy
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from cyclegan import losses, watch
from cyclegan.augment import adjust, augment
from cyclegan.batches import Pair, draw, from_pool, shade
from cyclegan.networks import discriminator, segmenter
from cyclegan.objectives import OBJECTIVES
from cyclegan.settings import Translation
from phasegen import checkpoint, devices, distributed
from phasegen.errors import InputError

logger = logging.getLogger(__name__)

KIND = "cyclegan"

Progress = Callable[[str, int, int], Any]
"""``(phase, total, done)`` -> context manager of ``advance(steps, note)``."""


def fit(
    config: Translation,
    simulated: Sequence[Pair],
    scenes: Sequence[NDArray[np.float32]],
    out: Path,
    state: dict[str, Any],
    inputs: dict[str, Any],
    progress: Progress,
) -> tuple[dict[str, Tensor], watch.Record]:
    """Train a learned method; returns the weights of the generator, and what was watched.

    Under ``torchrun`` every process draws its share of a batch that is as many times larger, and
    the first one writes.

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

    Raises
    ------
    InputError
        If the run diverges or, unless told to go on, boundaries stay moved; the latter is kept as
        the last checkpoint, from which the run can go on.

    References
    ----------
    Zhu, Park, Isola and Efros, ICCV 2017, section 4: losses, pool and schedule; Karras et al.,
    ICLR 2018, appendix A: the mean of the generator's weights is what is kept.
    """
    device = devices.choose(config.device)
    torch.manual_seed(config.seed)
    classes = 1 + max(int(mask.max()) for _, mask in simulated)
    objective = OBJECTIVES[config.method](config)
    critics = nn.ModuleDict({d: discriminator(config.critic_width) for d in objective.domains})
    watcher = segmenter(classes)
    networks = nn.ModuleDict({"generators": objective, "critics": critics, "segmenter": watcher})
    networks.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    kept = copy.deepcopy(objective.to_real).requires_grad_(False)
    optimisers = {
        "generators": torch.optim.Adam(objective.parameters(), betas=(0.5, 0.999)),
        "critics": torch.optim.Adam(critics.parameters(), betas=(0.5, 0.999)),
        "segmenter": torch.optim.Adam(watcher.parameters(), 2e-3),
    }
    pools: dict[str, list[Tensor]] = {domain: [] for domain in objective.domains}
    step, p, record = 0, 0.0, watch.Record()
    rank, ranks = distributed.rank(), distributed.size()
    if state:
        step, p, record = state["step"], state["augment"], state["record"]
        watch.require_in_place(record, config, out)
        networks.load_state_dict(state["networks"])
        kept.load_state_dict(state["kept"])
        for name, optimiser in optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        mine = state["pools"][rank]
        pools = {name: [patch.to(device) for patch in pool] for name, pool in mine.items()}
    indices = range(rank * config.batch, (rank + 1) * config.batch)
    shown = watch.patches(simulated, scenes, config, device)
    judged: list[float] = []
    with (
        # What an interrupted run logged after its last state is logged again.
        _writer(out, step + 1 if state else None) as log,
        progress("fit", config.steps, step) as advance,
    ):
        while step < config.steps:
            batch = draw(simulated, scenes, config, step, indices, device)
            rate = config.learning_rate * min(1.0, 2 * (1 - step / config.steps))
            for name in ("generators", "critics"):
                optimisers[name].param_groups[0]["lr"] = rate
            watched: dict[str, Tensor] = {}

            if config.geometry == "segmenter":
                with devices.autocast(device):
                    logits = watcher(shade(batch.sim, batch.rngs))
                watched["segmenter"] = losses.segmentation(logits, batch.mask)
                _descend(optimisers["segmenter"], watched["segmenter"])

            with _frozen(critics, watcher):
                with devices.autocast(device):
                    fakes, terms = objective(batch)
                    scores = [critics[d](augment(fakes[d], p, batch.rngs)) for d in critics]
                    fooled = [losses.adversarial(score, 1.0) for score in scores]
                    terms["adversarial"] = torch.stack(fooled).sum()
                    if config.geometry == "segmenter":
                        held = losses.segmentation(watcher(fakes["real"]), batch.mask)
                        terms["geometry"] = config.geometry_weight * held
                    elif config.geometry == "structure":
                        held = losses.structure(batch.sim, fakes["real"])
                        terms["geometry"] = config.geometry_weight * held
                    if config.noise:
                        other = objective.to_real(batch.noisy(batch.sim))
                        terms["diversity"] = losses.diversity(
                            fakes["real"], other, config.diversity
                        )
                    total = torch.stack(list(terms.values())).sum()
                _descend(optimisers["generators"], total)
            _follow(kept, objective.to_real, min(config.ema, (1 + step) / (10 + step)))

            rng = np.random.default_rng((config.seed, step, ranks * config.batch + rank))
            with devices.autocast(device):
                critic_losses, right = [], []
                for domain, critic in critics.items():
                    true = batch.real if domain == "real" else batch.sim
                    old = from_pool(pools[domain], fakes[domain].detach(), config.pool, rng)
                    both = augment(torch.cat([true, old]), p, batch.rngs)
                    on_true, on_old = critic(both).float().chunk(2)
                    loss = losses.adversarial(on_true, 1.0) + losses.adversarial(on_old, 0.0)
                    critic_losses.append(0.5 * loss)
                    right.append((on_true.detach() - 0.5).sign().mean())
            critic_loss = torch.stack(critic_losses).sum()
            _descend(optimisers["critics"], critic_loss)

            step += 1
            logged = {**terms, "critics": critic_loss, **watched}
            sums = torch.stack([*logged.values(), total, torch.stack(right).mean()])
            *values, whole, confidence = distributed.mean(sums.float()).tolist()
            if not np.isfinite([*values, whole]).all():
                raise InputError(out, f"diverged at step {step}", "Lower --set learning_rate")
            loss_of = dict(zip(logged, values, strict=True))
            p = adjust(p, confidence, config.augment)
            judged.append(loss_of["critics"] / len(critics))
            if log is not None:
                for name, value in loss_of.items():
                    log.add_scalar(f"loss/{name}", value, step)
            advance(1, f"generators {whole:.3f}, critics {loss_of['critics']:.3f}")
            if step % config.checkpoint_every and step < config.steps:
                continue

            figures = watch.measure(kept, objective, shown, config.seed)
            figures |= {"critic": float(np.mean(judged)), "augment": p}
            judged.clear()
            before = record.get("warnings", {})
            record = watch.judge(record, figures, config, step, out)
            state = {
                "step": step,
                "augment": p,
                "record": record,
                "networks": networks.state_dict(),
                "kept": kept.state_dict(),
                "optimisers": {k: optimiser.state_dict() for k, optimiser in optimisers.items()},
                "pools": distributed.gather(pools),
                "config": config.model_dump(mode="json"),
                "inputs": inputs,
            }
            if log is not None:
                for name in record["warnings"].keys() - before.keys():
                    logger.warning("%s", record["warnings"][name])
                for name, value in figures.items():
                    if value is not None:
                        log.add_scalar(f"watch/{name}", value, step)
                for name, images in (("simulated", batch.sim), ("real", batch.real)):
                    log.add_images(name, images.clamp(0, 1), step)
                log.add_images("translated", fakes["real"].detach().float().clamp(0, 1), step)
                log.flush()  # before the state, from which a killed run would not log it again
            # The others wait: where they stopped, the first would be ended before it has written.
            distributed.first(partial(checkpoint.save, out / checkpoint.LAST, KIND, state))
            watch.require_in_place(record, config, out)
    weights: dict[str, Tensor] = kept.state_dict()
    return weights, record


@contextmanager
def _writer(out: Path, purge_step: int | None) -> Iterator[SummaryWriter | None]:
    """Log of the first process; the others have none."""
    if distributed.rank():
        yield None
        return
    with SummaryWriter(str(out), purge_step=purge_step) as log:
        yield log


@contextmanager
def _frozen(*networks: nn.Module) -> Iterator[None]:
    """Gradients pass through these networks and are not taken for their weights."""
    for network in networks:
        network.requires_grad_(False)
    yield
    for network in networks:
        network.requires_grad_(True)


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    distributed.average(optimiser.param_groups[0]["params"])
    optimiser.step()


@torch.no_grad()
def _follow(kept: nn.Module, network: nn.Module, decay: float) -> None:
    """Exponential mean of a network's weights; at first it follows more closely."""
    pairs: Iterable[tuple[Tensor, Tensor]] = zip(
        kept.parameters(), network.parameters(), strict=True
    )
    for mean, weight in pairs:
        mean.lerp_(weight, 1 - decay)
