"""Losses of a regressed field: mean differences, per pixel."""

from torch import Tensor


def absolute_error(output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean absolute difference (L1), the choice of Ruiz Vargas et al. (2025).

    Parameters
    ----------
    output : Tensor, shape (B, 1, [Z,] Y, X)
        Predicted field.
    target : Tensor, shape (B, [Z,] Y, X)
        True field.
    weight : Tensor, shape (B, [Z,] Y, X), optional
        Weight of every pixel; if all are 0, so is the loss.

    Raises
    ------
    ValueError
        If the shapes do not belong together.
    """
    difference, weight = _difference(output, target, weight)
    return (weight * difference.abs()).sum() / weight.sum().clamp_min(1e-6)


def squared_error(output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared difference (L2); see `absolute_error`."""
    difference, weight = _difference(output, target, weight)
    return (weight * difference.square()).sum() / weight.sum().clamp_min(1e-6)


def _difference(output: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    weight = target.new_ones(target.shape) if weight is None else weight
    if output.shape[1] != 1 or output[:, 0].shape != target.shape or weight.shape != target.shape:
        raise ValueError(
            f"an output of shape {tuple(output.shape)} needs a target and a weight of shape "
            f"{tuple(output[:, 0].shape)}, not {tuple(target.shape)} and {tuple(weight.shape)}"
        )
    return output[:, 0].float() - target.float(), weight
