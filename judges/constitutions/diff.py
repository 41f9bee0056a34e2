"""What sets two constitutions apart, change by change, and what each costs to catch up with.

Votes are keyed by the words of a question, not by the id of its principle. So a principle that was
only renamed, or goes back to words that the other constitution asks too, needs no new vote.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from judges.constitutions.constitution import Constitution, Principle, Proposition
from judges.records import Kind, Record

What = Literal[
    "added", "removed", "renamed", "reworded", "rule", "scope",
    "statement added", "statement removed", "statement reworded", "statement answer",
    "statement weight", "tier", "weight", "family", "settings",
    "critique", "revise", "title", "source", "tests", "order", "about",
]  # fmt: skip
Cost = Literal["votes", "checks", "labels", "revisions", "nothing"]

Known = set[tuple[Kind, str]]
"""Questions of the old version, by kind and digest."""

COSTS: tuple[Cost, ...] = ("votes", "checks", "labels", "revisions", "nothing")
"""Dearest first: judge again; check again by code; aggregate again; critique and revise again."""
UNITS: dict[Kind, str] = {
    "pair": "2 votes a pair",
    "applies": "1 vote a prompt",
    "yes_no": "1 vote a completion, for `charter score`",
    "rule": "1 check by code a completion, no model call",
}
"""What a judge is asked for each new question."""
_PLAIN: tuple[tuple[What, Cost], ...] = (
    ("tier", "labels"),
    ("weight", "labels"),
    ("family", "labels"),
    ("critique", "revisions"),
    ("revise", "revisions"),
    ("title", "nothing"),
    ("source", "nothing"),
    ("tests", "nothing"),
)


class Wanted(Record):
    """A question that the new version asks and the old one does not."""

    principle: str
    """Whose question it is."""
    kind: Kind
    """`pair` stands for the text, in whichever way judges are asked about it."""
    digest: str
    """The principle's part of the vote key."""


class Change(Record):
    """One thing that differs."""

    what: What
    """What sort of change it is."""
    principle: str | None = None
    """The id it is about, the new one where it was renamed; none for the constitution itself."""
    detail: str | None = None
    """Which statement, which setting, or which field."""
    before: str | None = None
    """What the old version says; none where it says nothing."""
    after: str | None = None
    """What the new version says."""
    cost: Cost
    """What is to be done again at most."""


class Diff(Record):
    """What sets two constitutions apart, parents resolved."""

    before: str
    """The old version's reference."""
    after: str
    """The new version's reference."""
    changes: tuple[Change, ...]
    """Principle by principle in the new version's order, then what was removed, then the rest."""
    wanted: tuple[Wanted, ...]
    """The questions that have to be asked anew; votes on all others are kept."""

    @property
    def cost(self) -> Cost:
        """The dearest of the changes."""
        return min((change.cost for change in self.changes), key=COSTS.index, default="nothing")

    @property
    def wanted_digests(self) -> frozenset[str]:
        """What the new votes will be keyed by."""
        return frozenset(question.digest for question in self.wanted)


def compare(before: Constitution, after: Constitution) -> Diff:
    """Every difference between two constitutions, and the questions that only the second asks."""
    known = {asked for p in before.principles for asked in _asked(p)}
    names = _renamed(before.principles, after.principles)
    changes = [
        *_of_principles(before, after, names, known),
        *_removed(before, after, names),
        *_of_the_whole(before, after),
    ]
    wanted = tuple(
        Wanted(principle=p.id, kind=kind, digest=digest)
        for p in after.principles
        for kind, digest in _asked(p)
        if (kind, digest) not in known
    )
    return Diff(
        before=before.reference, after=after.reference, changes=tuple(changes), wanted=wanted
    )


def _of_principles(
    before: Constitution, after: Constitution, names: dict[str, str], known: Known
) -> Iterator[Change]:
    """What is new or different in the new version's principles, in their order."""
    old = {p.id: p for p in before.principles}
    for new in after.principles:
        source = old.get(new.id) or old.get(names.get(new.id, ""))
        if source is None:
            cost = _dearest(new, known)
            yield Change(what="added", principle=new.id, after=_question(new), cost=cost)
            continue
        if source.id != new.id:
            yield Change(
                what="renamed", principle=new.id, before=source.id, after=new.id, cost="labels"
            )
        yield from _between(source, new, known)


def _removed(before: Constitution, after: Constitution, names: dict[str, str]) -> Iterator[Change]:
    kept = {p.id for p in after.principles} | set(names.values())
    for old in before.principles:
        if old.id not in kept:
            yield Change(what="removed", principle=old.id, before=_question(old), cost="labels")


def headline(change: Change) -> str:
    """A change in a few words: `weight of 'no-harm': 1 → 2`."""
    owner = f" of {change.principle!r}" if change.principle else ""
    if change.what == "renamed":
        return f"renamed {change.before!r} to {change.after!r}"
    if change.what in ("added", "removed", "reworded"):
        return f"{change.what} {change.principle!r}"
    name = {"settings": "setting", "about": ""}.get(change.what, change.what)
    detail = change.detail or ""
    head = " ".join(part for part in (name, detail) if part) + owner
    if change.what in ("tier", "weight", "family", "settings") or (
        change.what in ("statement weight", "statement answer")
    ):
        return f"{head}: {change.before} → {change.after}"
    if change.before is None or change.after is None:
        return f"{head} {'added' if change.before is None else 'removed'}"
    return f"{head} changed"


