"""What was read or computed from files, kept in memory as far as one budget reaches."""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol, TypeVar

BUDGET = 1_000_000_000
"""Bytes kept between steps by all sources of a process together."""


class Sized(Protocol):
    """An array, or what holds arrays."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""


Item = TypeVar("Item", bound=Sized)


class Cache:
    """The items used last that together have at most so many bytes, and the last one of any size.

    Parameters
    ----------
    budget : int
        Bytes.
    """

    def __init__(self, budget: int) -> None:
        self.budget, self.bytes = budget, 0
        self._items: OrderedDict[tuple[object, int], Sized] = OrderedDict()
        # Batches are drawn by one thread while another validates.
        self._lock = threading.RLock()

    def cached(self, make: Callable[[int], Item]) -> Callable[[int], Item]:
        """A function of an index that remembers its results here as long as it lives itself."""
        owner = object()

        def get(index: int) -> Item:
            key = owner, index
            with self._lock:
                if key in self._items:
                    self._items.move_to_end(key)
                    return self._items[key]  # type: ignore[return-value]
            item = make(index)
            with self._lock:
                if key not in self._items:
                    self._items[key] = item
                    self._count(item, 1)
                while self.bytes > self.budget and len(self._items) > 1:
                    self._count(self._items.popitem(last=False)[1], -1)
            return item

        weakref.finalize(get, self._forget, owner)
        return get

    def _forget(self, owner: object) -> None:
        with self._lock:
            # A list first: garbage collection may call this again at any moment.
            for key in list(self._items):
                if key[0] is owner:
                    self._count(self._items.pop(key), -1)

    def _count(self, item: Sized, sign: int) -> None:
        change = sign * item.nbytes
        self.bytes += change


CACHE = Cache(BUDGET)
"""The one of this process."""

cached = CACHE.cached
