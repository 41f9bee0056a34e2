"""How well a judge answers each statement, against people's labels and against knowing nothing.

Yes is what the judge says above log-odds 0. F1 is of yes. A number that has no meaning, such as the
recall of a statement that is never true, is None and in no mean.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from judges.calibration.estimates import (
    Estimate,
    FloatArray,
    Groups,
    IntArray,
    bootstrap_estimate,
    group_numbers,
    share_estimate,
)
from judges.calibration.metrics import ece
from judges.errors import DataError
from judges.propositions.auroc import auroc
from judges.propositions.scores import (
    NULLS,
    Score,
    accuracy_gain,
    accuracy_score,
    f1_gain,
    f1_score,
    mean_of,
)
from judges.records import Record


class Null(Record):
    """What a judge that reads nothing would get, in expectation."""

    accuracy: Estimate
    """Share right."""
    f1: Estimate | None
    """F1 of yes, from expected counts; None where the statement is never true."""


class PropositionQuality(Record):
    """One statement's answers against its labels."""

    id: str
    """The statement."""
    n: int
    """Completions with an answer."""
    unscored: int
    """Completions without: counted here, and in nothing else."""
    base_rate: Estimate | None
    """Share for which the statement is true."""
    accuracy: Estimate | None
    """Share answered right, Wilson interval."""
    precision: Estimate | None
    """Share true of those answered yes; None where yes is never answered."""
    recall: Estimate | None
    """Share answered yes of those true; None where none is true."""
    f1: Estimate | None
    """Harmonic mean of the two; None where none is true."""
    auroc: Estimate | None
    """P(a true one has the higher log-odds), ties a half; None where all labels are alike."""
    ece: Estimate | None
    """Expected calibration error of the answer given, bins of equal mass."""
    nulls: dict[str, Null]
    """`always_yes`, `always_no`, `base_rate_coin` (yes as often as it is true), `random` (1/2)."""


class MacroQuality(Record):
    """Plain means over statements, each counting alike; intervals by resampling prompts.

    A resample leaves out of the mean F1 the statements that are never true in it.
    """

    statements: int
    """Statements with an answer: those whose accuracies are meant."""
    statements_f1: int
    """Statements that are true at least once: those whose F1 is meant."""
    accuracy: Estimate
    """Mean accuracy."""
    f1: Estimate | None
    """Mean F1."""
    nulls: dict[str, Null]
    """The same means for each null."""
    accuracy_above_best_null: Estimate
    """Mean of accuracy minus the better of always yes and always no; above 0 beats guessing."""
    f1_above_best_null: Estimate | None
    """Mean of F1 minus that of always yes, which no other null exceeds."""


class PropositionReport(Record):
    """All statements of one judge on one labelled set."""

    completions: int
    """Labelled completions."""
    prompts: int
    """Prompts they answer: what is resampled."""
    propositions: tuple[PropositionQuality, ...]
    """One a statement, in the order given."""
    macro: MacroQuality
    """Means over statements."""


class _Answers(NamedTuple):
    """What was answered where an answer is there."""

    logits: FloatArray
    said: FloatArray
    true: FloatArray
    groups: IntArray


def proposition_report(
    names: Sequence[str],
    logits_NF: npt.ArrayLike,
    labels_NF: npt.ArrayLike,
    groups: Groups = None,
    *,
    seed: int = 0,
) -> PropositionReport:
    """Quality of each statement's answers and their means, with nulls and intervals.

    Shapes: log-odds of yes (N, F), NaN where missing; labels 0 or 1 (N, F); prompts (N,).
    Cost: no model call. Raises: DataError when shapes or labels do not fit, or nothing is scored.
    """
    x, y = (np.asarray(values, dtype=np.float64) for values in (logits_NF, labels_NF))
    _refuse_misfit(names, x, y)
    numbers = group_numbers(groups, len(x))
    return PropositionReport(
        completions=len(x),
        prompts=int(numbers.max()) + 1,
        propositions=tuple(
            _quality(name, x[:, f], y[:, f], numbers, seed) for f, name in enumerate(names)
        ),
        macro=_macro(x, y, numbers, seed),
    )


