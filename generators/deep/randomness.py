"""Randomness of DP-SGD: Gaussian noise for gradients and the coins of Poisson sampling, from ChaCha20.

Rules: keyed with 256 bits of the operating system when made; no seed, no state that can be stored; refuses to go on in a
forked process, whose parent would draw the same. Opacus' `secure_mode` needs `torchcsprng`, which was given up in 2021:
this stands in its place.

Gaussians are Box–Muller in float64 on 53-bit uniforms. Each is the sum of four, halved, so that the rounding of a
floating-point sampler tells nothing of the value that it was added to (Holohan & Braghin 2107.10138, section 5.1, with
n = 2: an attacker would have to search 2^159 states). Sums of gradients are bounded, not integer: the exact discrete sampler of
`release.privacy.noise` does not serve here.
"""

from __future__ import annotations

import os
from typing import Protocol

import numpy as np
import numpy.typing as npt

from release.errors import FaultError

F64 = npt.NDArray[np.float64]

_CHUNK = 1 << 16
"""Values made at a time: what is made stays in the processor's cache."""


class Randomness(Protocol):
    """What DP-SGD draws. The product's one implementation is `SystemRandomness`; only tests put another in."""

    def gaussian(self, n: int) -> F64:
        """`n` standard normal numbers, shape (n,)."""
        ...

    def coins(self, n: int, rate: float) -> npt.NDArray[np.bool_]:
        """`n` independent coins, shape (n,), each True with probability `rate` (rounded down by at most 2^-64)."""
        ...


class SystemRandomness:
    """ChaCha20 under a fresh key of the operating system. Made for one fit, then dropped."""

    __slots__ = ("_process", "_stream")

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher
        from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

        self._stream = Cipher(ChaCha20(os.urandom(32), bytes(16)), mode=None).encryptor()
        self._process = os.getpid()

    def gaussian(self, n: int) -> F64:
        result = np.empty(n, dtype=np.float64)
        for start in range(0, n, _CHUNK):
            m = min(_CHUNK, n - start)
            radius = np.sqrt(-2.0 * np.log1p(-self._uniform(2 * m)))
            angle = (2.0 * np.pi) * self._uniform(2 * m)
            four = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)]).reshape(4, m)
            result[start : start + m] = four.sum(axis=0) / 2.0
        return result

    def coins(self, n: int, rate: float) -> npt.NDArray[np.bool_]:
        if rate >= 1.0:
            return np.ones(n, dtype=np.bool_)
        return self._words(n) < np.uint64(int(rate * 2.0**64))

    def _uniform(self, n: int) -> F64:
        """Uniform in [0, 1): 53 bits each."""
        return np.asarray((self._words(n) >> np.uint64(11)) * 2.0**-53)

    def _words(self, n: int) -> npt.NDArray[np.uint64]:
        if os.getpid() != self._process:
            raise FaultError(
                "a fit went on in a forked process, where its noise would repeat", mend="start the fit there"
            )
        return np.frombuffer(self._stream.update(bytes(8 * n)), dtype=np.uint64)
