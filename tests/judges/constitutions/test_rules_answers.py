"""Where an answer stands, which number it is, and when two are the same."""

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.constitutions.rules_answers import final_answer, same_number, same_text, stated_number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("So \\boxed{1} or \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}", id="the last box"),
        pytest.param("Answer: 3 \\boxed{4}", "4", id="a box before a marker"),
        pytest.param("Answer: tea\nMore talk.", "tea", id="up to the line's end"),
        pytest.param("**Answer:** tea", "** tea", id="an emphasised marker"),
        pytest.param("answer: 1\nThe answer is 2.", "2.", id="the last marker"),
        pytest.param("Answer:\n\ntea", "tea", id="on the next line"),
        pytest.param("An answer may be tea.", None, id="the word alone"),
        pytest.param("\\boxed{never closed", None, id="an open box"),
        pytest.param("Answer:", None, id="a marker and nothing"),
    ],
)
def test_a_final_answer_is_found(text: str, expected: str | None) -> None:
    assert final_answer(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("5 and 7 make 12.", "12", id="the last number"),
        pytest.param("It is $1,234.50 in all.", "1234.5", id="commas and a currency"),
        pytest.param("1{,}000 or 1\u202f000", "1000", id="narrow thousands"),
        pytest.param("12,34", "34", id="a comma that parts no thousands"),
        pytest.param("-5", "-5", id="a sign"),
        pytest.param("\u22127 and -$5", "-5", id="a sign before a currency"),
        pytest.param("\u22127", "-7", id="a true minus"),
        pytest.param("10 - 3", "3", id="a minus between"),
        pytest.param("- 3 apples", "3", id="a list's dash"),
        pytest.param("pages 3-5", "5", id="a range"),
        pytest.param("3/4 cup", "3/4", id="a fraction"),
        pytest.param("2 1/2", "5/2", id="a mixed number"),
        pytest.param("2½", "5/2", id="a mixed number in one sign"),
        pytest.param("-\\dfrac{3}{4}", "-3/4", id="a fraction in LaTeX"),
        pytest.param("2\\frac{3}{4}", "11/4", id="a mixed number in LaTeX"),
        pytest.param("1.2e3", "1200", id="an exponent"),
        pytest.param("3.2 × 10^{-3} m", "0.0032", id="times a power of ten"),
        pytest.param("3 \\times 10^5", "300000", id="times in LaTeX"),
        pytest.param("10⁵", "100000", id="a raised power of ten"),
        pytest.param("12 cm²", "12", id="a squared unit"),
        pytest.param("x^2 = 16 cm^2", "16", id="a squared letter and unit"),
        pytest.param("42 cups of H2O", "42", id="a digit in a word"),
        pytest.param("Answer: 5 + 3 = 8, not 9", "8", id="first after the last equals sign"),
        pytest.param("Answer: 8 (5 + 3)", "8", id="first of the answer"),
        pytest.param("8, since 1/0 fails", "8", id="division by nought"),
        pytest.param("about \uff14\uff12", "42", id="wide digits"),
        pytest.param(".5", "0.5", id="no digit before the point"),
        pytest.param("2^5", None, id="another power"),
        pytest.param("9" * 201, None, id="too long a number"),
        pytest.param("forty-two", None, id="words"),
    ],
)
def test_the_number_is_read(text: str, expected: str | None) -> None:
    found = stated_number(text)
    assert (None if found is None else found[0]) == (
        None if expected is None else Fraction(expected)
    )


@pytest.mark.parametrize(
    ("text", "expected", "same"),
    [
        pytest.param("50%", "50", True, id="a percentage and its number"),
        pytest.param("50%", "0.5", True, id="a percentage and its share"),
        pytest.param("0.5", "50 %", True, id="a share and its percentage"),
        pytest.param("0.5%", "50%", False, id="two percentages"),
        pytest.param("72", "48 + 24 = 72\n#### 72", True, id="a worked reference"),
        pytest.param("0.333", "1/3", False, id="a rounded fraction"),
        pytest.param("0.50", "1/2", True, id="an exact fraction"),
        pytest.param("none", "1", False, id="no number"),
        pytest.param("1", "none", None, id="no number expected"),
    ],
)
def test_numbers_are_compared_as_documented(text: str, expected: str, same: bool | None) -> None:
    assert same_number(text, expected, 0.0, 0.0) is same


@given(st.integers(-(10**12), 10**12))
def test_any_way_to_write_a_number_is_the_same_number(number: int) -> None:
    ways = [f"{number}", f"It is {number:,}.", f"\\boxed{{{number}}} in 3 steps", f"{number}.0"]
    ways += [f"{number}e0", f"{number} × 10^0", f"{number}/1", f"Answer: {number} of 9"]
    for way in ways:
        assert same_number(way, str(number), 0.0, 0.0) is True, way
        assert same_number(way, str(number + 1), 0.0, 0.0) is False, way


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1))
def test_a_number_is_always_itself(number: float, tolerance: float) -> None:
    assert same_number(str(number), str(number), tolerance, 0.0) is True


@pytest.mark.parametrize("part", ["1,", "1,111", "2 ", "1/", "10^", "-", "\\boxed{", "answer: "])
def test_long_texts_are_read_in_linear_time(part: str) -> None:
    started = time.process_time()
    stated_number(part * 20_000)
    assert time.process_time() - started < 2.0


@pytest.mark.parametrize(
    ("text", "expected", "case", "marks", "same"),
    [
        pytest.param("  Green\n tea ", "green tea", True, True, True, id="spacing and case"),
        pytest.param("“**Tea**.”", "tea", True, True, True, id="quotes and emphasis"),
        pytest.param("\uff34ea", "Tea", False, False, True, id="Unicode form"),
        pytest.param("Tea", "tea", False, True, False, id="case counts"),
        pytest.param("tea.", "tea", True, False, False, id="marks count"),
        pytest.param("?", "!", True, True, False, id="nothing but marks"),
        pytest.param("-5", "5", True, True, False, id="a sign is no dressing"),
        pytest.param("teapot", "tea", True, True, False, id="more than the answer"),
    ],
)
def test_texts_are_compared_as_asked(
    text: str, expected: str, case: bool, marks: bool, same: bool
) -> None:
    assert same_text(text, expected, ignore_case=case, ignore_punctuation=marks) is same


@given(st.text())
def test_a_text_is_the_same_as_itself_between_spaces(text: str) -> None:
    assert same_text(f" {text}\n", text, ignore_case=False, ignore_punctuation=False)