def _asked(principle: Principle) -> Iterator[tuple[Kind, str]]:
    """Every question a principle can put, by kind and by its part of the vote key."""
    for kind in principle.question_kinds:
        yield kind, principle.question_digest(kind)
    for proposition in principle.propositions:
        yield "yes_no", proposition.question_digest


def _dearest(principle: Principle, known: Known) -> Cost:
    costs = [_cost(kind, digest, known) for kind, digest in _asked(principle)]
    return min(costs, key=COSTS.index)


def _cost(kind: Kind, digest: str, known: Known) -> Cost:
    if (kind, digest) in known:
        return "labels"
    return "checks" if kind == "rule" else "votes"


def _renamed(before: Sequence[Principle], after: Sequence[Principle]) -> dict[str, str]:
    """New ids that ask, word for word, what an id that is gone asked: new id to old id."""
    there, here = {p.id for p in before}, {p.id for p in after}
    gone = {next(_asked(p)): p.id for p in reversed(before) if p.id not in here}
    names: dict[str, str] = {}
    for principle in after:
        if principle.id not in there and (old := gone.pop(next(_asked(principle)), None)):
            names[principle.id] = old
    return names


def _between(old: Principle, new: Principle, known: Known) -> Iterator[Change]:
    """What differs in one principle."""
    if _question(old) != _question(new):
        kind: Kind = "rule" if new.rule is not None else "pair"
        what: What = "rule" if new.rule is not None or old.rule is not None else "reworded"
        cost = _cost(kind, new.question_digest(kind), known)
        yield Change(
            what=what, principle=new.id, before=_question(old), after=_question(new), cost=cost
        )
    if old.applies_when != new.applies_when:
        asked = new.applies_when is not None
        yield Change(
            what="scope",
            principle=new.id,
            before=old.applies_when,
            after=new.applies_when,
            cost=_cost("applies", new.question_digest("applies"), known) if asked else "labels",
        )
    yield from _statements(old, new, known)
    for field, cost in _PLAIN:
        before, after = getattr(old, field), getattr(new, field)
        if before != after:
            yield Change(
                what=field,
                principle=new.id,
                before=_shown(before),
                after=_shown(after),
                cost=cost,
            )


def _statements(old: Principle, new: Principle, known: Known) -> Iterator[Change]:
    before = {p.id: p for p in old.propositions}
    after = {p.id: p for p in new.propositions}
    for name, was in before.items():
        if name not in after:
            yield _statement("statement removed", new.id, name, was.text, None, "labels")
    for name, now in after.items():
        cost = _cost("yes_no", now.question_digest, known)
        if name not in before:
            yield _statement("statement added", new.id, name, None, now.text, cost)
        else:
            yield from _statement_changes(before[name], now, new.id, cost)


def _statement_changes(was: Proposition, now: Proposition, of: str, cost: Cost) -> Iterator[Change]:
    if was.text != now.text:
        yield _statement("statement reworded", of, now.id, was.text, now.text, cost)
    if was.expect != now.expect:
        answers = ("yes" if was.expect else "no", "yes" if now.expect else "no")
        yield _statement("statement answer", of, now.id, *answers, "labels")
    if was.weight != now.weight:
        weights = (f"{was.weight:g}", f"{now.weight:g}")
        yield _statement("statement weight", of, now.id, *weights, "labels")


def _statement(
    what: What, principle: str, name: str, before: str | None, after: str | None, cost: Cost
) -> Change:
    return Change(
        what=what, principle=principle, detail=repr(name), before=before, after=after, cost=cost
    )


def _of_the_whole(before: Constitution, after: Constitution) -> Iterator[Change]:
    for name, value in after.aggregate:
        if (was := getattr(before.aggregate, name)) != value:
            yield Change(
                what="settings", detail=name, before=_shown(was), after=_shown(value), cost="labels"
            )
    for name in ("title", "licence", "description"):
        if (was := getattr(before, name)) != (now := getattr(after, name)):
            yield Change(what="about", detail=name, before=was, after=now, cost="nothing")
    common = {p.id for p in before.principles} & {p.id for p in after.principles}
    orders = [[p.id for p in c.principles if p.id in common] for c in (before, after)]
    if orders[0] != orders[1]:
        yield Change(
            what="order", before=", ".join(orders[0]), after=", ".join(orders[1]), cost="nothing"
        )


def _question(principle: Principle) -> str:
    """What is asked: the text, or the rule in words."""
    if principle.rule is None:
        return str(principle.text)
    rule = principle.rule.model_dump(mode="json", exclude_defaults=True)
    return "rule " + ", ".join(f"{key}: {value}" for key, value in rule.items())


def _shown(value: Any) -> str | None:
    if isinstance(value, tuple):
        return f"{len(value)} test{'' if len(value) == 1 else 's'}"
    return f"{value:g}" if isinstance(value, int | float) else value
