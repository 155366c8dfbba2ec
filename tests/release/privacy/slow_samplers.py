"""The samplers of `release.privacy.samplers` once more, slow and obvious: fractions, endless digits, no bounds to mind.

From the same words it must give the same draws and have read as many words. Nothing is shared with the product: the
sums of k are made with `decimal`, coins compare fractions.
"""

from __future__ import annotations

import decimal
import math
from fractions import Fraction
from functools import cache

BASE = 2**32


class OutOfWordsError(Exception):
    pass


class Words:
    """A row of words, read from the front."""

    def __init__(self, words):
        self.words = [int(word) for word in words]
        self.at = 0

    def next(self) -> int:
        if self.at == len(self.words):
            raise OutOfWordsError
        self.at += 1
        return self.words[self.at - 1]


class Uniform:
    """A uniform real number of [0, 1), known to lie in [low, low + width); further digits are read where they are needed."""

    def __init__(self, words: Words):
        self.words, self.low, self.width = words, Fraction(0), Fraction(1)
        self.read()

    def read(self):
        self.width /= BASE
        self.low += self.words.next() * self.width

    def is_below(self, limit: Fraction) -> bool:
        while self.low < limit < self.low + self.width:
            self.read()
        return self.low + self.width <= limit


def coin(words, probability):
    return Uniform(words).is_below(probability)


def exp_coin(words, *factors):
    """Probability exp(-product of the factors); a factor that is 1 needs no coin, but for the first."""
    first, *others = factors
    k = 1
    while True:
        coins = [first, *(factor for factor in (*others, Fraction(1, k)) if factor != 1)]
        if not all(coin(words, probability) for probability in coins):
            return k % 2 == 1
        k += 1


@cache
def sums(name):
    """P(0), P(0) + P(1), … of P(k) ∝ exp(-k²/2) or exp(-k), to 1,000 bits: far more than are tabulated."""
    with decimal.localcontext() as context:
        context.prec = 310
        exponents = [
            decimal.Decimal(-k * k) / 2 if name == "gaussian" else decimal.Decimal(-k) for k in range(800)
        ]
        weights = [Fraction(exponent.exp()) for exponent in exponents if exponent > -800]
    total, below, result = sum(weights), Fraction(0), []
    for weight in weights:
        below += weight
        result.append(below / total)
    return result


def whole(words, name):
    uniform = Uniform(words)
    return next(k for k, limit in enumerate(sums(name)) if uniform.is_below(limit))


def below(words, bound):
    while True:
        product = words.next() * bound
        if product % BASE >= BASE % bound:
            return product // BASE


def gaussian(words, sigma):
    while True:
        k = whole(words, "gaussian")
        offset, positive = divmod(below(words, 2 * math.ceil(sigma)), 2)
        i = math.ceil(k * sigma) + offset
        x = i / sigma - k
        if x >= 1 or (not positive and i == 0):
            continue
        if exp_coin(words, x / 2, x) and all(exp_coin(words, x) for _ in range(k)):
            return i if positive else -i


def laplace(words, scale):
    s, d = scale
    while True:
        u, positive = divmod(below(words, 2 * s), 2)
        if not exp_coin(words, Fraction(u, s)):
            continue
        i = (u + s * whole(words, "laplace")) // d
        if not (not positive and i == 0):
            return i if positive else -i


def draws(name, words, n, s, shift):
    """Up to n draws from the words, and where those of the first incomplete draw begin."""
    row, result, begin = Words(words), [], 0
    try:
        for _ in range(n):
            result.append(
                gaussian(row, Fraction(s, 2**shift)) if name == "gaussian" else laplace(row, (s, 2**shift))
            )
            begin = row.at
    except OutOfWordsError:
        pass
    return result, begin
