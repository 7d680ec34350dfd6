"""Vectors of 8 floats for kernels whose loops are too short for the compiler to vectorise.

Inside a function compiled by Numba, `load`, `store` and `splat` go between memory and vectors, on
which `+ - * /`, `larger`, `smaller`, `above` and `where_above` work lane by lane. On any processor:
where its registers are shorter, LLVM takes several.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic, models, overload, register_model

LANES = 8
"""Lanes of a vector: a register of AVX2."""

_VECTOR = ir.VectorType(ir.FloatType(), LANES)


class _Lanes(types.Type):  # type: ignore[misc]
    pass


_TYPE = _Lanes(name="Lanes")


@register_model(_Lanes)
class _Model(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


@intrinsic
def load(_: Any, array: Any, index: Any) -> Any:
    """The 8 floats of the contiguous `array` from `index` on; nothing checks the bounds."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *args), align=4)

    return _TYPE(array, index), code


@intrinsic
def store(_: Any, array: Any, index: Any, value: Any) -> Any:
    """array[index : index + 8] = value."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, index, value), code


@intrinsic
def splat(_: Any, number: Any) -> Any:
    """The same float32 in all lanes."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integer = ir.IntType(32)
        one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), args[0], integer(0))
        first = ir.Constant(ir.VectorType(integer, LANES), [0] * LANES)
        return builder.shuffle_vector(one, one, first)

    return _TYPE(types.float32), code


def _lanewise(build: Callable[..., Any], result: Any = _TYPE) -> Any:
    @intrinsic
    def function(_: Any, a: Any, b: Any) -> Any:
        return result(a, b), lambda context, builder, signature, args: build(builder, *args)

    return function


def _overload(symbol: Any, instruction: str) -> None:
    # Fused multiplication and addition, but still as IEEE 754 has it for what is not finite.
    function = _lanewise(
        lambda builder, a, b: getattr(builder, instruction)(a, b, flags=["contract"])
    )

    def lanewise(a: Any, b: Any) -> Any:
        return function(a, b)

    @overload(symbol)
    def chosen(a: Any, b: Any) -> Any:
        return lanewise if isinstance(a, _Lanes) and isinstance(b, _Lanes) else None


for _symbol, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _overload(_symbol, _instruction)


def _select(builder: Any, comparison: str, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(comparison, a, b), a, b)


larger = _lanewise(lambda builder, a, b: _select(builder, ">", a, b))
smaller = _lanewise(lambda builder, a, b: _select(builder, "<", a, b))

above = _lanewise(
    lambda builder, a, b: builder.bitcast(builder.fcmp_unordered(">", a, b), ir.IntType(LANES)),
    types.uint8,
)
"""Bit l tells whether a > b, or either is not a number, in lane l."""


@intrinsic
def where_above(_: Any, a: Any, b: Any, c: Any) -> Any:
    """c where a > b or either is not a number, else 0."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        held = builder.fcmp_unordered(">", args[0], args[1])
        return builder.select(held, args[2], ir.Constant(_VECTOR, [0.0] * LANES))

    return _TYPE(a, b, c), code
