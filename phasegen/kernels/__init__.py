"""The Numba inner loops, a file per equation: one pass over memory each, any dimension.

Arrays come flattened. Order parameters are ``u[field, cell]``; spectra are
``spectrum[field, mode]``. Scalars take the precision of the arrays, which the caller sees to. The
annotations are for the reader and mypy: Numba compiles for the types it is called with.
"""
