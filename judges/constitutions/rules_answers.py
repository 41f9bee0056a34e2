"""Final answers: where a text states one, and whether it is the expected text or number."""

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache

BOXED = re.compile(r"\\boxed\s*\{")
MARKER = re.compile(r"\banswer(?:\s+is)?[*_]*\s*[:=]|\banswer\s+is\b", re.IGNORECASE)
EDGE_MARKS = " \t\n*_`\"'“”\u2018\u2019«»$"
SENTENCE_MARKS = ".!?,;:…"

FRACTION_AFTER_WHOLE = re.compile(r"(?<=[0-9])(?=[¼-¾⅐-⅞]|\\[dt]?frac)")
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
RAISED = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+")
NARROW_SPACE = re.compile(r"(?<=[0-9])(?:[\u00a0\u2009\u202f]|\\,|\{,\})(?=[0-9]{3})")
LATEX_FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*([0-9]++)\s*\}\s*\{\s*([0-9]++)\s*\}")
LONGEST_NUMBER = 200

# Possessive, so that no shorter reading of the same digits is tried and time stays linear.
DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})++(?![0-9])|[0-9]++)(?:\.[0-9]++)?+|\.[0-9]++"
RAISED_TO = r"(?:\^|\*\*)[ ]?\{?[ ]?(?P<POWER>[-+]?[0-9]{1,3})(?![0-9])[ ]?\}?"
NUMBER = re.compile(
    rf"""
    (?<![\w.^]) (?<!\^\{{) (?<!\*\*)
    (?P<sign>(?<![)\]}}])[-+])?+ (?:[$€£¥][ ]?)?+
    (?:
        10[ ]?{RAISED_TO.replace("POWER", "bare")}
      | (?P<mixed>[0-9]++)[ ]++(?P<over>[0-9]++)[ ]?/[ ]?(?P<under>[0-9]++)
      | (?P<top>{DIGITS})(?:
            [ ]?/[ ]?(?P<bottom>{DIGITS})
          | [eE](?P<exponent>[-+]?[0-9]{{1,3}})(?![\w])
          | [ ]?(?:×|\\times|\\cdot|·|\*|[xX])[ ]?10[ ]?{RAISED_TO.replace("POWER", "power")}
        )?+
        (?![ ]?\^|\*\*|[0-9])
    )
    (?P<percent>[ ]?\\?%)?+
    """,
    re.VERBOSE,
)


def final_answer(text: str) -> str | None:
    """What a text states as its final answer; None where it states none.

    The last `\\boxed{…}`; else what follows the last "answer:" or "answer is" on its line, or on
    the next line with text.
    """
    boxes = list(BOXED.finditer(text))
    if boxes:
        return _in_braces(text[boxes[-1].end() :])
    markers = list(MARKER.finditer(text))
    if not markers:
        return None
    lines = text[markers[-1].end() :].split("\n")
    return next((line.strip() for line in lines if line.strip(EDGE_MARKS)), None)


def _in_braces(text: str) -> str | None:
    depth = 1
    for index, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return text[:index]
    return None


def same_text(text: str, expected: str, ignore_case: bool, ignore_punctuation: bool) -> bool:
    """Whether two texts are the same, Unicode form (NFKC) and spacing aside."""
    return _plain(text, ignore_case, ignore_punctuation) == _plain(
        expected, ignore_case, ignore_punctuation
    )


def _plain(text: str, ignore_case: bool, ignore_punctuation: bool) -> str:
    plain = " ".join(unicodedata.normalize("NFKC", text).split())
    if ignore_punctuation:
        # Quotes and emphasis may stand inside or outside of the last mark.
        plain = plain.strip(EDGE_MARKS).rstrip(SENTENCE_MARKS + EDGE_MARKS) or plain
    return plain.casefold() if ignore_case else plain


def same_number(text: str, expected: str, absolute: float, relative: float) -> bool | None:
    """Whether the number a text answers is the expected one; None where nothing is expected.

    Compared as exact fractions: |a - b| ≤ max(absolute, relative · |b|). Where one of the two is
    a percentage and the other is not, 50% equals both 50 and 0.5.
    """
    wanted = _expected_number(expected)
    if wanted is None:
        return None
    given = stated_number(text)
    if given is None:
        return False
    return any(
        # By their decimal form: 0.1 is meant to be one tenth.
        abs(a - b) <= max(Fraction(str(absolute)), Fraction(str(relative)) * abs(b))
        for a, b in _readings(given, wanted)
    )


def _readings(
    given: tuple[Fraction, bool], wanted: tuple[Fraction, bool]
) -> Iterator[tuple[Fraction, Fraction]]:
    yield given[0], wanted[0]
    if given[1] and not wanted[1]:
        yield given[0] / 100, wanted[0]
    if wanted[1] and not given[1]:
        yield given[0], wanted[0] / 100


def stated_number(text: str) -> tuple[Fraction, bool] | None:
    """The number a text ends up with, and whether a percent sign follows it; None without one.

    In a final answer it is the first number after the last `=`, elsewhere the last of the text.
    Read are signs, decimals (1,234.5), fractions (3/4, 2 1/2, ½, \\frac{3}{4}), powers of ten
    (1.2e3, 1.2 × 10^3, 10³); currencies and units are set aside. No numbers: digits in a word
    (H2O), exponents (cm²), other powers (2^5), more than 200 characters.
    """
    answer = final_answer(text)
    # The last number that can be read, or the first, without working out the others.
    stated = text if answer is None else answer.rpartition("=")[2]
    found = list(NUMBER.finditer(_digits_plain(stated)))
    for match in found if answer is not None else reversed(found):
        value = _value(match)
        if value is not None:
            return value, match["percent"] is not None
    return None


_expected_number = lru_cache(maxsize=4096)(stated_number)


def _digits_plain(text: str) -> str:
    """The text with one way to write digits, fractions, minus signs and exponents."""
    text = NARROW_SPACE.sub(",", FRACTION_AFTER_WHOLE.sub(" ", text))
    text = RAISED.sub(lambda found: "^" + found.group().translate(SUPERSCRIPTS), text)
    text = unicodedata.normalize("NFKC", text).replace("\u2044", "/").replace("\u2212", "-")
    return LATEX_FRACTION.sub(r"\1/\2", text)


def _value(found: re.Match[str]) -> Fraction | None:
    if len(found.group()) > LONGEST_NUMBER:
        return None
    sign = -1 if found["sign"] == "-" else 1
    if found["bare"]:
        return sign * Fraction(10) ** int(found["bare"])
    if found["mixed"]:
        part = _ratio(found["over"], found["under"])
        return None if part is None else sign * (int(found["mixed"]) + part)
    value = _ratio(found["top"], found["bottom"] or "1")
    power = int(found["exponent"] or found["power"] or 0)
    return None if value is None else sign * value * Fraction(10) ** power


def _ratio(top: str, bottom: str) -> Fraction | None:
    under = Fraction(bottom.replace(",", ""))
    return Fraction(top.replace(",", "")) / under if under else None
