"""Privacy noise: exact discrete Gaussian and Laplace samples, and exact private selection.

Rules: randomness comes from the operating system and from nowhere else; nothing here takes a seed, and only tests
may put another `NoiseSource` in its place. No floating-point number takes part in drawing noise: a floating-point
sampler leaks through its rounding (Mironov 2012). A scale is turned into a fraction *rounded up* (by less than one
part in 2**28), so the noise is never smaller than what was accounted.

How: the samplers are integer rejection samplers, run on whole arrays. Every decision is a coin of probability
exp(-p/q) or p/q, drawn exactly by comparing 32-bit words with the digits of p/q in base 2**32, further digits being
worked out only where a word ties (2004.00010, section 5; von Neumann's series for exp). The discrete Gaussian is
Karney's algorithm ("Sampling exactly from the normal distribution", ACM TOMS 42, 2016, algorithm D with rational
σ); the discrete Laplace is algorithm 2 of 2004.00010. Selection is OpenDP's exact noisy maximum, which takes its
scores as the fractions that the floats are.

What it does not do: account (see `accounting`), or check that a sensitivity is right.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from release.errors import FaultError, PlanError

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

SMALLEST_SCALE = 2.0**-10
LARGEST_SCALE = 2.0**29
"""Scales outside are refused: the bounds below are proved for these."""

LARGEST_COUNT = 2**53
"""Counts beyond are refused, so that count + noise cannot overflow."""

_BITS = 30
_LARGEST_RUN = 512
"""A run of this many coins of probability exp(-1/2) happens once in 10**111 draws: an error, not noise."""

_CHUNK = 1 << 17


class SystemNoise:
    """The product's one noise source. Keyed anew from the operating system at every call; safe across forks."""

    __slots__ = ()

    def discrete_gaussian(self, counts: Ints, sigma: float) -> Ints:
        """`counts` + noise of P(x) ∝ exp(-x²/(2σ²)), same shape. PlanError for a scale or counts out of range."""
        numerator, denominator = _fraction(sigma)
        return _added(counts, lambda bits, n: _gaussian(bits, n, numerator, denominator))

    def discrete_laplace(self, counts: Ints, scale: float) -> Ints:
        """`counts` + noise of P(x) ∝ exp(-|x|/b), same shape. PlanError for a scale or counts out of range."""
        numerator, denominator = _fraction(scale)
        return _added(counts, lambda bits, n: _laplace(bits, n, numerator, denominator))

    def exponential(self, scores: npt.NDArray[np.float64], epsilon: float, sensitivity: float) -> int:
        """Index i with P(i) ∝ exp(ε·score_i / (2·sensitivity)), by adding exact Gumbel noise and taking the largest.

        A score is taken as the very fraction that its float is; sensitivity must hold for those floats.
        """
        return _select(scores, epsilon, sensitivity)

    def generator(self) -> np.random.Generator:
        """Ordinary randomness for post-processing, keyed with 256 bits from the operating system."""
        return np.random.Generator(
            np.random.PCG64DXSM(np.random.SeedSequence(int.from_bytes(os.urandom(32))))
        )


# ---------------------------------------------------------------------------------------------- random bits


class _Bits:
    """Uniform words from ChaCha20 under a fresh key of the operating system. Used within one call, then dropped."""

    __slots__ = ("_stream",)

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher
        from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

        self._stream = Cipher(ChaCha20(os.urandom(32), bytes(16)), mode=None).encryptor()

    def words(self, n: int) -> Words:
        """Draw n uniform numbers in 0 … 2**32 - 1, as uint64."""
        return np.frombuffer(self._stream.update(bytes(4 * n)), dtype=np.uint32).astype(np.uint64)


# ---------------------------------------------------------------------------------------------- exact coins


def _coin(bits: _Bits, p: Words, q: int) -> Flags:
    """True with probability p/q for each p, exactly. 0 ≤ p ≤ q ≤ 2**31.

    A uniform real in base 2**32 is compared with p/q, digit by digit. Each digit needs (remainder · 2**32) // q, whose
    dividend is at most 2**31 · 2**32 = 2**63: inside uint64. Where p = q the first digit is 2**32, above every word.
    """
    scaled = p << np.uint64(32)
    digit = scaled // np.uint64(q)
    word = bits.words(len(p))
    heads = word < digit
    tied = np.flatnonzero(word == digit)
    while len(tied):  # once in 2**32 coins
        remainder = scaled[tied] - digit[tied] * np.uint64(q)
        scaled[tied] = remainder << np.uint64(32)
        digit[tied] = scaled[tied] // np.uint64(q)
        word = bits.words(len(tied))
        heads[tied] = word < digit[tied]
        tied = tied[
            (word == digit[tied]) & (scaled[tied] > 0)
        ]  # no remainder: every further digit is 0, tails
    return heads


