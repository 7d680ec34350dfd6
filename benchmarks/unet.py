"""A training step of our U-Net against MONAI's BasicUNet of equal width, on one thread.

    OMP_NUM_THREADS=1 python benchmarks/unet.py [--sides 128 256] [--rounds N]

A step is forward pass, cross-entropy, backward pass and Adam, on a batch of 8 images of 4 channels
and 4 classes. The networks take turns; the table has medians of their processor time, and the ratio
of ours to theirs, at most 1 if ours is no slower. MONAI's is taken once with the same layers as
ours (batch normalisation and ReLU), once as it comes (instance normalisation and leaky ReLU); both
have 64 channels instead of 32 in their last upsampling.

A second table has the data pipeline alone: a batch of random augmented patches from images of 512 x
512 pixels in memory, and how many times longer a training step takes, for this network and for the
default one (1 channel, widths 16 to 128, 128 x 128).
"""

import argparse
import time
from statistics import median

import numpy as np
import torch
from monai.networks.nets import BasicUNet
from torch import nn

from cli import common
from phasegen import devices
from segtrain.config import Training
from segtrain.data.patches import draw
from segtrain.data.source import Labelled, Source
from segtrain.losses.overlap import cross_entropy_dice
from segtrain.models.cost import describe_network
from segtrain.models.unet import UNet

WIDTHS, CHANNELS, CLASSES, BATCH = (32, 64, 128, 256, 512), 4, 4, 8


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for side in options.sides:
        times = contest(side, options.rounds)
        ours = median(times["ours"])
        for name, network in networks().items():
            cost = describe_network(network, (BATCH, CHANNELS, side, side))
            seconds = median(times[name])
            spread = f"{min(times[name]):.2f} to {max(times[name]):.2f}"
            row = (side, name, f"{cost.parameters:,}", f"{cost.flops / 1e9:.1f}")
            rows.append((*row, f"{seconds:.2f}", spread, f"{ours / seconds:.2f}"))
            print(*rows[-1], sep=" | ", flush=True)
    common.table(("side", "network", "parameters", "GFLOP", "s", "range", "ours / theirs"), rows)
    rows = []
    default = tuple(Training.model_fields["widths"].default)
    for side, channels, widths in (
        (128, 1, default),
        *((s, CHANNELS, WIDTHS) for s in options.sides),
    ):
        batch, step = pipeline(side, channels, widths, options.rounds)
        rows.append((side, channels, widths, f"{batch:.4f}", f"{step:.3f}", f"{step / batch:.1f}"))
    common.table(("side", "channels", "widths", "s a batch", "s a step", "step / batch"), rows)


def networks() -> dict[str, nn.Module]:
    """Freshly initialised."""
    basic = {"spatial_dims": 2, "in_channels": CHANNELS, "out_channels": CLASSES}
    basic["features"] = (*WIDTHS, WIDTHS[0])
    return {
        "ours": UNet(CHANNELS, CLASSES, WIDTHS),
        "BasicUNet, batch, ReLU": BasicUNet(**basic, norm="batch", act=("relu", {"inplace": True})),
        "BasicUNet as it comes": BasicUNet(**basic),
    }


def contest(side: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of the steps of every network, after one that does not count."""
    torch.manual_seed(0)
    image = torch.randn(BATCH, CHANNELS, side, side)
    target = torch.randint(0, CLASSES, (BATCH, side, side))
    entrants = {
        name: (network, torch.optim.Adam(network.parameters()))
        for name, network in networks().items()
    }
    times: dict[str, list[float]] = {name: [] for name in entrants}
    for turn in range(rounds + 1):
        for name, (network, optimiser) in entrants.items():
            start = time.process_time()
            loss = nn.functional.cross_entropy(network(image), target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if turn:
                times[name].append(time.process_time() - start)
    return times


def pipeline(side: int, channels: int, widths: tuple[int, ...], rounds: int) -> tuple[float, float]:
    """Median seconds of a batch of patches, and of a step on it as the trainer takes it."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(channels, 512, 512)).astype(np.float32)
    mask = rng.integers(0, CLASSES, (512, 512)).astype(np.uint8)
    sample = Labelled(image, mask, np.ones(mask.shape, np.float32))
    source = Source(("",) * CLASSES, 1, lambda _: sample, {}, channels)
    network = UNet(channels, CLASSES, widths).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters())
    batches, steps = [], []
    for turn in range(rounds + 1):
        start = time.process_time()
        images, target, weight = draw(source, [0], BATCH, side, (0, turn))
        drawn = time.process_time()
        with devices.autocast(torch.device("cpu")):
            output = network(images.contiguous(memory_format=torch.channels_last))
        optimiser.zero_grad()
        cross_entropy_dice(output, target, weight).backward()
        optimiser.step()
        if turn:
            batches.append(drawn - start)
            steps.append(time.process_time() - drawn)
    return median(batches), median(steps)


if __name__ == "__main__":
    main()
