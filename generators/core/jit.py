"""Kernels of floating-point sums over tables, and what they share. `release.compiling` says where compiled code is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba import types
from numba.extending import intrinsic

from release.compiling import compiled

F = TypeVar("F", bound=Callable[..., Any])

_REORDERED = frozenset({"reassoc", "nsz", "contract", "nnan", "ninf"})


def kernel(function: F) -> F:
    """Compile at the first call and cache. Sums may be reordered; tables never hold NaN or infinities."""
    return compiled(function, _REORDERED)


def inlined(function: F) -> F:
    """As `kernel`, inlined into its callers."""
    return cast(F, numba.njit(inline="always", error_model="numpy")(function))


@cast(Callable[..., Any], intrinsic)
def _float_of_bits(_context: Any, bits: Any) -> Any:
    """The float64 with these 64 bits: numba has no other vectorisable way to build a power of two."""

    def build(_cgctx: Any, builder: Any, _signature: Any, args: Any) -> Any:
        from llvmlite import ir  # type: ignore[import-untyped]

        return builder.bitcast(args[0], ir.DoubleType())

    if bits != types.int64:
        return None
    return types.float64(types.int64), build


@cast(Callable[..., Any], intrinsic)
def _bits_of_float(_context: Any, value: Any) -> Any:
    """The 64 bits of a float64, as int64."""

    def build(_cgctx: Any, builder: Any, _signature: Any, args: Any) -> Any:
        from llvmlite import ir

        return builder.bitcast(args[0], ir.IntType(64))

    if value != types.float64:
        return None
    return types.int64(types.float64), build


@inlined
def fast_exp(x: Any) -> Any:
    """exp(x) for x ≤ 0 to 4e-14 relative, 0 below -700. Branch-free, so that LLVM vectorises loops over it.

    Range reduction x = k·ln 2 + r, |r| ≤ ln 2 / 2, then the Taylor polynomial of degree 11 in r.
    """
    clipped = max(x, -700.0)
    k: Any = types.int64(clipped * 1.4426950408889634 - 0.5)
    r = (clipped - k * 0.693147180369123816490) - k * 1.90821492927058770002e-10
    p = 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    value = p * _float_of_bits((k + 1023) << 52)
    return value if x > -700.0 else 0.0


@inlined
def fast_log(x: Any) -> Any:
    """log(x) for 1e-300 < x < 1e300 to 1e-15 absolute or relative. Branch-free likewise.

    x = m · 2^k with m in [√½, √2), log m = 2 artanh(s) with s = (m - 1) / (m + 1), |s| < 0.172, by its series up to s^21.
    """
    bits: Any = _bits_of_float(x)
    k: Any = (bits - types.int64(0x3FE6A09E667F3BCD)) >> 52
    m = _float_of_bits(bits - (k << 52))
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = 1.0 / 21.0
    p = p * z + 1.0 / 19.0
    p = p * z + 1.0 / 17.0
    p = p * z + 1.0 / 15.0
    p = p * z + 1.0 / 13.0
    p = p * z + 1.0 / 11.0
    p = p * z + 1.0 / 9.0
    p = p * z + 1.0 / 7.0
    p = p * z + 1.0 / 5.0
    p = p * z + 1.0 / 3.0
    p = p * z + 1.0
    return k * 0.693147180369123816490 + (2.0 * s * p + k * 1.90821492927058770002e-10)
