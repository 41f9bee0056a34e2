"""What rules see in a text: words, sentences, phrases, repetition, reading grade, language."""

import re
import unicodedata
from functools import cache, lru_cache
from typing import Any

CLOSERS = "\"'\u201d\u2019»)]*_`"
"""May stand between a sentence's last mark and the space after it."""
LIST_MARKER = re.compile(r"(?m)^[ \t]*(?:\d{1,3}[.)]|[-*•#]+)[ \t]+(?=\S)")
SENTENCE_BREAK = re.compile(rf"[.!?…][{re.escape(CLOSERS)}]*\s+|\s*\n\s*")
SILENT_ENDING = re.compile(r"(?<=[^aeiouy])(?:e|es|ed|eful|efully|eless|ely|ement|ements)$")
SPOKEN_L = re.compile(r"[^aeiouylr]l$")
VOWEL_RUN = re.compile(r"[aeiouy]+")
HIATUS = re.compile(r"(?<![tscgx])i[aou]|(?<!p)eo|ua|uou|[aeiou]ing|ya")
SILENT_U = re.compile(r"(?<=q)u|(?<=g)ue(?=s?$)")

_CODES = (
    "af am an ar as az ba be bg bn br bs ca cs cy da de dz el en eo es et eu fa fi fo fr fy ga gd "
    "gl gu ha he hi hr ht hu hy id ig is it ja jv ka kk km kn ko ku ky la lb lg ln lo lt lv mg mk "
    "ml mn mr ms mt my ne nl nn no oc om or pa pl ps pt qu ro ru rw sa se si sk sl sn so sq sr st "
    "sv sw ta te tg th tk tl tr tt ug uk ur uz vi vo wa xh yo zh zu"
)
LANGUAGES = tuple(_CODES.split())
"""The ISO 639-1 codes that py3langid tells apart; a test compares them with its model."""
NO_LANGUAGE = "zxx"
"""The classifier's code for numbers, code and noise."""
LEAST_CONFIDENCE = 0.5
"""Below this probability the classifier's best guess counts as none."""


def count_words(text: str) -> int:
    """How many runs of non-space characters hold a letter or a digit: dashes are no words."""
    return sum(map(_has_letters, text.split()))


def count_sentences(text: str) -> int:
    """How many sentences a text has, an unfinished last one included.

    A sentence ends at . ! ? … (closing quotes and brackets may follow) before a space, or at a
    line break; not where a lower-case letter follows, as after "e.g." or in wrapped lines. List
    markers are no sentences.
    """
    without_markers = LIST_MARKER.sub("", text)
    count, start = 0, 0
    for found in SENTENCE_BREAK.finditer(without_markers):
        if without_markers[found.end() : found.end() + 1].islower():
            continue
        count += _has_letters(without_markers[start : found.start()])
        start = found.end()
    return count + _has_letters(without_markers[start:])


def _has_letters(text: str) -> bool:
    return any(map(str.isalnum, text))


def ends_as_sentence(text: str) -> bool:
    """Whether a text ends in . ! ? or …, closing quotes, brackets and emphasis set aside."""
    return text.rstrip().rstrip(CLOSERS).endswith((".", "!", "?", "…"))


def count_phrases(text: str, phrases: tuple[str, ...]) -> int:
    """How many of the phrases occur as whole words; case, spacing, apostrophe's form aside."""
    folded = _folded(text)
    return sum(_phrase_pattern(phrase).search(folded) is not None for phrase in phrases)


@lru_cache(maxsize=4096)
def _phrase_pattern(phrase: str) -> re.Pattern[str]:
    folded = _folded(phrase)
    pattern = r"\s+".join(re.escape(word) for word in folded.split())
    # Whole words only where the phrase has a word at its edge: "!" is found in "Great!".
    before = r"(?<![^\W_])" if folded[:1].isalnum() else ""
    after = r"(?![^\W_])" if folded[-1:].isalnum() else ""
    return re.compile(before + pattern + after)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")


