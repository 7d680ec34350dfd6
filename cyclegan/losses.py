"""Losses of the translation: adversarial, and those that hold boundaries in place."""

import torch
from torch import Tensor, nn

from phasegen import distributed


def adversarial(scores: Tensor, target: float) -> Tensor:
    """Least-squares loss of discriminator scores (Mao et al., ICCV 2017, equation (2))."""
    return (scores.float() - target).square().mean()


def distance(a: Tensor, b: Tensor, smooth: float = 0.1) -> Tensor:
    """Mean absolute difference, squared below `smooth` grey values.

    The generators start at the identity, where cycle and identity losses are at their minimum. The
    kink that a plain L1 norm has there would hold them against any small gain of the adversarial
    loss.
    """
    return nn.functional.smooth_l1_loss(a.float(), b.float(), beta=smooth)


def structure(image: Tensor, translated: Tensor, window: int = 9) -> Tensor:
    """One minus the local correlation of the gradients of two images, where there are gradients.

    It is 0 if in every window the gradients agree up to a positive factor, whatever contrast and
    brightness became of the image, 1 if they are unrelated and 2 if they are opposed. Windows
    count by the strength of the first image's gradients, so that boundaries weigh and flat
    regions, where noise and grain may change, do not. The weights add up to one over the whole
    batch, parts in other processes included.

    Parameters
    ----------
    image, translated : Tensor (B, 1, Y, X)
    window : int
        Side of the local window, odd.
    """
    before, after = _gradients(image.float()), _gradients(translated.float())
    cross = _local((before * after).sum(1, keepdim=True), window)
    first = _local(before.square().sum(1, keepdim=True), window)
    second = _local(after.square().sum(1, keepdim=True), window)
    # A share of the image's own gradients: it bounds the slope where the translation is flat.
    correlation = cross / (first * (second + 1e-6 * first) + 1e-30).sqrt()
    return ((1 - correlation) * first).sum() / (distributed.mean(first.sum()) + 1e-8)


def contrastive(query: Tensor, key: Tensor, temperature: float = 0.07) -> Tensor:
    """Cross-entropy of finding each query's own key among the keys of its image.

    Parameters
    ----------
    query, key : Tensor (B, S, D)
        Features at S places of an image; only their direction counts.
    temperature : float
        Divides the cosines.

    References
    ----------
    Park, Efros, Zhang and Zhu, ECCV 2020, equations (2) and (3).
    """
    one, other = (nn.functional.normalize(x.float(), dim=-1) for x in (query, key))
    # The cosines are divided by a small number: bfloat16 would blur the contrast.
    with torch.autocast(query.device.type, enabled=False):
        cosines = one @ other.transpose(1, 2) / temperature
    places = torch.arange(query.shape[1], device=query.device).expand(len(query), -1)
    return nn.functional.cross_entropy(cosines.transpose(1, 2), places)


def diversity(one: Tensor, other: Tensor, least: float) -> Tensor:
    """What two pictures (B, 1, Y, X) of the same masks lack of a mean difference `least`, 0..1.

    References
    ----------
    Mao et al., Mode seeking generative adversarial networks, CVPR 2019, equation (2), here bounded:
    more than `least` is not asked for.
    """
    found = (one.float() - other.float()).abs().mean((1, 2, 3))
    return nn.functional.relu(1 - found / least).mean()


def segmentation(logits: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of the watching segmenter against the exact mask (B, Y, X).

    References
    ----------
    Hoffman et al., CyCADA, ICML 2018, equation (4): semantic consistency, here with the true
    labels of the simulation in place of a pretrained network's.
    """
    return nn.functional.cross_entropy(logits.float(), mask)


def _gradients(x: Tensor) -> Tensor:
    """Sobel gradients (B, 2, Y, X); noise is smoothed across the direction of the derivative."""
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=x.device) / 8
    kernels = torch.stack([sobel, sobel.T])[:, None]
    padded = nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
    # In bfloat16 the steps between grey values would be as large as weak gradients.
    with torch.autocast(x.device.type, enabled=False):
        return nn.functional.conv2d(padded, kernels)


def _local(x: Tensor, window: int) -> Tensor:
    return nn.functional.avg_pool2d(x, window, stride=1, padding=window // 2)
