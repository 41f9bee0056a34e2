"""What people's labels say: how far they agree with the judge and with each other, and as data."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np

from judges.calibration.agreement import HumanAgreement, cohen_kappa, human_agreement
from judges.calibration.estimates import Estimate, share_estimate
from judges.records import Record
from service.reviews.disagreement import Drawn
from service.reviews.review_store import Label, Review

Form = Literal["labelled", "precedents"]
INDEX = {"first": 0, "second": 1, "tie": None}
"""What a choice is in labelled data."""
SEED = 0


class JudgeAgreement(Record):
    """The judge beside people, on the reviews drawn in one way."""

    drawn: Drawn
    """`random` tells of the judge in general; `disagreement` of its hardest pairs only."""
    reviews: int
    """Reviews with labels."""
    labels: int
    """Labels on them, skips left out."""
    agrees: Estimate | None
    """Share of reviews with a majority on which the judge says the same; None without such."""
    kappa: Estimate | None
    """The same beyond chance; None where it is undefined."""
    median_seconds: float | None
    """Time that a label took, in sight."""


class ReviewAgreement(Record):
    """How far people agree with the judge, and with each other."""

    judge: list[JudgeAgreement]
    """By how the reviews were drawn."""
    people: HumanAgreement | None
    """Between people; None where no review has two labels."""


def agreement_of(reviews: Iterable[Review]) -> ReviewAgreement:
    """The agreement on labelled reviews."""
    held = [review for review in reviews if _said(review)]
    drawn: tuple[Drawn, ...] = ("random", "disagreement")
    return ReviewAgreement(
        judge=[_judge(name, [r for r in held if r.pair.drawn == name]) for name in drawn],
        people=_people(held),
    )


def exported(reviews: Iterable[Review], form: Form) -> Iterator[dict[str, Any]]:
    """Rows of labels: for `charter judge-card --data`, or for a judge's `precedents`."""
    for review in reviews:
        choices = _said(review)
        if not choices:
            continue
        won = _majority(review)
        if form == "labelled":
            yield _labelled_row(review, choices, won)
        elif won in ("first", "second"):
            pair = review.pair
            yield {
                "id": review.id,
                "prompt": [turn.model_dump() for turn in pair.prompt],
                "chosen": pair.first if won == "first" else pair.second,
                "rejected": pair.second if won == "first" else pair.first,
            }


def _labelled_row(review: Review, choices: list[Label], won: str) -> dict[str, Any]:
    pair = review.pair
    return {
        "id": review.id,
        "prompt": [turn.model_dump() for turn in pair.prompt],
        "completions": [pair.first, pair.second],
        "preferred_index": INDEX[won],
        "annotators": [INDEX[one.choice] for one in choices],
        "metadata": {
            "subset": pair.drawn,
            "between": pair.between,
            "source": pair.source,
            "reviewers": [one.reviewer for one in choices],
            "seconds": [one.seconds for one in choices],
            "waited_s": [one.waited_s for one in choices],
        },
    }


def _said(review: Review) -> list[Label]:
    return [label for label in review.labels if label.choice != "skip"]


def _majority(review: Review) -> str:
    """What most say; a tie where no choice has the most."""
    choices = [label.choice for label in _said(review)]
    counts = {choice: choices.count(choice) for choice in choices}
    most = [choice for choice, count in counts.items() if count == max(counts.values())]
    return most[0] if len(most) == 1 else "tie"


def verdict_of(review: Review) -> str:
    """What the judge says: first, second or tie."""
    p = review.pair.p
    return "tie" if p == 0.5 else "first" if p > 0.5 else "second"


def _judge(drawn: Drawn, reviews: list[Review]) -> JudgeAgreement:
    decided = [review for review in reviews if _majority(review) != "tie"]
    people = [_majority(review) for review in decided]
    judge = [verdict_of(review) for review in decided]
    right = np.array([a == b for a, b in zip(people, judge, strict=True)], dtype=np.float64)
    times = [label.seconds for r in reviews for label in _said(r) if label.seconds is not None]
    return JudgeAgreement(
        drawn=drawn,
        reviews=len(reviews),
        labels=sum(len(_said(review)) for review in reviews),
        agrees=share_estimate(right) if len(right) else None,
        kappa=cohen_kappa(people, judge, seed=SEED) if len(right) > 1 else None,
        median_seconds=float(np.median(times)) if times else None,
    )


def _people(reviews: list[Review]) -> HumanAgreement | None:
    names = sorted({label.reviewer for review in reviews for label in _said(review)})
    by_name = [{label.reviewer: label.choice for label in _said(review)} for review in reviews]
    if not any(len(said) > 1 for said in by_name):
        return None
    return human_agreement([[said.get(name) for said in by_name] for name in names], seed=SEED)
