"""Proof that a suite could have failed: leaks planted into this very candidate, and releases that leak nothing.

Plants are rows of known members, added to the candidate's: verbatim, nearly verbatim (numbers moved by 0.1 sd, or one
cell changed where there are no numbers), nearly verbatim a dozen times over, the most isolated members verbatim, 60 % of their columns, the
quasi-identifiers and secrets of those with the rarest quasi-identifiers, or one value each that nobody else has (`attacks.plants`). The ε audit must refute the claim on a candidate
with planted members (or as large an ε as it can reach at this size). Each plant is sized for
99 % power of a test at p ≤ .01 on this data set, from how many of a pilot's planted units the probe sees at all; distances to
the candidate's own rows are those of the run. A plant that is missed says that the probe's silence means nothing.

Nulls are the candidate with every column shuffled by itself, one half of the reference played as the candidate against
the other half, and (for singling out) the two arms drawn anew from both together. Shuffling breaks up records but keeps
values, and a value that only one person has is a piece of that person: in a raw copy the shuffled columns still hold the
members' salaries and none of the controls'. So those cells of a shuffled column that hold a value of fewer than
`SHARED_BY` target units are filled anew with such values of both arms alike. What is left treats both arms the same
whatever the candidate was: a leaky candidate stays broken, and is not taken for an attack that sees ghosts. A null that looks like a leak (p ≤ .0001, so that the nulls of a whole suite together seldom err) says that
the probe sees ghosts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from attacks import copies, inference, linkability, one_run, own_values, qi_linkage, singling_out
from attacks.attack import Leak, MembershipAttack
from attacks.bench import F64, Bench, Bool
from attacks.encoding import Encoded
from attacks.plants import leak_order, plant
from attacks.reach_control import reach_p
from attacks.risks import excess_p_value
from attacks.singled import Count
from release.protocols import Progress, no_progress
from release.records import Control, ControlKind

CAUGHT = 0.01
GHOST = 0.0001
PILOT_SHARE = 0.40
"""Most member units that are planted; a leak that cannot be seen at this share cannot be proven on this data set."""
Z_CAUGHT = 2.3263478740408408
Z_POWER = 2.3263478740408408
MARGIN = 1.25
"""On the planted number: the pilot's detection rate is itself an estimate."""
TOP_SHARE = 0.02
REPEATED_SHARE = 0.20
"""Most member units that are planted so often: more would be most of the release."""
SMALLEST_NULL_REFERENCE = 50
SHARED_BY = 10
"""A value that so many target units have is no one's own: that all of them are in one arm has a chance of 2⁻⁹."""


Test = Callable[[Bench], float]
"""p-value of a probe's statistic on a bench, against "members look like controls"."""


@dataclass(frozen=True, slots=True, eq=False)
class Instrument:
    """How one probe is put to the test.

    Attributes:
        probe: its name. p_value: see `Test`. must_catch: leaks it is there to catch.
        hits: (U,) the units the probe points at, which sizes its plants; None where it points at no units, and its plants
            are sized by how far the pilot's p is from the one wanted.
        not_null: nulls that do not suit it. figure: which of the probe's figures, where others have instruments of their own.
    """

    probe: str
    p_value: Test
    hits: Callable[[Bench], Bool] | None
    must_catch: tuple[Leak, ...]
    not_null: tuple[str, ...] = ("arms-redrawn",)
    figure: str = ""

    def control(self, case: str) -> str:
        """The name of its control of a case: the policies ask for some by name."""
        return f"{case}/{self.figure}" if self.figure else case


def instruments(bench: Bench, attacks: Mapping[str, MembershipAttack]) -> tuple[Instrument, ...]:
    """The instruments of all probes that answer for a leak on this bench, by the membership attacks that run."""
    found = [
        Instrument(
            "copies",
            lambda bench: _excess(bench, copies.partial_hits(bench, no_progress)),
            lambda bench: copies.partial_hits(bench, no_progress),
            (Leak.VERBATIM, Leak.ISOLATED),
        ),
        Instrument(
            "linkability",
            lambda bench: _excess(bench, linkability.linked_units(bench, no_progress)),
            lambda bench: linkability.linked_units(bench, no_progress),
            (Leak.VERBATIM,),
        ),
        Instrument(
            "singling_out",
            _singling_out_p,
            None,
            (Leak.VERBATIM,),
            not_null=(),
        ),
        Instrument(
            "singling_out",
            reach_p("multivariate"),
            None,
            (Leak.VERBATIM,),
            not_null=(),
            figure="multivariate-reach",
        ),
        Instrument("inference", _inference_p, None, (Leak.VERBATIM,)),
    ]
    if own_values.enough(bench):
        univariate = Instrument(
            "singling_out",
            reach_p("univariate"),
            None,
            (Leak.OWN_VALUE,),
            not_null=(),
            figure="univariate-reach",
        )
        found.append(univariate)
    if qi_linkage.why_not(bench) is None:
        found.append(Instrument("qi_linkage", _qi_linkage_p, None, (Leak.SUBGROUP_SECRET,)))
    if one_run.why_not(bench) is None:
        found.append(Instrument(one_run.NAME, one_run.control_p, None, (Leak.VERBATIM,)))
    found.extend(_of_scores(attack) for attack in attacks.values() if attack.answers_for)
    if jointly := [attack for attack in attacks.values() if attack.answers_jointly]:
        found.append(Instrument("membership", _maximum_p(jointly), None, (Leak.NEAR_COPY, Leak.REPEATED)))
    return tuple(found)


