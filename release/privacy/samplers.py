"""From uniform words to exact discrete Gaussian and Laplace noise: compiled loops, integers only.

Rules: what is drawn is a function of the words and of nothing else; no floating-point number occurs, not even in
making the tables. `noise` brings the words, checks the scales (the bounds below need them) and is what others call.

A draw is proposed and kept or not. Every decision compares a uniform real number U, whose digits in base 2**32 are
words, with a fixed number; a further word is read only where all digits so far tie, so that it falls exactly as for
a U of endless digits:

- a coin of p/q needs no digits of p/q at all: see `_coin` (2004.00010, section 5, does the same by digits);
- a coin of exp(-p/q) is a run of such coins (von Neumann's series): see `_exp_coin`;
- the whole part k of a proposal is U looked up among the sums of its probabilities, of which 12 digits are
  tabulated: see `_whole`. A tie in all twelve, less than once in 2**375 proposals, is an error, not noise.

The discrete Gaussian is Karney's algorithm ("Sampling exactly from the normal distribution", ACM TOMS 42, 2016,
algorithm D with rational σ), the discrete Laplace algorithm 2 of 2004.00010, both with k from the table in the place
of a run of coins. Uniform whole numbers are Lemire's (1805.10941, section 4).

**Where the words run out in the middle of a draw.** A draw that used many words is not like the others: to throw it
away, and its words with it, would change the distribution. So nothing is thrown away. Each kernel returns how many draws
are complete and where the words of the first incomplete one begin; the caller puts fresh words *behind* those and calls
again, and that draw is done once more from its first word. It reads the same words, decides the same, and goes on. What
comes out is, draw by draw, what one endless row of words would have given.

Inside, a position of len(words) + 1 stands for "ran out". No part reads beyond the end; each then returns that
position, every later part keeps it, and a draw with it is not counted, whatever it came to.

What it does not do: take the same time for every draw; the time of a call tells something of its noise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from release.compiling import compiled, part

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint32]

MOST_WORDS = 2**18
"""Longest array of words that a kernel may be given: the bounds below are proved for it."""

# ---------------------------------------------------------------------------------------------- tables

_DIGITS = 12
_PRECISION = 32 * _DIGITS + 128
"""Bits behind the point. About 2**10 products and sums are rounded below: far from the last digit kept."""


def _powers(n: int) -> list[int]:
    """exp(-j/2) · 2**_PRECISION for j = 0 … n - 1, from the series of exp(-1/2)."""
    one = 1 << _PRECISION
    half, term, j = one, one, 0
    while term:
        j += 1
        term //= 2 * j
        half += -term if j % 2 else term
    powers = [one]
    while len(powers) < n:
        powers.append(powers[-1] * half >> _PRECISION)
    return powers


def _sums(weights: list[int]) -> Words:
    """First digits in base 2**32 of P(0), P(0) + P(1), …, where P(k) ∝ weights[k]. Shape (_DIGITS, k).

    It ends with the first sum whose digits are all the largest: no U is above it.
    """
    total, below = sum(weights), 0
    columns = []
    for weight in weights:
        below += weight
        first = (below << 32 * _DIGITS) // total
        columns.append([first >> 32 * place & 0xFFFFFFFF for place in reversed(range(_DIGITS))])
        if first == (1 << 32 * _DIGITS) - 1:
            break
    return np.array(columns, dtype=np.uint32).T.copy()


_POWERS = _powers(800)
GAUSSIAN_SUMS = _sums([_POWERS[k * k] for k in range(28)])
"""Of P(k) ∝ exp(-k²/2): 24 columns. What is left out of the total is below 2**-_PRECISION."""
LAPLACE_SUMS = _sums(_POWERS[::2])
"""Of P(k) ∝ exp(-k): 267 columns."""

# ---------------------------------------------------------------------------------------------- parts

_ZERO: Any = np.int64(0)
_ONE: Any = np.int64(1)
"""A literal in a call would have numba compile the part once more."""


@part
def _coin(words: Words, at: int, p: int, q: int) -> tuple[bool, int]:
    """True with probability p/q, exactly: whether U < p/q. 0 ≤ p < 2**31, p ≤ q, 1 ≤ q ≤ 2**31.

    With w the first word of U and V the rest, U = (w + V)/2**32: U < p/q just where V·q < p·2**32 - w·q. As V is in [0, 1)
    that is false where the right side is ≤ 0 and true where it is ≥ q. Else U ties with p/q so far, and the question
    is V < rest/q: the same once more. Bounds: p·2**32 < 2**63, w·q < 2**63, and rest < q ≤ 2**31 where it goes on.
    """
    while at < len(words):
        word: Any = np.int64(words[at])
        rest = (p << 32) - word * q
        at += 1
        if rest <= 0:
            return False, at
        if rest >= q:
            return True, at
        p = rest
    return False, len(words) + 1


@part
def _exp_coin(words: Words, at: int, p: int, q: int, r: int, t: int) -> tuple[bool, int]:
    """True with probability exp(-(p/q)·(r/t)), exactly; p/q and r/t as `_coin` takes them.

    Von Neumann: with γ ≤ 1 the number k of the first tails among coins of probability γ/1, γ/2, γ/3, … is odd with
    probability exp(-γ). A coin of γ/k is all of the coins p/q, r/t and 1/k coming up heads; r/t = 1 and k = 1 need no word.
    k is at most the number of words.
    """
    k = _ONE
    while True:
        heads, at = _coin(words, at, p, q)
        if heads and r < t:
            heads, at = _coin(words, at, r, t)
        if heads and k > 1:
            heads, at = _coin(words, at, _ONE, k)
        if not heads:
            return k % 2 == 1, at
        k += 1


@part
def _whole(words: Words, at: int, sums: Words) -> tuple[int, int]:
    """A whole number k, `sums` holding P(0), P(0) + P(1), …: how many of them are ≤ U.

    Columns `low` to `high` tie with U so far. They ascend, so those that the next word decides lie at their ends.
    """
    low, high = 0, sums.shape[1]
    for digits in sums:
        if at >= len(words):
            break
        word = words[at]
        at += 1
        while low < high and digits[low] < word:
            low += 1
        last, high = high, low
        while high < last and digits[high] == word:
            high += 1
        if low == high:
            return low, at
    return 0, len(words) + 1


@part
def _below(words: Words, at: int, bound: int, spare: int) -> tuple[int, int]:
    """Uniform in 0 … bound - 1, exactly; spare = 2**32 mod bound, 1 ≤ bound ≤ 2**31.

    Each result v comes from the multiples w·bound of `bound` in v·2**32 + spare … (v+1)·2**32 - 1. That stretch is a whole
    number of times `bound` long, so it holds as many multiples for one v as for another. w·bound < 2**63.
    """
    while at < len(words):
        word: Any = np.int64(words[at])
        product = word * bound
        at += 1
        if (product & 0xFFFFFFFF) >= spare:
            return product >> 32, at
    return 0, len(words) + 1


# ---------------------------------------------------------------------------------------------- samplers


@compiled
def add_gaussian(words: Words, values: Ints, done: int, s: int, shift: int) -> tuple[int, int]:
    """Add discrete Gaussian noise of σ = s/d, d = 2**shift, to values[done:], as far as the words reach.

    A proposal is ±i with i whole and kσ ≤ i < (k+1)σ, k being drawn with P(k) ∝ exp(-k²/2); with x = i/σ - k in
    [0, 1) it is kept with probability exp(-x(2k+x)/2), so that it has weight exp(-(k+x)²/2) = exp(-i²/(2σ²)).
    Of the ⌈σ⌉ whole numbers i from ⌈kσ⌉ up, the last may be (k+1)σ or more: not kept. Nor is -0, or 0 would count twice
    (a dead source of words, all 0, proposes nothing else, and so makes no noise).

    Bounds: k < 24, so i·d < 24·s + d, and all that is computed of it is below 24 · 2**30 + 2**40. x is m/s with
    m = i·d - k·s, and x²/2 = m/(2s) · m/s: 2s ≤ 2**31.

    Args:
        words: (n,) uniform, n ≤ MOST_WORDS.
        values: (m,) changed in place.
        done: how many values have their noise.
        s: 2**29 … 2**30.
        shift: 0 … 39.

    Returns:
        How many values have their noise now, and where the words of the next one begin.
    """
    d = _ONE << shift
    bound = 2 * ((s + d - 1) >> shift)  # the last bit is the sign
    spare = (_ONE << 32) % bound
    begin = at = _ZERO
    while done < len(values):
        k, at = _whole(words, at, GAUSSIAN_SUMS)
        both, at = _below(words, at, bound, spare)
        i = ((k * s + d - 1) >> shift) + (both >> 1)
        m = (i << shift) - k * s
        negative = (both & 1) == 0
        if m < s and not (negative and i == 0):
            kept, at = _exp_coin(words, at, m, 2 * s, m, s)
            while kept and k > 0:
                kept, at = _exp_coin(words, at, m, s, _ONE, _ONE)
                k -= 1
            if kept and at <= len(words):
                values[done] += -i if negative else i
                done += 1
                begin = at
        if at > len(words):
            break
    return done, begin


@compiled
def add_laplace(words: Words, values: Ints, done: int, s: int, shift: int) -> tuple[int, int]:
    """Add discrete Laplace noise of scale s/2**shift to values[done:]; as `add_gaussian`.

    u in 0 … s - 1, kept with probability exp(-u/s), and k with P(k) ∝ exp(-k) make u + s·k, of P ∝ exp(-(u + s·k)/s); whole
    multiples of d = 2**shift are counted. -0 is not kept, or 0 would count twice. Bounds: 2s ≤ 2**31; k < 267, so
    u + s·k < 2**39.
    """
    bound = (
        2 * s
    )  # the last bit is the sign, 0 for -: words of a dead source, all 0, make only -0, never noise
    spare = (_ONE << 32) % bound
    begin = at = _ZERO
    while done < len(values):
        both, at = _below(words, at, bound, spare)
        u = both >> 1
        kept, at = _exp_coin(words, at, u, s, _ONE, _ONE)
        if kept:
            k, at = _whole(words, at, LAPLACE_SUMS)
            i = (u + k * s) >> shift
            negative = (both & 1) == 0
            if at <= len(words) and not (negative and i == 0):
                values[done] += -i if negative else i
                done += 1
                begin = at
        if at > len(words):
            break
    return done, begin
