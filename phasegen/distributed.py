"""Training by several processes that ``torchrun`` has started, each with a share of the batch."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from phasegen.errors import InputError

T = TypeVar("T")


def rank() -> int:
    """Number of this process; 0 logs and writes."""
    return int(os.environ.get("RANK", 0))


def size() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", 1))


@contextmanager
def group(device: torch.device) -> Iterator[None]:
    """Connect the processes for the length of the block.

    With one process, and within another such block, it does nothing: processes connect only once.
    """
    if size() == 1 or distributed.is_initialized():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def average(parameters: Iterable[nn.Parameter]) -> None:
    """Replace gradients by their mean over the processes.

    `DistributedDataParallel` wants every parameter of a wrapped network in every backward pass,
    once. In a translation some networks are frozen in each of a step's descents and others run
    several times in one; in fine-tuning parts are frozen. All gradients of an optimiser in one
    message do the same in three lines; overlapping messages with the backward pass would gain
    nothing with networks this small.
    """
    _average([p.grad for p in parameters if p.grad is not None])


def share(buffers: Iterable[Tensor]) -> None:
    """Replace buffers, such as running statistics, by their mean over the processes."""
    _average([buffer for buffer in buffers if buffer.is_floating_point()])


def _average(tensors: list[Tensor]) -> None:
    if size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    distributed.all_reduce(flat)
    flat /= size()
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


def mean(value: Tensor) -> Tensor:
    """Mean of a tensor over the processes, without gradient."""
    value = value.detach().clone()
    if size() > 1:
        distributed.all_reduce(value)
        value /= size()
    return value


def gather(value: T) -> list[T]:
    """The values of all processes, in the order of their ranks."""
    if size() == 1:
        return [value]
    values: list[T] = [value] * size()
    distributed.all_gather_object(values, value)
    return values


def first(function: Callable[[], T]) -> T:
    """Call `function` in the first process alone, and give its result to all of them.

    Raises
    ------
    InputError
        In every process, if `function` does.
    """
    if size() == 1:
        return function()
    outcome: list[T | InputError | None] = [None]
    if rank() == 0:
        try:
            outcome = [function()]
        except InputError as error:
            outcome = [error]
    distributed.broadcast_object_list(outcome)
    if isinstance(outcome[0], InputError):
        raise outcome[0]
    return outcome[0]  # type: ignore[return-value]


def unseen(_phase: str, _total: int, _done: int) -> nullcontext[Callable[[int, str], None]]:
    """Progress of all processes but the first."""
    return nullcontext(lambda _steps, _note: None)