def run_controls(
    bench: Bench, wanted: tuple[Instrument, ...], progress: Progress = no_progress
) -> tuple[Control, ...]:
    """Plant, test the nulls, and say of each what the probe made of it."""
    results: list[Control] = []
    if not (bench.targets.n_members and bench.targets.n_controls and bench.synthetic.n_rows):
        return ()
    leaks = [leak for leak in Leak if any(leak in instrument.must_catch for instrument in wanted)]
    for done, leak in enumerate(leaks):
        progress(done / (len(leaks) + 2), f"planting {leak}")
        results.extend(_planted(bench, leak, [one for one in wanted if leak in one.must_catch]))
    for done, (name, null) in enumerate(nulls(bench), start=len(leaks)):
        progress(done / (len(leaks) + 2), f"null: {name}")
        for instrument in wanted:
            if name in instrument.not_null:
                continue
            p = instrument.p_value(null)
            results.append(
                Control(
                    probe=instrument.probe,
                    name=instrument.control(name),
                    kind=ControlKind.NULL,
                    passed=p > GHOST,
                    p_value=p,
                    share=0.0,
                )
            )
    return tuple(results)


# ------------------------------------------------------------------------------------------------ plants


def _planted(bench: Bench, leak: Leak, wanted: list[Instrument]) -> list[Control]:
    members = np.flatnonzero(bench.targets.is_member)
    order = leak_order(bench, leak)
    share = REPEATED_SHARE if leak is Leak.REPEATED else PILOT_SHARE
    most = min(max(1, math.floor(share * len(members))), len(order))
    pilot = bench.planted(plant(bench, leak, order[:most]))
    benches: dict[int, Bench] = {most: pilot}
    results = []
    for instrument in wanted:
        size = _size(pilot, instrument, order[:most], len(members))
        if size not in benches:
            benches[size] = bench.planted(plant(bench, leak, order[:size]))
        p = instrument.p_value(benches[size])
        results.append(
            Control(
                probe=instrument.probe,
                name=instrument.control(str(leak)),
                kind=ControlKind.PLANTED_LEAK,
                passed=p <= CAUGHT,
                p_value=p,
                share=size / len(members),
            )
        )
    return results


def _size(pilot: Bench, instrument: Instrument, planted: npt.NDArray[np.int64], n_members: int) -> int:
    """How many planted units give the probe 99 % power, by what it sees of the pilot; at most all of the pilot."""
    if instrument.hits is None:
        reached = _z(instrument.p_value(pilot))
        return int(min(len(planted), math.ceil(MARGIN * len(planted) * (Z_CAUGHT + Z_POWER) / reached)))
    hits = instrument.hits(pilot)
    others = ~pilot.targets.is_member
    base = float(hits[others].mean())
    seen = float(hits[planted].mean())
    gain = max(seen - base, 1e-9)
    null = math.sqrt(n_members * max(base, 1.0 / n_members) * 2.0)
    needed = MARGIN * ((Z_CAUGHT + Z_POWER) * null + Z_POWER**2) / gain
    return int(min(len(planted), math.ceil(needed)))


def _z(p: float) -> float:
    from scipy.special import ndtri

    return max(float(-ndtri(max(p, 1e-300))), 1e-3)


# ------------------------------------------------------------------------------------------------ nulls


