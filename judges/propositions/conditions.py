"""Conditions over statements, as people write them: `apology and not (judgement or disclaimer)`.

The probability of a condition takes the statements to be independent. Where each occurs once this
is the product rule: and = p·q, or = 1 − (1 − p)(1 − q), not = 1 − p. A statement that occurs again
is split on, p·(it holds) + (1 − p)·(it does not), so that `a and not a` is 0 and classes that
exclude each other and leave nothing out sum to 1. With labels, 0 or 1, it is plain logic.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import numpy as np

from judges.calibration.estimates import FloatArray
from judges.errors import ConstitutionError

NAME = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*")
TOKEN = re.compile(r"[()]|[^\s()]+")
WORDS = ("and", "or", "not")


@dataclass(frozen=True)
class Not:
    """Holds where its part does not."""

    part: "Condition"


@dataclass(frozen=True)
class And:
    """Holds where all parts do."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True)
class Or:
    """Holds where one part does."""

    parts: tuple["Condition", ...]


Condition: TypeAlias = bool | str | Not | And | Or
"""A statement's name, a constant, or a combination of conditions."""


def parse_condition(text: str) -> Condition:
    """The condition a text states; `not` binds closest, then `and`, then `or`.

    Raises: ConstitutionError that quotes the text and says where it breaks.
    """
    reader = _Reader(text, TOKEN.findall(text))
    condition = reader.read_or()
    if reader.tokens:
        raise reader.refusal(f"{reader.tokens[0]!r} is out of place; join with `and` or `or`")
    return condition


class _Reader:
    """Reads tokens from the left, one function for each level of binding."""

    def __init__(self, text: str, tokens: list[str]) -> None:
        self.text = text
        self.tokens = tokens

    def read_or(self) -> Condition:
        parts = [self.read_and()]
        while self._next_is("or"):
            parts.append(self.read_and())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def read_and(self) -> Condition:
        parts = [self.read_not()]
        while self._next_is("and"):
            parts.append(self.read_not())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def read_not(self) -> Condition:
        negated = False
        while self._next_is("not"):
            negated = not negated
        part = self._one()
        return Not(part) if negated else part

    def _one(self) -> Condition:
        if self._next_is("("):
            inside = self.read_or()
            if not self._next_is(")"):
                raise self.refusal("a bracket is never closed; add `)`")
            return inside
        if not self.tokens or self.tokens[0] in (*WORDS, ")"):
            found = repr(self.tokens[0]) if self.tokens else "the end"
            raise self.refusal(f"a statement's id is wanted where {found} stands")
        name = self.tokens.pop(0)
        if not NAME.fullmatch(name):
            raise self.refusal(f"{name!r} is no id; use lower-case letters, digits, - and _")
        return name

    def _next_is(self, token: str) -> bool:
        if self.tokens and self.tokens[0] == token:
            self.tokens.pop(0)
            return True
        return False

    def refusal(self, message: str) -> ConstitutionError:
        return ConstitutionError(f"condition {self.text!r}: {message}")


def statements(condition: Condition) -> Iterator[str]:
    """The names in a condition, in order, each as often as it occurs."""
    match condition:
        case str():
            yield condition
        case Not(part):
            yield from statements(part)
        case And(parts) | Or(parts):
            for part in parts:
                yield from statements(part)


def replaced(condition: Condition, meanings: Mapping[str, Condition]) -> Condition:
    """The condition with names put in for what they mean, and constants worked out."""
    match condition:
        case str():
            return meanings.get(condition, condition)
        case Not(part):
            inside = replaced(part, meanings)
            return not inside if isinstance(inside, bool) else Not(inside)
        case And(parts):
            return _joined(And, False, [replaced(part, meanings) for part in parts])
        case Or(parts):
            return _joined(Or, True, [replaced(part, meanings) for part in parts])
    return condition


def _joined(kind: type[And] | type[Or], settles: bool, parts: list[Condition]) -> Condition:
    """All parts as one; a constant either settles the whole or says nothing."""
    if any(part is settles for part in parts):
        return settles
    open_parts = tuple(part for part in parts if not isinstance(part, bool))
    if not open_parts:
        return not settles
    return open_parts[0] if len(open_parts) == 1 else kind(open_parts)


def probability(condition: Condition, phi: Mapping[str, FloatArray]) -> FloatArray:
    """P(condition) for each completion; NaN where a statement that it names is missing.

    Shapes: each phi (n,) in [0, 1] → (n,).
    Cost: none; one split for each repeated statement, remembered by what is left of the condition.
    """
    needed = [phi[name] for name in dict.fromkeys(statements(condition))]
    missing = np.isnan(needed).any(axis=0) if needed else False
    value = _expected(condition, phi, {})
    return np.where(missing, np.nan, value)


def _expected(
    condition: Condition, phi: Mapping[str, FloatArray], known: dict[Condition, FloatArray]
) -> FloatArray:
    if condition not in known:
        often = Counter(statements(condition)).most_common(1)
        if often and often[0][1] > 1:
            p = phi[often[0][0]]
            yes, no = (replaced(condition, {often[0][0]: answer}) for answer in (True, False))
            known[condition] = p * _expected(yes, phi, known) + (1 - p) * _expected(no, phi, known)
        else:
            known[condition] = _product(condition, phi)
    return known[condition]


def _product(condition: Condition, phi: Mapping[str, FloatArray]) -> FloatArray:
    match condition:
        case str():
            return phi[condition]
        case Not(part):
            return 1 - _product(part, phi)
        case And(parts):
            return np.asarray(prod(_product(part, phi) for part in parts))
        case Or(parts):
            return np.asarray(1 - prod(1 - _product(part, phi) for part in parts))
    return np.asarray(float(condition))


def can_hold(condition: Condition) -> bool:
    """Whether some answers to its statements make the condition true."""
    even = {name: np.array([0.5]) for name in statements(condition)}
    return bool(np.any(probability(condition, even) > 0))
