"""Losses on class probabilities: agreement per pixel and overlap per batch."""

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-6


def cross_entropy_dice(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""Cross-entropy plus soft Dice loss with squared denominators.

    .. math::

        L = -\frac{\sum_i w_i \log p_{i,t_i}}{\sum_i w_i}
            + 1 - \frac{2 \sum_{i,c} w_i y_{i,c} p_{i,c} + \epsilon}
                       {\sum_{i,c} w_i y_{i,c}^2 + \sum_{i,c} w_i p_{i,c}^2 + \epsilon}

    with p the softmax of the logits and y the one-hot target, summed over all pixels i of the batch
    and all classes c (Veziryan 2025, eq. 3-5; the weights w are ours, 1 gives back the original).
    Sums are in float32 at least, whatever the type of the logits.

    Parameters
    ----------
    logits : Tensor, shape (B, K, [Z,] Y, X)
        Unnormalised scores of K classes.
    target : Tensor of int64, shape (B, [Z,] Y, X)
        True class, in [0, K) for every pixel, those of weight 0 included.
    weight : Tensor, shape (B, [Z,] Y, X), optional
        Confidence of each pixel in [0, 1]; 0 takes it out of both terms. If all are 0, so is the
        loss.

    Returns
    -------
    Tensor
        Scalar; about 0 for a confident, correct prediction.

    Raises
    ------
    ValueError
        If the shapes do not belong together.
    """
    log_p, weight = _prepared(logits, target, weight)
    log_p_true, cross_entropy = _cross_entropy(log_p, target, weight)
    # The one-hot target picks one class per pixel: Σ_c y f(p) = f(p_t) and Σ_c y² = 1.
    shared = (weight * log_p_true.exp()).sum()
    size = weight.sum() + (weight * log_p.exp().square().sum(dim=1)).sum()
    return cross_entropy + 1 - (2 * shared + EPSILON) / (size + EPSILON)


def cross_entropy_class_dice(
    logits: Tensor, target: Tensor, weight: Tensor | None = None
) -> Tensor:
    """Cross-entropy plus the mean of the soft Dice losses of every class but the background.

    One sum over all classes, as `cross_entropy_dice` has it, is ruled by the background where the
    rest is small; here a class of a few pixels counts as much as a large one. Classes that the
    batch does not hold are left out.

    Parameters and errors are those of `cross_entropy_dice`.
    """
    log_p, weight = _prepared(logits, target, weight)
    _, cross_entropy = _cross_entropy(log_p, target, weight)
    p = log_p.exp()[:, 1:]
    y = torch.stack([target == label for label in range(1, logits.shape[1])], dim=1).to(p.dtype)
    over = [0, *range(2, p.ndim)]
    w = weight.unsqueeze(1)
    shared, size = (w * y * p).sum(dim=over), (w * (y + p.square())).sum(dim=over)
    dice = 1 - (2 * shared + EPSILON) / (size + EPSILON)
    present = (w * y).sum(dim=over) > 0
    return cross_entropy + (dice * present).sum() / present.sum().clamp_min(1)


def _prepared(logits: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Log-probabilities and weights in float32 at least; refuses shapes that do not fit."""
    expected = (logits.shape[0], *logits.shape[2:])
    weight = torch.ones_like(target, dtype=torch.float32) if weight is None else weight
    for name, tensor in (("target", target), ("weight", weight)):
        # Indexing and broadcasting below would accept some other shapes in silence.
        if tensor.shape != expected:
            raise ValueError(
                f"logits of shape {tuple(logits.shape)} need a {name} of shape {expected}, "
                f"not {tuple(tensor.shape)}"
            )
    precision = torch.promote_types(logits.dtype, torch.float32)
    return F.log_softmax(logits.to(precision), dim=1), weight.to(precision)


def _cross_entropy(log_p: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability of the true class of every pixel, and the weighted mean of its negative."""
    log_p_true = log_p.gather(1, target.unsqueeze(1)).squeeze(1)
    return log_p_true, -(weight * log_p_true).sum() / weight.sum().clamp_min(EPSILON)