def nulls(bench: Bench) -> list[tuple[str, Bench]]:
    """Releases that leak nothing about the targets."""
    rng = bench.stream("nulls")
    found = [("columns-shuffled", bench.replaced(_shuffled(bench, rng)))]
    found.append(("arms-redrawn", bench.relabelled(rng.permutation(bench.targets.is_member))))
    reference = bench.reference
    if reference is not None and len(np.unique(reference.units)) >= SMALLEST_NULL_REFERENCE:
        units = rng.permutation(np.unique(reference.units))
        played = np.isin(reference.units, units[: len(units) // 2])
        found.append(("reference-rotation", bench.replaced(reference.take(played), reference.take(~played))))
    return found


def _shuffled(bench: Bench, rng: np.random.Generator) -> Encoded:
    """The candidate's columns, each shuffled by itself, what only few targets have drawn anew from both arms."""
    synthetic, targets = bench.synthetic, bench.targets
    values, codes = synthetic.values.copy(), synthetic.codes.copy()
    for column in range(len(codes)):
        order = rng.permutation(synthetic.n_rows)
        values[column], codes[column] = values[column, order], codes[column, order]
        # One cell per unit and value: a value that one unit has in many rows is still one unit's.
        held = np.unique(np.stack([targets.rows.codes[column], targets.unit]), axis=1)[0]
        known, units = np.unique(held, return_counts=True)
        own = known[units < SHARED_BY]
        cells = np.flatnonzero(np.isin(codes[column], own))
        pool = np.flatnonzero(np.isin(targets.rows.codes[column], own))
        if len(cells):
            drawn = pool[_by_unit(targets.unit[pool], len(cells), rng)]
            values[column, cells] = targets.rows.values[column, drawn]
            codes[column, cells] = targets.rows.codes[column, drawn]
    return Encoded(values, codes, synthetic.units)


def _by_unit(unit: npt.NDArray[np.int64], n: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """So many places, each unit as likely as any other, whatever its number of rows."""
    _, place, counts = np.unique(unit, return_inverse=True, return_counts=True)
    weight = 1.0 / counts[place]
    return rng.choice(len(unit), n, p=weight / weight.sum())


# ------------------------------------------------------------------------------------------------ tests


def _excess(bench: Bench, hits: Bool) -> float:
    member = bench.targets.is_member
    return excess_p_value(
        int(hits[member].sum()), int(member.sum()), int(hits[~member].sum()), int((~member).sum())
    )


def _singling_out_p(bench: Bench) -> float:
    """The better of the two kinds of predicates, at twice its p."""
    found = [Count.of(*singling_out.whom(bench, mode)).p_value() for mode in ("univariate", "multivariate")]
    return min(1.0, 2.0 * min(found))


def _inference_scores(bench: Bench) -> F64:
    """(U,) right guesses, each worth the bits of its cell: all secrets together have more power than any one."""
    right = inference.right_guesses(bench)
    bits = bench.tree.cell_bits(inference.one_row_each(bench))[inference.places(bench)]
    return np.asarray((right * bits).sum(axis=0), np.float64)


def _inference_p(bench: Bench) -> float:
    return 1.0 if len(bench.encoding.names) < 2 else _rank_p(bench, _inference_scores(bench))


def _qi_linkage_p(bench: Bench) -> float:
    right = qi_linkage.right_guesses(bench)
    bits = bench.tree.cell_bits(inference.one_row_each(bench))[qi_linkage.linked_secrets(bench)]
    return _rank_p(bench, np.asarray((right * bits).sum(axis=0), np.float64))


def _rank_p(bench: Bench, scores: F64) -> float:
    """One-sided Mann-Whitney: members' scores are no greater than controls'."""
    from scipy.stats import mannwhitneyu

    member = bench.targets.is_member
    if len(np.unique(scores)) < 2:
        return 1.0
    return float(mannwhitneyu(scores[member], scores[~member], alternative="greater").pvalue)


def _of_scores(attack: MembershipAttack) -> Instrument:
    def p_value(bench: Bench) -> float:
        scores = attack.scores(bench)
        return 1.0 if scores is None else top_share_p(scores, bench.targets.is_member)

    def hits(bench: Bench) -> Bool:
        scores = attack.scores(bench)
        if scores is None:
            return np.zeros(len(bench.targets.is_member), bool)
        return np.asarray(scores > np.quantile(scores[~bench.targets.is_member], 1 - TOP_SHARE))

    return Instrument(attack.name, p_value, hits, attack.answers_for)


def _maximum_p(attacks: Sequence[MembershipAttack]) -> Test:
    """The best of these attacks' p, times their number: which one sees a blurred copy depends on the table."""

    def p_value(bench: Bench) -> float:
        scores = [attack.scores(bench) for attack in attacks]
        found = [top_share_p(score, bench.targets.is_member) for score in scores if score is not None]
        return min(1.0, len(found) * min(found, default=1.0))

    return p_value


def top_share_p(scores: F64, is_member: Bool, share: float = TOP_SHARE) -> float:
    """One-sided p of "members are no more frequent among the top scores": hypergeometric, ties kept whole."""
    from scipy.stats import hypergeom

    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) + 1
    wanted = max(1, round(share * len(scores)))
    fitting = ends[ends <= wanted]
    size = int(fitting[-1]) if len(fitting) else int(ends[0])
    found = int(is_member[order[:size]].sum())
    return float(hypergeom.sf(found - 1, len(scores), int(is_member.sum()), size))
