"""The compiled samplers against slow ones made of fractions, word for word; ties; words that run out; no floats."""

from __future__ import annotations

import ast
import math
import re
from fractions import Fraction
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from release.privacy import samplers
from tests.release.privacy import slow_samplers

KERNELS = {"gaussian": samplers.add_gaussian, "laplace": samplers.add_laplace}
SUMS = {"gaussian": samplers.GAUSSIAN_SUMS, "laplace": samplers.LAPLACE_SUMS}
TOP = 2**32 - 1
REJECT = 1e-4

SCALES = [
    (2**29, 39),  # 2**-10, the smallest
    (2**29 + 1, 39),
    (2**29, 30),
    (2**30, 30),  # 1: every i is a whole multiple of σ
    (2**30 - 1, 30),
    (1_000_000_007, 28),
    (math.ceil(25 * 2**25), 25),
    (2**30 - 1, 20),
    (2**29, 0),  # 2**29, the largest
    (2**30, 0),
]


def as_words(words):
    return np.array(words, dtype=np.uint32)


def drawn(name, words, n, s, shift):
    values = np.zeros(n, dtype=np.int64)
    done, begin = KERNELS[name](as_words(words), values, 0, s, shift)
    assert not values[done:].any()
    return values[:done].tolist(), begin


def random_words(n, seed=1):
    return np.random.default_rng(seed).integers(0, 2**32, n, dtype=np.uint32)


# ------------------------------------------------------------------------------------------- word for word


@pytest.mark.parametrize(("s", "shift"), SCALES)
@pytest.mark.parametrize("name", KERNELS)
def test_the_same_draws_from_the_same_words_as_fractions_give(name, s, shift):
    words = random_words(6_000, seed=s)
    assert drawn(name, words, 300, s, shift) == slow_samplers.draws(name, words, 300, s, shift)