def repeated_share(text: str, length: int) -> float:
    """The share of a text's runs of `length` words that occurred before: 1 - distinct / all.

    Case and punctuation at a word's edges are set aside. A text shorter than one run repeats
    nothing.
    """
    words = [word for run in text.casefold().split() if (word := _bare(run))]
    total = len(words) - length + 1
    if total < 1:
        return 0.0
    return 1.0 - len(set(zip(*(words[start:] for start in range(length)), strict=False))) / total


def _bare(run: str) -> str:
    """A run of non-space characters without the marks around it; empty where it holds no word."""
    if run.isalnum():
        return run
    inside = [index for index, character in enumerate(run) if character.isalnum()]
    return run[inside[0] : inside[-1] + 1] if inside else ""


def reading_grade(text: str) -> float | None:
    """The Flesch-Kincaid grade: years of schooling in English; None for a text without words.

    0.39 · words / sentences + 11.8 · syllables / words - 15.59, syllables by `count_syllables`.
    Source: Kincaid et al. 1975, Navy Research Branch Report 8-75.
    """
    words = [run for run in text.split() if _has_letters(run)]
    if not words:
        return None
    # A text with a word has a sentence.
    length = len(words) / count_sentences(text)
    return 0.39 * length + 11.8 * sum(map(count_syllables, words)) / len(words) - 15.59


@lru_cache(maxsize=65536)
def count_syllables(word: str) -> int:
    """About how many syllables an English word has, at least 1; parts joined by hyphens add up.

    Accents are dropped and each run of a e i o u y counts once, less a silent ending after a
    consonant (`-e`, `-es`, `-ed`, also before `-ly`, `-ment`, `-ful`, `-less`), more where two
    vowels are spoken apart (`video`, `being`). A part without letters, such as a number, is 1.
    """
    spoken = _folded(word).replace("é", "ay")  # a plain e would be silent
    plain = unicodedata.normalize("NFKD", spoken)
    letters = "".join(character for character in plain if not unicodedata.combining(character))
    parts = [part for part in re.split(r"[^a-z']+", letters) if part.strip("'")]
    return max(1, sum(_syllables_of(re.sub(r"'s?", "", part) or "x") for part in parts))


def _syllables_of(part: str) -> int:
    part = SILENT_U.sub("", part)
    count = len(VOWEL_RUN.findall(part)) + len(HIATUS.findall(part))
    return max(1, count - _has_silent_ending(part))


def _has_silent_ending(part: str) -> bool:
    found = SILENT_ENDING.search(part)
    if found is None:
        return False
    before, ending = part[: found.start()], found.group()
    if not VOWEL_RUN.search(before):
        return False
    if ending == "ed":  # spoken in "wanted", "needed"
        return not before.endswith(("t", "d"))
    if ending == "es":  # spoken in "boxes", "pages", "tables"
        spoken = before.endswith(("s", "x", "z", "c", "g", "ch", "sh"))
        return not spoken and SPOKEN_L.search(before) is None
    if ending == "e":  # spoken in "table", silent in "whole"
        return SPOKEN_L.search(before) is None
    return True


def recognised_language(text: str) -> str | None:
    """The ISO 639-1 code of the language a text is in, as py3langid sees it; None undecided.

    Undecided are most texts of under five words, numbers, and code: where no language reaches a
    probability of one half, or where the best guess is that it is none.
    Source: Lui and Baldwin 2012 (langid.py); the model is the one that py3langid 0.4 carries.
    """
    code, confidence = _classifier().classify(text)
    return None if confidence < LEAST_CONFIDENCE or code == NO_LANGUAGE else str(code)


@cache
def _classifier() -> Any:
    """The classifier, limited to the languages that have a two-letter code."""
    # Here because the import and the model cost a second, which few constitutions need.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    classifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    classifier.set_languages([*LANGUAGES, NO_LANGUAGE])
    return classifier
