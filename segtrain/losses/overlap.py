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
    weight = weight.to(precision)
    log_p = F.log_softmax(logits.to(precision), dim=1)
    # The one-hot target picks one class per pixel: Σ_c y f(p) = f(p_t) and Σ_c y² = 1.
    log_p_true = log_p.gather(1, target.unsqueeze(1)).squeeze(1)
    total = weight.sum()

    cross_entropy = -(weight * log_p_true).sum() / total.clamp_min(EPSILON)
    shared = (weight * log_p_true.exp()).sum()
    size = total + (weight * log_p.exp().square().sum(dim=1)).sum()
    dice = 1 - (2 * shared + EPSILON) / (size + EPSILON)
    return cross_entropy + dice