@st.composite
def awkward_words(draw, name, s):
    """Words that lie on the digits of what they are compared with, or beside them, so that ties and their ends occur.

    Never on all twelve digits of a sum: the slow samplers know no end of digits (and see the test of such a tie).
    """
    column = draw(st.integers(0, 5))
    digits = [int(digit) for digit in SUMS[name][:, column]]
    third = [2**32 // (2 * k) for k in range(1, 5)]
    near = [d + e for d in (*digits[:6], *third, 2**64 // s // 2**32) for e in (-1, 0, 1)]
    usual = st.integers(0, TOP)
    word = st.one_of(
        usual, st.sampled_from([0, 1, 2**31 - 1, 2**31, TOP, *near]).map(lambda x: min(max(x, 0), TOP))
    )
    pieces = draw(
        st.lists(
            st.one_of(st.lists(word, max_size=6), st.integers(0, 11).map(lambda n: digits[:n])), max_size=12
        )
    )
    return [word for piece in pieces for word in piece]


@pytest.mark.parametrize("name", KERNELS)
@settings(max_examples=400, deadline=None)
@given(data=st.data(), scale=st.sampled_from(SCALES))
def test_the_same_draws_from_words_that_tie(name, data, scale):
    s, shift = scale
    words = data.draw(awkward_words(name, s))
    assert drawn(name, words, 4, s, shift) == slow_samplers.draws(name, words, 4, s, shift)


@settings(max_examples=300, deadline=None)
@given(s=st.integers(2**29, 2**30), shift=st.integers(0, 39), seed=st.integers(0, 2**32))
def test_the_same_draws_at_any_scale(s, shift, seed):
    words = random_words(60, seed)
    for name in KERNELS:
        assert drawn(name, words, 20, s, shift) == slow_samplers.draws(name, words, 20, s, shift)


# ------------------------------------------------------------------------------------------- coins


def test_a_tied_word_is_decided_by_further_words():
    digit = 2**32 // 3  # 1/3 in base 2**32: 0x55555555 55555555 …
    for words, p, q, expected in [
        ([digit - 1], 1, 3, (True, 1)),
        ([digit + 1], 1, 3, (False, 1)),
        ([digit, digit - 1], 1, 3, (True, 2)),
        ([digit, digit, digit + 1], 1, 3, (False, 3)),
        ([digit] * 5 + [0], 1, 3, (True, 6)),
        ([2**31], 1, 2, (False, 1)),  # 1/2 has one digit: U = 1/2 + anything is not below it
        ([2**31 - 1], 1, 2, (True, 1)),
        ([0], 0, 3, (False, 1)),
        ([TOP], 3, 3, (True, 1)),
        ([0], 1, 2**31, (True, 1)),
        ([2], 1, 2**31, (False, 1)),
        ([1], 1, 2**31, (True, 1)),
        ([TOP], 2**31 - 1, 2**31, (False, 1)),
        ([TOP - 2], 2**31 - 1, 2**31, (True, 1)),
    ]:
        assert samplers._coin(as_words(words), 0, p, q) == expected, (words, p, q)


@settings(max_examples=1_000, deadline=None)
@given(data=st.data())
def test_a_coin_is_the_comparison_of_fractions(data):
    """Bounds too: p and q up to the largest allowed, and words beside the digits of p/q."""
    q = data.draw(st.one_of(st.integers(1, 40), st.integers(2**31 - 40, 2**31), st.integers(1, 2**31)))
    p = min(data.draw(st.one_of(st.integers(0, q), st.just(q), st.just(max(q - 1, 0)))), 2**31 - 1)
    digits = [(p << 32 * n) // q % 2**32 for n in range(1, 4)]
    keep = data.draw(st.integers(0, 3))
    words = digits[:keep] + data.draw(st.lists(st.integers(0, TOP), min_size=4, max_size=4))
    nudge = data.draw(st.integers(-1, 1))
    words[max(keep - 1, 0)] = min(max(words[max(keep - 1, 0)] + nudge, 0), TOP)
    row = slow_samplers.Words(words)
    try:
        expected = (slow_samplers.coin(row, Fraction(p, q)), row.at)
    except slow_samplers.OutOfWordsError:
        expected = (False, len(words) + 1)
    assert samplers._coin(as_words(words), 0, p, q) == expected


def test_coins_have_their_probabilities():
    n = 100_000
    words = random_words(12 * n, seed=20260105)

    def tossed(part, *arguments):
        at, results = 0, []
        for _ in range(n):
            result, at = part(words, at, *arguments)
            results.append(result)
        assert at <= len(words)
        return np.array(results)

    one, q = np.int64(1), 2**30 - 1
    p = 700_000_001
    x = p / q
    total = sum(math.exp(-k * k / 2) for k in range(20))
    for found, expected in (
        (tossed(samplers._coin, p, q), x),
        (tossed(samplers._coin, one, 5), 0.2),
        (tossed(samplers._exp_coin, p, q, one, one), math.exp(-x)),
        (tossed(samplers._exp_coin, p, 2 * q, p, q), math.exp(-x * x / 2)),
        (tossed(samplers._exp_coin, one, one, one, one), math.exp(-1)),
        (tossed(samplers._whole, samplers.GAUSSIAN_SUMS) == 1, math.exp(-0.5) / total),
        (tossed(samplers._whole, samplers.GAUSSIAN_SUMS) >= 2, 1 - (1 + math.exp(-0.5)) / total),
        (tossed(samplers._whole, samplers.LAPLACE_SUMS) >= 3, math.exp(-3)),
        (tossed(samplers._below, 5, 2**32 % 5) == 4, 0.2),
    ):
        assert stats.binomtest(int(found.sum()), n, expected).pvalue > REJECT
        assert stats.binomtest(int(found.sum()), n, expected * 1.05).pvalue < 0.05


@pytest.mark.parametrize("bound", [1, 2, 3, 6, 50, 2**16, 1_000_003, 2**30 + 2, 2**31 - 2, 2**31])
def test_every_whole_number_below_a_bound_is_reached_by_as_many_words(bound):
    spare = 2**32 % bound
    each = 2**32 // bound
    rng = np.random.default_rng(bound)
    for v in {0, 1 % bound, bound - 1, *(int(x) for x in rng.integers(0, bound, 20))}:
        first, last = -(-(v * 2**32 + spare) // bound), ((v + 1) * 2**32 - 1) // bound
        assert last - first + 1 == each
        for word in {first, last}:
            assert samplers._below(as_words([word]), 0, bound, spare) == (v, 1)
        # The words beside belong to another number, or are redrawn.
        for word in {first - 1, last + 1} - {-1, 2**32}:
            assert samplers._below(as_words([word]), 0, bound, spare) != (v, 1)


# ------------------------------------------------------------------------------------------- tables


@pytest.mark.parametrize("name", SUMS)
def test_the_tables_are_the_digits_of_the_sums(name):
    table = SUMS[name]
    assert table.shape == {"gaussian": (12, 24), "laplace": (12, 267)}[name]
    for column, exact in zip(table.T, slow_samplers.sums(name)):
        value = sum(Fraction(int(digit), 2 ** (32 * place)) for place, digit in enumerate(column, start=1))
        assert value <= exact < value + Fraction(1, 2**384)
    assert (table[:, -1] == TOP).all()  # nothing is above the last
    assert (table[:, :-1] != TOP).any(axis=0).all()


@pytest.mark.parametrize("name", SUMS)
def test_a_whole_number_is_the_comparison_with_the_sums(name):
    table = SUMS[name]
    for k in (0, 1, 2, 5, 11, table.shape[1] - 4):
        digits = table[:, k].astype(np.int64)
        for ties in range(12):
            for nudge in (-1, 1):
                words = digits[: ties + 1].copy()
                words[ties] += nudge
                if not 0 <= words[ties] <= TOP:
                    continue
                row = slow_samplers.Words([*words, 5, 5, 5])
                expected = slow_samplers.whole(row, name), row.at
                assert samplers._whole(as_words([*words, 5, 5, 5]), 0, table) == expected
                if k <= 2:  # further up the sums share their first digits
                    assert expected == (k + (nudge > 0), ties + 1)


def test_a_tie_in_every_tabulated_digit_is_no_draw():
    digits = [*samplers.GAUSSIAN_SUMS[:, 0], 1, 2, 3]
    assert samplers._whole(as_words(digits), 0, samplers.GAUSSIAN_SUMS) == (0, len(digits) + 1)
    assert drawn("gaussian", [*digits, *random_words(50)], 3, 2**30, 20) == ([], 0)


# ------------------------------------------------------------------------------------------- words that run out


def refilled(name, words, n, s, shift, cuts):
    """As the product does it: what was begun stands before fresh words, of which `cuts` come at a time."""
    values = np.zeros(n, dtype=np.int64)
    row, left, done = as_words([]), as_words(words), 0
    for cut in cuts:
        row, left = np.concatenate((row, left[:cut])), left[cut:]
        done, begin = KERNELS[name](row, values, done, s, shift)
        row = row[begin:]
    return values[:done].tolist(), len(words) - len(left) - len(row)


@pytest.mark.parametrize("name", KERNELS)
@settings(max_examples=400, deadline=None)
@given(data=st.data(), scale=st.sampled_from(SCALES), seed=st.integers(0, 2**32))
def test_a_refill_in_the_middle_of_a_draw_changes_nothing(name, data, scale, seed):
    words = data.draw(st.one_of(awkward_words(name, scale[0]), st.just(random_words(80, seed).tolist())))
    whole = drawn(name, words, 12, *scale)
    cuts = data.draw(st.lists(st.integers(0, 9), max_size=30))
    assert refilled(name, words, 12, *scale, [*cuts, len(words)]) == whole


@pytest.mark.parametrize("name", KERNELS)
def test_word_by_word_nothing_changes(name):
    words = random_words(400)
    whole = drawn(name, words, 1_000, 800_000_001, 25)
    assert len(whole[0]) > 40
    assert refilled(name, words, 1_000, 800_000_001, 25, [1] * 400) == whole


@pytest.mark.parametrize("name", KERNELS)
def test_nothing_is_read_beyond_the_words(name):
    """What lies behind them in memory does not matter, and a draw is complete only once all its words are there."""
    words = random_words(60)
    complete, _ = drawn(name, words, 100, 800_000_001, 25)
    for n in range(60):
        seen = set()
        for behind in (0, TOP, 2**31, 12345):
            row = as_words([*words[:n], *[behind] * 60])
            values = np.zeros(100, dtype=np.int64)
            done, at = KERNELS[name](row[:n], values, 0, 800_000_001, 25)
            assert at <= n
            seen.add((done, at, tuple(values)))
        assert len(seen) == 1
        assert list(values[:done]) == complete[:done]


def chi_square(values, sigma):
    x = np.arange(-6 * math.ceil(sigma), 6 * math.ceil(sigma) + 1)
    weights = np.exp(-(x**2) / (2 * sigma**2))
    expected = weights / weights.sum() * len(values)
    count = np.bincount(np.clip(values, x[0], x[-1]) - x[0], minlength=len(x))
    use = expected >= 20
    return stats.chisquare([*count[use], count[~use].sum()], [*expected[use], expected[~use].sum()]).pvalue


def test_throwing_a_begun_draw_away_would_be_caught():
    """The wrong way to refill favours draws of few words; here it must be seen, and the product's way must not."""
    n, size = 40_000, 20
    words = random_words(60 * n)
    values, done, at = np.zeros(n, dtype=np.int64), 0, 0
    while done < n:
        done, _ = samplers.add_gaussian(words[at : at + size], values, done, 2**29, 28)  # σ = 2
        at += size
    assert at <= len(words)
    assert chi_square(values, 2.0) < 1e-9
    right, _ = refilled("gaussian", words[: 12 * n], n, 2**29, 28, [size] * (12 * n // size))
    assert len(right) == n
    assert chi_square(np.array(right), 2.0) > REJECT


@pytest.mark.parametrize("word", [0, TOP])
def test_coins_that_all_fall_alike_end_with_the_words(word):
    words = as_words([word] * 1_000)
    one = np.int64(1)
    heads_for_ever = samplers._exp_coin(words, 0, one, 2, one, one)[1] == 1_001
    assert heads_for_ever == (word == 0)
    assert samplers._below(words, 0, 3, 1) == ((0, 1_001) if word == 0 else (2, 1))


# ------------------------------------------------------------------------------------------- no floats


def test_no_floating_point_number_occurs_in_the_source():
    tree = ast.parse(Path(samplers.__file__).read_text())
    for node in ast.walk(tree):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float))
        assert not (isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div))
        assert "float" not in getattr(node, "id", getattr(node, "attr", ""))


@pytest.mark.parametrize("name", KERNELS)
def test_no_floating_point_number_occurs_in_the_compiled_code(name):
    fresh = numba.njit(KERNELS[name].py_func)  # code from the cache shows no LLVM
    integer = numba.int64
    fresh.compile((numba.uint32[::1], integer[::1], integer, integer, integer))
    (code,) = fresh.inspect_llvm().values()
    floats = re.compile(r"\b(double|float|half|f(add|sub|mul|div|cmp))\b")
    assert not floats.search(code)

    @numba.njit
    def halved(x):
        return x / 2

    halved.compile((integer,))
    assert floats.search(next(iter(halved.inspect_llvm().values())))


def test_a_kernel_is_compiled_once_for_all_its_uses():
    """A second signature would be seconds of compiling and a second code to trust."""
    for name, kernel in KERNELS.items():
        drawn(name, random_words(100), 5, 2**29, 20)
        assert len(kernel.signatures) == 1
        assert not kernel.targetoptions["fastmath"]