def _quality(
    name: str, logits: FloatArray, labels: FloatArray, groups: IntArray, seed: int
) -> PropositionQuality:
    there = ~np.isnan(logits)
    n = int(there.sum())
    if not n:
        nothing = dict.fromkeys(
            ("base_rate", "accuracy", "precision", "recall", "f1", "auroc", "ece")
        )
        return PropositionQuality(id=name, n=0, unscored=len(logits), nulls={}, **nothing)
    x, y, again = logits[there], labels[there], group_numbers(groups[there], n)
    said = (x > 0).astype(np.float64)
    answers = _Answers(x, said, y, again)
    return PropositionQuality(
        id=name,
        n=n,
        unscored=len(logits) - n,
        base_rate=share_estimate(y, again),
        accuracy=share_estimate((said == y).astype(np.float64), again),
        precision=_share_within(y, said, again),
        recall=_share_within(said, y, again),
        f1=_f1(answers, seed),
        auroc=auroc(x, y, again),
        ece=ece(x, y, again, seed=seed),
        nulls=_nulls_at(share_estimate(y, again)),
    )


def _share_within(values: FloatArray, inside: FloatArray, groups: IntArray) -> Estimate | None:
    rows = inside == 1
    if not rows.any():
        return None
    return share_estimate(values[rows], group_numbers(groups[rows], int(rows.sum())))


def _f1(answers: _Answers, seed: int) -> Estimate | None:
    """F1 with its bootstrap interval; at 0 and at 1, where resamples cannot differ, by Wilson.

    F1 = 2J / (1 + J) rises with J, the share of both among those said or true.
    """
    if not answers.true.any():
        return None
    estimate = bootstrap_estimate(_totals_of(answers), mean_of(f1_score), answers.groups, seed)
    if 0 < estimate.value < 1:
        return estimate
    rows = (answers.said == 1) | (answers.true == 1)
    both = share_estimate(answers.said[rows] * answers.true[rows])
    low, high = (2 * end / (1 + end) for end in (both.low, both.high))
    return Estimate(value=estimate.value, low=low, high=high, n=estimate.n)


def _nulls_at(base_rate: Estimate) -> dict[str, Null]:
    """Each null's scores, as uncertain as the base rate, which is all that they depend on."""
    rates = np.array([base_rate.value, base_rate.low, base_rate.high])
    if base_rate.low < 0.5 < base_rate.high:
        rates = np.append(rates, 0.5)  # where the coin is worst
    one = np.ones_like(rates)

    def at(score: Score) -> Estimate:
        values = score(one, rates, one, one)
        low, high = np.nanmin(values), np.nanmax(values)
        return Estimate(value=float(values[0]), low=float(low), high=float(high), n=base_rate.n)

    return {
        name: Null(accuracy=at(accuracy), f1=at(f1) if base_rate.value > 0 else None)
        for name, (accuracy, f1) in NULLS.items()
    }


def _totals_of(answers: _Answers) -> FloatArray:
    """Columns whose totals are n, true, said and both. Shapes: → (n, 4)."""
    said, true = answers.said, answers.true
    return np.column_stack([np.ones(len(said)), true, said, said * true])


def _macro(x_NF: FloatArray, y_NF: FloatArray, groups: IntArray, seed: int) -> MacroQuality:
    there = ~np.isnan(x_NF)
    if not there.any():
        raise DataError("no statement has an answer; look why all are unscored")
    said = there & (x_NF > 0)
    true = there & (y_NF == 1)
    columns = np.stack([there, true, said, said & true], axis=-1).astype(np.float64)
    flat = columns.reshape(len(x_NF), -1)
    ever_true = int(true.any(axis=0).sum())

    def meant(score: Score) -> Estimate:
        return bootstrap_estimate(flat, mean_of(score), groups, seed)

    return MacroQuality(
        statements=int(there.any(axis=0).sum()),
        statements_f1=ever_true,
        accuracy=meant(accuracy_score),
        f1=meant(f1_score) if ever_true else None,
        nulls={
            name: Null(accuracy=meant(accuracy), f1=meant(f1) if ever_true else None)
            for name, (accuracy, f1) in NULLS.items()
        },
        accuracy_above_best_null=meant(accuracy_gain),
        f1_above_best_null=meant(f1_gain) if ever_true else None,
    )


def _refuse_misfit(names: Sequence[str], x_NF: FloatArray, y_NF: FloatArray) -> None:
    if x_NF.shape != y_NF.shape or x_NF.shape[1:] != (len(names),) or not len(x_NF):
        raise DataError(
            f"logits {x_NF.shape} and labels {y_NF.shape} for {len(names)} statements; "
            "give one row a completion, one column a statement"
        )
    if not np.isin(y_NF, (0, 1)).all():
        raise DataError("labels must be 0 or 1: whether each statement is true")
    if np.isinf(x_NF).any():
        raise DataError("a logit is infinite; log-odds of a judge are finite, NaN where missing")