def _one_in(bits: _Bits, n: int, k: int) -> Flags:
    """Toss n coins of probability 1/k."""
    return _coin(bits, np.ones(n, dtype=np.uint64), k)


def _exp_coin(bits: _Bits, p: Words, q: int, r: Words | None = None, halves: int = 1) -> Flags:
    """True with probability exp(-(p/q)·(r/q)/halves), exactly; r = None stands for r = q. p, r ≤ q ≤ 2**31.

    Von Neumann: with γ ≤ 1 the number K of the first tails among coins of probability γ/1, γ/2, γ/3, … is odd
    with probability exp(-γ). A coin of γ/K is all of the coins p/q, r/q and 1/(halves·K) coming up heads.
    """
    odd = np.zeros(len(p), dtype=np.bool_)
    active = np.arange(len(p))
    for k in range(1, _LARGEST_RUN):
        heads = _coin(bits, p[active], q)
        if r is not None:
            heads[heads] = _coin(bits, r[active[heads]], q)
        if halves * k > 1:
            heads[heads] = _one_in(bits, int(heads.sum()), halves * k)
        if k % 2:
            odd[active[~heads]] = True
        active = active[heads]
        if not len(active):
            return odd
    raise _improbable()


def _below(bits: _Bits, n: int, bound: int) -> Words:
    """Draw n uniform whole numbers in 0 … bound - 1; bound ≤ 2**31. Masked words, redrawn where too large."""
    mask = np.uint64((1 << (bound - 1).bit_length()) - 1)
    result = bits.words(n) & mask
    redraw = np.flatnonzero(result >= bound)
    while len(redraw):
        result[redraw] = bits.words(len(redraw)) & mask
        redraw = redraw[result[redraw] >= bound]
    return result


def _runs(bits: _Bits, n: int, halves: int) -> Words:
    """Draw n lengths of runs of coins of probability exp(-1/halves): P(k) ∝ exp(-k/halves)."""
    result = np.zeros(n, dtype=np.uint64)
    active = np.arange(n)
    for _ in range(_LARGEST_RUN):
        active = active[_exp_coin(bits, np.ones(len(active), dtype=np.uint64), halves)]
        if not len(active):
            return result
        result[active] += np.uint64(1)
    raise _improbable()


# ---------------------------------------------------------------------------------------------- samplers


