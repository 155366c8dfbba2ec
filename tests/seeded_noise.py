"""A `NoiseSource` that repeats itself. It exists under tests/ only; the product has none that takes a seed."""

import numpy as np
import numpy.typing as npt


class SeededNoise:
    """Rounded floating-point noise from a seeded generator: the right spread, good enough for tests, never private."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def discrete_gaussian(self, counts: npt.NDArray[np.int64], sigma: float) -> npt.NDArray[np.int64]:
        return counts + np.rint(self._rng.normal(0.0, sigma, np.shape(counts))).astype(np.int64)

    def discrete_laplace(self, counts: npt.NDArray[np.int64], scale: float) -> npt.NDArray[np.int64]:
        success = -np.expm1(-1.0 / scale)
        plus, minus = (self._rng.geometric(success, np.shape(counts)) for _ in range(2))
        return counts + (plus - minus).astype(np.int64)

    def exponential(self, scores: npt.NDArray[np.float64], epsilon: float, sensitivity: float) -> int:
        gumbel = self._rng.gumbel(size=len(scores))
        return int(np.argmax(epsilon * np.asarray(scores) / (2.0 * sensitivity) + gumbel))

    def generator(self) -> np.random.Generator:
        return np.random.default_rng(self._rng.integers(2**63))


class SeededRandomness:
    """Gaussians and coins of DP-SGD, the same each time, `scale` times as loud. Under tests/ only."""

    def __init__(self, seed=0, scale=1.0):
        self._rng = np.random.default_rng(seed)
        self._scale = scale

    def gaussian(self, n):
        return self._scale * self._rng.standard_normal(n)

    def coins(self, n, rate):
        return self._rng.random(n) < rate
