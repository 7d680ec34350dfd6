"""What a training would take, also where the system does not tell how much memory it took."""

import sys

from segtrain.rehearsal import _resident


def test_memory_is_unknown_where_nobody_counts_it(monkeypatch):
    assert _resident() > 50e6
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert _resident() == 0
