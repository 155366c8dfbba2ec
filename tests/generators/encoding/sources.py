"""Noise sources for tests of the encoding: one that writes down what it is asked, one that does not listen."""

import numpy as np


class Recorder:
    """Adds nothing, and keeps (mechanism, counts, scale) of every call. Choices are the best score."""

    def __init__(self):
        self.calls = []

    def discrete_gaussian(self, counts, sigma):
        self.calls.append(("gaussian", np.array(counts), sigma))
        return np.array(counts, dtype=np.int64)

    def discrete_laplace(self, counts, scale):
        self.calls.append(("laplace", np.array(counts), scale))
        return np.array(counts, dtype=np.int64)

    def exponential(self, scores, epsilon, sensitivity):
        self.calls.append(("exponential", np.array(scores), (epsilon, sensitivity)))
        return int(np.argmax(scores))

    def generator(self):
        return np.random.default_rng(0)


class Deaf:
    """Answers with numbers of its own, whatever the counts are: what follows can depend on nothing else."""

    def __init__(self, seed):
        self._rng = np.random.default_rng(seed)

    def discrete_gaussian(self, counts, sigma):
        return self._rng.integers(-50, 1_500, np.shape(counts))

    def discrete_laplace(self, counts, scale):
        return self._rng.integers(-100, 60, np.shape(counts))

    def exponential(self, scores, epsilon, sensitivity):
        return int(self._rng.integers(len(scores)))

    def generator(self):
        return np.random.default_rng(0)
