"""A vector type for Numba: explicit lanes where the compiler's own vectorisation does not find them.

``load(array, index, lanes)`` reads as many numbers as the tuple `lanes` has entries; vectors are added,
subtracted, multiplied and divided lane by lane, scalars count for all lanes. Any number of lanes is right
on any processor: LLVM splits what the registers do not hold. `LANES` fits this one's. Reductions have a
fixed order, so results repeat to the bit.
"""

# mypy: ignore-errors

import math
import operator
from decimal import Decimal
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, lower_cast, models, overload, register_model

_BYTES = 64 if get_host_cpu_features().get("avx512f", False) else 32
#: Tuples as long as a vector register has lanes of a type.
LANES = {name: (0,) * (_BYTES // np.dtype(name).itemsize) for name in ("float32", "float64")}


class Vector(types.Type):
    """Lanes of float32 or float64."""

    def __init__(self, real: types.Float, lanes: int) -> None:
        self.real, self.lanes = real, lanes
        super().__init__(f"Vector({real}, {lanes})")

    def can_convert_from(self, typingctx: Any, other: Any) -> Any:
        """Take scalars for vectors of equal lanes."""
        return typingctx.can_convert(other, self.real) if isinstance(other, types.Number) else None

    @property
    def integer(self) -> ir.Type:
        """Integers of the same width, in LLVM."""
        return ir.VectorType(ir.IntType(self.real.bitwidth), self.lanes)

    @property
    def llvm(self) -> ir.Type:
        """The vector, in LLVM."""
        return ir.VectorType(ir.FloatType() if self.real.bitwidth == 32 else ir.DoubleType(), self.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, of: Vector) -> None:
        super().__init__(manager, of, of.llvm)


def _splat(builder: Any, value: Any, lanes: int) -> Any:
    vector = ir.VectorType(value.type, lanes)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)


@lower_cast(types.Number, Vector)
def _from_scalar(context: Any, builder: Any, fromty: Any, toty: Vector, value: Any) -> Any:
    return _splat(builder, context.cast(builder, value, fromty, toty.real), toty.lanes)


def _add_operator(function: Any, method: str) -> None:
    """Teach Numba an operator on vectors, or a vector and a scalar; products and sums may be fused."""

    @infer_global(function)
    class _Operator(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            vectors = {a for a in args if isinstance(a, Vector)}
            if len(args) == 2 and len(vectors) == 1:
                (vector,) = vectors
                return signature(vector, vector, vector)
            return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, method)(*args, flags=("contract",))

    lower_builtin(function, Vector, Vector)(lower)


for _function, _method in (
    (operator.add, "fadd"),
    (operator.iadd, "fadd"),
    (operator.sub, "fsub"),
    (operator.isub, "fsub"),
    (operator.mul, "fmul"),
    (operator.imul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _add_operator(_function, _method)


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any, vector: ir.Type) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


@intrinsic
def load(typingctx, array, index, lanes):
    """Read lanes from place `index` on, counted in the flat order of a C-contiguous array."""
    vector = Vector(array.dtype, lanes.count)

    def codegen(context, builder, sig, args):
        pointer = _address(context, builder, sig.args[0], args[0], args[1], vector.llvm)
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return vector(array, types.intp, lanes), codegen


@intrinsic
def store(typingctx, array, index, value):
    """Write a vector of the array's type from place `index` on, counted in the flat order."""
    if value.real != array.dtype:
        return None

    def codegen(context, builder, sig, args):
        pointer = _address(context, builder, sig.args[0], args[0], args[1], value.llvm)
        builder.store(args[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(array, types.intp, value), codegen


@intrinsic
def splat(typingctx, value, lanes):
    """Return a vector of one number."""

    def codegen(context, builder, sig, args):
        return _splat(builder, args[0], lanes.count)

    return Vector(value, lanes.count)(value, lanes), codegen


@intrinsic
def convert(typingctx, value, like):
    """Return a vector in the type of the array `like`."""
    target = Vector(like.dtype, value.lanes)

    def codegen(context, builder, sig, args):
        wider = target.real.bitwidth - value.real.bitwidth
        if wider == 0:
            return args[0]
        return (builder.fpext if wider > 0 else builder.fptrunc)(args[0], target.llvm)

    return target(value, like), codegen


@intrinsic
def total(typingctx, value):
    """Return the sum of the lanes, added in pairs."""

    def codegen(context, builder, sig, args):
        vector, lanes = args[0], value.lanes
        while lanes > 1 and lanes % 2 == 0:
            lanes //= 2
            numbers = ir.VectorType(ir.IntType(32), lanes)
            halves = [
                builder.shuffle_vector(
                    vector,
                    ir.Constant(vector.type, ir.Undefined),
                    ir.Constant(numbers, list(range(k * lanes, (k + 1) * lanes))),
                )
                for k in range(2)
            ]
            vector = builder.fadd(*halves)
        result = builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))
        for k in range(1, lanes):
            result = builder.fadd(result, builder.extract_element(vector, ir.Constant(ir.IntType(32), k)))
        return result

    return value.real(value), codegen


@intrinsic
def keep_first(typingctx, value, n):
    """Return the vector with zeros from lane `n` on."""

    def codegen(context, builder, sig, args):
        numbers = ir.VectorType(ir.IntType(32), value.lanes)
        count = _splat(builder, builder.trunc(args[1], ir.IntType(32)), value.lanes)
        inside = builder.icmp_signed("<", ir.Constant(numbers, list(range(value.lanes))), count)
        return builder.select(inside, args[0], ir.Constant(value.llvm, [0.0] * value.lanes))

    return value(value, types.intp), codegen


@intrinsic
def where_negative(typingctx, test, first, second):
    """Return the first where `test` is below zero, else the second."""

    def codegen(context, builder, sig, args):
        zero = ir.Constant(test.llvm, [0.0] * test.lanes)
        return builder.select(builder.fcmp_ordered("<", args[0], zero), args[1], args[2])

    return test(test, test, test), codegen


@intrinsic
def clip(typingctx, value, low, high):
    """Return each lane, but no less than `low` and no more than `high`."""

    def codegen(context, builder, sig, args):
        result = args[0]
        for comparison, bound in ((">", args[1]), ("<", args[2])):
            bounds = _splat(builder, bound, value.lanes)
            result = builder.select(builder.fcmp_ordered(comparison, result, bounds), result, bounds)
        return result

    return value(value, value.real, value.real), codegen


@intrinsic
def floor_to(typingctx, array, index, value):
    """Write lanes >= 0 without their fractions to an int32 array; return the fractions."""
    if array.dtype != types.int32:
        return None

    def codegen(context, builder, sig, args):
        whole = builder.fptosi(args[2], ir.VectorType(ir.IntType(32), value.lanes))
        builder.store(whole, _address(context, builder, sig.args[0], args[0], args[1], whole.type), align=4)
        return builder.fsub(args[2], builder.sitofp(whole, value.llvm))

    return value(array, types.intp, value), codegen


#: Bits of a number's fraction.
_FRACTION = {32: 23, 64: 52}


@intrinsic
def _scale(typingctx, value, shifted):
    """Multiply by 2^n, n the integer in the lowest bits of `shifted`."""

    def codegen(context, builder, sig, args):
        width = ir.Constant(value.integer, [_FRACTION[value.real.bitwidth]] * value.lanes)
        bits = builder.shl(builder.bitcast(args[1], value.integer), width)
        return builder.bitcast(builder.add(builder.bitcast(args[0], value.integer), bits), value.llvm)

    return value(value, value), codegen


def make_polynomial(coefficients: tuple[float, ...]) -> Any:
    """Return a function that evaluates a polynomial of a vector; coefficients from the constant one on.

    Neighbouring terms are joined in pairs (Estrin's scheme): few steps wait for each other.
    """

    @intrinsic
    def polynomial(typingctx, x):
        def codegen(context, builder, sig, args):
            terms = [ir.Constant(x.llvm, [number] * x.lanes) for number in coefficients]
            power = args[0]
            while len(terms) > 1:
                joined = [
                    builder.fadd(builder.fmul(high, power, flags=("contract",)), low, flags=("contract",))
                    for low, high in zip(terms[::2], terms[1::2])
                ]
                terms = joined + terms[2 * len(joined) :]
                power = builder.fmul(power, power)
            return terms[0]

        return x(x), codegen

    return polynomial


_LN2 = float(np.log(2.0))
#: ln 2 in two parts, the first of few bits, so that small multiples of it are exact.
_LN2_PARTS = {
    bits: (high, float(Decimal(2).ln() - Decimal(high)))
    for bits, high in ((32, round(_LN2 * 2**11) / 2**11), (64, round(_LN2 * 2**32) / 2**32))
}
#: Taylor series of exp(x), to rounding for |x| <= log(2)/2.
_EXP = {
    bits: make_polynomial(tuple(1.0 / math.factorial(k) for k in range(degree + 1)))
    for bits, degree in ((32, 7), (64, 13))
}
_LOWEST = {32: -40.0, 64: -300.0}


def exp(x: Any) -> Any:
    """Return exp(x) of a vector; x counts as no less than -40 (-300 in double precision), no more than 80."""
    raise NotImplementedError


@overload(exp)
def _overload_exp(x):
    bits = x.real.bitwidth
    magic, inverse, lowest = 1.5 * 2.0 ** _FRACTION[bits], 1.0 / _LN2, _LOWEST[bits]
    real = np.float32 if bits == 32 else np.float64
    (high, low), polynomial = _LN2_PARTS[bits], _EXP[bits]

    def function(x):
        x = clip(x, real(lowest), real(80.0))
        shifted = x * inverse + magic
        n = shifted - magic
        return _scale(polynomial((x - n * high) - n * low), shifted)

    return function