def _gaussian(bits: _Bits, n: int, s: int, d: int) -> Ints:
    """Draw n discrete Gaussian numbers of σ = s/d, where s ≤ 2**30 and d ≤ 2**40 is a power of two.

    A proposal is sign·i with i whole and kσ ≤ i < (k+1)σ, k being drawn with P(k) ∝ exp(-k²/2); with
    x = i/σ - k in [0, 1) it is kept with probability exp(-x(2k+x)/2), so that it has weight exp(-(k+x)²/2).
    In whole numbers x = m/s with m = i·d - k·s, 0 ≤ m < s.

    Bounds: k < 512 = 2**9, so k·s < 2**39; i < (k+1)σ + 1 and i·d < (k+1)·s + d < 2**41: all inside int64. Coins
    get m < s ≤ 2**30 over q = s.
    """
    result = np.empty(n, dtype=np.int64)
    done = 0
    while done < n:
        batch = min(int(2.2 * (n - done)) + 64, _CHUNK)
        k = _runs(bits, batch, 2)
        k = k[_pairs(bits, k)].astype(np.int64)
        i = -(-k * s // d) + _below(bits, len(k), -(-s // d)).astype(np.int64)
        m = i * d - k * s
        negative = bits.words(len(k)) % _TWO == _ONE
        keep = (m < s) & ~(negative & (i == 0))
        k, i, m, negative = k[keep], i[keep], m[keep], negative[keep]
        part = m.astype(np.uint64)
        kept = _exp_coin(bits, part, s, part, 2)
        for turn in range(int(k.max(initial=0))):
            left = np.flatnonzero(kept & (k > turn))
            kept[left] = _exp_coin(bits, part[left], s)
        drawn = np.where(negative, -i, i)[kept][: n - done]
        result[done : done + len(drawn)] = drawn
        done += len(drawn)
    return result


def _pairs(bits: _Bits, k: Words) -> Flags:
    """True with probability exp(-k(k-1)/2) for each k: a run of coins exp(-1/2) is at least k(k-1) long."""
    kept = np.ones(len(k), dtype=np.bool_)
    several = np.flatnonzero(k > 1)
    kept[several] = _runs(bits, len(several), 2) >= k[several] * (k[several] - _ONE)
    return kept


def _laplace(bits: _Bits, n: int, s: int, d: int) -> Ints:
    """Draw n discrete Laplace numbers of scale s/d, where s ≤ 2**30 and d ≤ 2**40 is a power of two.

    Bounds: with fewer than 512 = 2**9 heads in a row, u + s·v < 2**30 · 2**9 = 2**39.
    """
    result = np.empty(n, dtype=np.int64)
    done = 0
    while done < n:
        batch = min(int(1.7 * (n - done)) + 64, _CHUNK)
        u = _below(bits, batch, s)
        u = u[_exp_coin(bits, u, s)].astype(np.int64)
        magnitude = (u + s * _runs(bits, len(u), 1).astype(np.int64)) // d
        negative = bits.words(len(u)) % _TWO == _ONE
        drawn = np.where(negative, -magnitude, magnitude)[~(negative & (magnitude == 0))][: n - done]
        result[done : done + len(drawn)] = drawn
        done += len(drawn)
    return result


def _select(scores: npt.NDArray[np.float64], epsilon: float, sensitivity: float) -> int:
    """See `SystemNoise.exponential`. PlanError for scores, ε or a sensitivity that make no sense."""
    # Not `opendp.prelude`: that loads scikit-learn and pandas, which takes longer than a whole fit.
    from opendp.domains import atom_domain, vector_domain
    from opendp.measurements import make_noisy_max
    from opendp.measures import zero_concentrated_divergence
    from opendp.metrics import linf_distance
    from opendp.mod import OpenDPException, enable_features

    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise PlanError(
            f"scores of shape {values.shape} are not a vector of finite numbers with something to choose"
        )
    for name, value in (("ε", epsilon), ("sensitivity", sensitivity)):
        if not (math.isfinite(value) and value > 0.0):
            raise PlanError(f"{name} = {value} is not a positive, finite number")
    # Rounding the scale up makes the choice more random than was accounted, never less.
    scale = math.nextafter(2.0 * sensitivity / epsilon, math.inf)
    enable_features("contrib")
    try:
        choose = make_noisy_max(
            vector_domain(atom_domain(T=float, nan=False)),
            linf_distance(T=float),
            zero_concentrated_divergence(),
            scale=scale,
        )
        return int(choose(values.tolist()))
    except OpenDPException as error:
        raise FaultError(f"OpenDP could not choose among {len(values)} scores: {error}") from error


# ---------------------------------------------------------------------------------------------- edges

_ONE, _TWO = np.uint64(1), np.uint64(2)


def _fraction(scale: float) -> tuple[int, int]:
    """(s, d) with scale ≤ s/d < scale·(1 + 2**-29), 2**29 ≤ s ≤ 2**30 and d a power of two in 1 … 2**40."""
    if not (math.isfinite(scale) and SMALLEST_SCALE <= scale <= LARGEST_SCALE):
        raise PlanError(
            f"noise scale {scale} is not in [{SMALLEST_SCALE:g}, {LARGEST_SCALE:g}]", mend="change the budget"
        )
    exponent = _BITS - math.frexp(scale)[1]
    d = 1 << exponent
    return math.ceil(Fraction(scale) * d), d


def _added(counts: Ints, draw: Callable[[_Bits, int], Ints]) -> Ints:
    values = np.asarray(counts)
    if values.dtype.kind not in "iu":
        raise PlanError(
            f"integer noise is for whole counts, not {values.dtype}", mend="round the counts first"
        )
    if values.size and (int(values.max()) > LARGEST_COUNT or int(values.min()) < -LARGEST_COUNT):
        raise PlanError(f"a count lies beyond ±{LARGEST_COUNT}", mend="scale the values down")
    return values.astype(np.int64) + draw(_Bits(), values.size).reshape(values.shape)


def _improbable() -> FaultError:
    return FaultError(
        f"a run of {_LARGEST_RUN} coins that all fell alike",
        mend="the machine's random number source is broken",
    )
