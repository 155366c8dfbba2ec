"""Privacy noise: exact discrete Gaussian and Laplace samples, and exact private selection.

Rules: randomness comes from the operating system and from nowhere else; nothing here takes a seed, and only tests
may put another `NoiseSource` in its place. No floating-point number takes part in drawing noise: a floating-point
sampler leaks through its rounding (Mironov 2012). A scale is turned into a fraction *rounded up* (by less than one
part in 2**28), so the noise is never smaller than what was accounted.

How: `samplers` turns uniform words into noise, exactly; the words are ChaCha20's, under a key that the operating system
gives at every call. Selection is OpenDP's exact noisy maximum, which takes its scores as the fractions that the floats
are.

What it does not do: account (see `accounting`), or check that a sensitivity is right.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from release.errors import FaultError, PlanError

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint32]
Kernel = Callable[[Words, Ints, int, int, int], tuple[int, int]]

SMALLEST_SCALE = 2.0**-10
LARGEST_SCALE = 2.0**29
"""Scales outside are refused: the bounds in `samplers` are proved for these."""

LARGEST_COUNT = 2**53
"""Counts beyond are refused, so that count + noise cannot overflow."""

_BITS = 30

_USUAL = 8
"""Words to draw for each number at first: it takes 6 to 8 on average (12 for Laplace scales below 1)."""

_CHUNK = 1 << 14
"""Words at a time: 64 KiB stay in the processor's cache."""

_LONGEST = 1 << 17
"""A draw keeps more than one proposal in four, and a proposal takes five words or fewer on average, with a geometric
tail: a draw of so many words happens less than once in 10**500. An error, not noise."""


class SystemNoise:
    """The product's one noise source. Keyed anew from the operating system at every call; safe across forks."""

    __slots__ = ()

    def discrete_gaussian(self, counts: Ints, sigma: float) -> Ints:
        """`counts` + noise of P(x) ∝ exp(-x²/(2σ²)), same shape. PlanError for a scale or counts out of range."""
        from release.privacy.samplers import add_gaussian

        values = _checked(counts)
        _add(add_gaussian, values.reshape(-1), sigma)
        return values

    def discrete_laplace(self, counts: Ints, scale: float) -> Ints:
        """`counts` + noise of P(x) ∝ exp(-|x|/b), same shape. PlanError for a scale or counts out of range."""
        from release.privacy.samplers import add_laplace

        values = _checked(counts)
        _add(add_laplace, values.reshape(-1), scale)
        return values

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


# ---------------------------------------------------------------------------------------------- random words


class _Stream:
    """Uniform words from ChaCha20 under a fresh key of the operating system. Used within one call, then dropped."""

    __slots__ = ("_cipher",)

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

        self._cipher = Cipher(algorithms.ChaCha20(os.urandom(32), bytes(16)), mode=None).encryptor()

    def words(self, n: int) -> Words:
        """Draw n uniform numbers in 0 … 2**32 - 1."""
        return np.frombuffer(self._cipher.update(bytes(4 * n)), dtype=np.uint32)


def _add(kernel: Kernel, values: Ints, scale: float) -> None:
    """Add noise to each of `values` (one axis) in place. See `samplers` for why no word is thrown away."""
    s, shift = _fraction(scale)
    stream = _Stream()
    words = np.empty(0, dtype=np.uint32)
    done = used = 0
    while done < len(values):
        begun = words[used:]
        if len(begun) > _LONGEST:
            raise FaultError(
                f"one draw of noise took more than {_LONGEST} random words",
                mend="the machine's random number source is broken",
            )
        fresh = stream.words(min(_USUAL * (len(values) - done) + 64, _CHUNK))
        words = np.concatenate((begun, fresh))
        done, used = kernel(words, values, done, s, shift)


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


def _fraction(scale: float) -> tuple[int, int]:
    """(s, b) with scale ≤ s/2**b < scale·(1 + 2**-29), 2**29 ≤ s ≤ 2**30 and b in 0 … 39."""
    if not (math.isfinite(scale) and SMALLEST_SCALE <= scale <= LARGEST_SCALE):
        raise PlanError(
            f"noise scale {scale} is not in [{SMALLEST_SCALE:g}, {LARGEST_SCALE:g}]", mend="change the budget"
        )
    shift = _BITS - math.frexp(scale)[1]
    numerator, denominator = float(scale).as_integer_ratio()
    return -((-numerator << shift) // denominator), shift


def _checked(counts: Ints) -> Ints:
    """A copy of the counts, as int64 in one piece."""
    values = np.asarray(counts)
    if values.dtype.kind not in "iu":
        raise PlanError(
            f"integer noise is for whole counts, not {values.dtype}", mend="round the counts first"
        )
    if values.size and (int(values.max()) > LARGEST_COUNT or int(values.min()) < -LARGEST_COUNT):
        raise PlanError(f"a count lies beyond ±{LARGEST_COUNT}", mend="scale the values down")
    return np.array(values, dtype=np.int64, order="C")
