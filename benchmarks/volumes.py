"""Networks for volumes: parameters, operations, memory and time of a training step on a patch.

    python benchmarks/volumes.py [--patch 32 64 32] [--batch 2] [--widths 16 32 64 128]

A step is forward, loss, backward and AdamW, in the precision of training. The networks take turns,
round after round; time is the median of the rounds, over the patches of a batch, its ratio the
median of the ratios to the backbone of the same round. Operations are those of a forward pass of a
patch. Memory is what a batch keeps for the backward pass, and 16 bytes for every parameter: itself,
its gradient, and two moments. Time is that of a processor with one thread, or of the clock on CUDA.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch
from torch import Tensor, nn

from cli import common
from phasegen import devices
from phasegen.errors import InputError
from segtrain.losses.diffusion import DeepSupervision, flux_divergence, implicit_deviation
from segtrain.losses.overlap import cross_entropy_dice
from segtrain.losses.pde import Regularised, total_variation
from segtrain.models.cost import describe_network
from segtrain.models.es_unet import ESUNet
from segtrain.models.monai_baselines import swin_unetr, vnet
from segtrain.models.pde3d_unet import PDE3DUNet
from segtrain.models.unet3d import UNet3D

BACKBONE = "unet3d"
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    BACKBONE: UNet3D,
    "unet3d, no deep supervision": partial(UNet3D, deep=False),
    "unet3d, checkpointing": partial(UNet3D, checkpointing=True),
    "pde3d-unet": PDE3DUNet,
    "steps 1": partial(PDE3DUNet, steps=1),
    "steps 5": partial(PDE3DUNet, steps=5),
    "explicit": partial(PDE3DUNet, scheme="explicit"),
    "crank-nicolson, sweeps 2": partial(PDE3DUNet, scheme="crank-nicolson", sweeps=2),
    "split": partial(PDE3DUNet, scheme="split"),
    "gauss-seidel": partial(PDE3DUNet, solver="gauss-seidel"),
    "size 5": partial(PDE3DUNet, size=5),
    "skips": partial(PDE3DUNet, place="skips"),
    "both": partial(PDE3DUNet, place="both"),
    "all skips": partial(PDE3DUNet, place="skips", finest=0),
    "all skips, fields 8": partial(PDE3DUNet, place="skips", finest=0, fields=8),
    "all skips, fields 4": partial(PDE3DUNet, place="skips", finest=0, fields=4),
    "es-unet": ESUNet,
    "vnet": vnet,
    "swin-unetr": swin_unetr,
}
PRIORS = {
    "unet3d, implicit step": implicit_deviation,
    "unet3d, flux": flux_divergence,
    "unet3d, variation": total_variation,
}


@dataclass(frozen=True)
class Case:
    """One network and what it is trained on."""

    name: str
    patch: tuple[int, ...]
    batch: int
    channels: int
    classes: int
    widths: tuple[int, ...]
    device: str

    def network(self) -> nn.Module:
        """The network, on the device in the order of memory that training uses."""
        build = NETWORKS.get(self.name, UNet3D)
        torch.manual_seed(0)
        network = build(self.channels, self.classes, self.widths, 3)
        return network.to(self.device, memory_format=torch.channels_last_3d).train()

    def step(self, network: nn.Module) -> tuple[Callable[[], Tensor], Callable[[Tensor], None]]:
        """Functions that compute the loss of a step of training, and that learn from it."""
        device = torch.device(self.device)
        optimiser = torch.optim.AdamW(network.parameters())
        loss_of = DeepSupervision(cross_entropy_dice)
        if self.name in PRIORS:
            loss_of = DeepSupervision(Regularised(cross_entropy_dice, PRIORS[self.name]))
        image = torch.randn(self.batch, self.channels, *self.patch, device=device)
        image = image.contiguous(memory_format=torch.channels_last_3d)
        target = torch.randint(self.classes, (self.batch, *self.patch), device=device)

        def forward() -> Tensor:
            with devices.autocast(device):
                logits = network(image)
            return loss_of(logits, target)

        def learn(loss: Tensor) -> None:
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()

        return forward, learn


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patch", type=int, nargs=3, default=[32, 64, 32], help="z, y, x")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--classes", type=int, default=3)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64, 128])
    known = [*NETWORKS, *PRIORS]
    parser.add_argument("--networks", nargs="+", choices=known, help="all by default")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = devices.choose(options.device).type
    steps, costs, memory = {}, {}, {}
    for name in dict.fromkeys([BACKBONE, *(options.networks or known)]):
        case = Case(
            name=name,
            patch=tuple(options.patch),
            batch=options.batch,
            channels=options.channels,
            classes=options.classes,
            widths=tuple(options.widths),
            device=device,
        )
        try:
            network = case.network()
        except InputError as error:
            print(f"{name} is left out: {error}")
            continue
        costs[name] = describe_network(network, (case.batch, case.channels, *case.patch))
        steps[name] = forward, learn = case.step(network)
        kept, loss = kept_memory(forward)
        learn(loss)  # to warm up
        memory[name] = kept + 16 * costs[name].parameters / 2**20
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.rounds):
        for name, (forward, learn) in steps.items():
            times[name].append(timed(lambda f=forward, g=learn: g(f()), device))
    rows = []
    for name, seconds in times.items():
        ratios = [a / b for a, b in zip(seconds, times[BACKBONE], strict=True)]
        parameters, flops = costs[name]
        row = (name, f"{parameters:,}", f"{flops / options.batch / 1e9:.2f}", f"{memory[name]:.0f}")
        each = 1e3 * median(seconds) / options.batch
        rows.append((*row, f"{each:.0f}", f"{median(ratios):.3f}"))
    print(f"patch {options.patch}, batch {options.batch}, widths {options.widths}, {device}")
    header = ("network", "parameters", "GFLOP/patch", "MiB", "ms/patch", "ratio")
    common.table(header, rows)


def timed(step: Callable[[], None], device: str) -> float:
    """Seconds of one step."""
    if device == "cpu":
        start = time.process_time()
        step()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def kept_memory(forward: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """MiB that a forward pass keeps for the backward pass, and its loss."""
    kept: dict[int, int] = {}

    def pack(saved: Tensor) -> Tensor:
        if not isinstance(saved, nn.Parameter):
            kept[saved.untyped_storage().data_ptr()] = saved.untyped_storage().nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        loss = forward()
    return sum(kept.values()) / 2**20, loss


if __name__ == "__main__":
    main()
