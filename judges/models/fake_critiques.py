"""The fake model's critiques and revisions: sensible where its tastes are planted, or spoilt.

A completion is judged by the taste that the request's words choose; the critique quotes the words
that offend it, and the revision mends them. The shares planted here spoil answers at random, so
that tests can prove that each way of going wrong is marked.
"""

import json
import random
import re
from collections.abc import Callable

from judges.critiques.layout import QuotedRequest, read_request
from judges.model import ModelPrompt, Sampling
from judges.records import Probability, Record

_INVENTED = "words that nobody ever wrote"
_TYPICAL_WORDS = 20
_COMMENTS = {
    "avoids": "It says {!r}.",
    "contains": "It never says {!r}.",
    "shorter": "It goes on for too long.",
    "longer": "It ends too soon.",
    "random": "This could be said better.",
}


class FakeCritiques(Record):
    """What is planted in the fake model's critiques and revisions: shares of each, in order."""

    invalid_json: Probability = 0.0
    """Critiques that break off within the JSON."""
    wrong_form: Probability = 0.0
    """Critiques that are JSON, but not of the schema."""
    invented_quotes: Probability = 0.0
    """Critiques that quote what the completion does not say."""
    nothing_wrong: Probability = 0.0
    """Critiques that find nothing, whatever the taste."""
    empty_revisions: Probability = 0.0
    """Revisions without a word."""
    identical_revisions: Probability = 0.0
    """Revisions that say the same again."""
    worse_revisions: Probability = 0.0
    """Revisions that do what the taste is against."""


def answer_request(
    prompt: ModelPrompt,
    sampling: Sampling,
    plan: FakeCritiques,
    taste_of: Callable[[str], str],
    rng: random.Random,
) -> str | None:
    """The critique or revision that a prompt asks for; None where it asks for neither."""
    try:
        quoted = read_request(prompt)
    except ValueError:
        return None
    taste = taste_of(quoted.request)
    if quoted.task == "critique":
        return _critique(quoted, taste, plan, rng) if sampling.json_schema else _remark(quoted)
    return _revision(quoted, taste, plan, rng)


def _critique(quoted: QuotedRequest, taste: str, plan: FakeCritiques, rng: random.Random) -> str:
    spoilt = _drawn(
        rng,
        broken=plan.invalid_json,
        wrong=plan.wrong_form,
        invented=plan.invented_quotes,
        nothing=plan.nothing_wrong,
    )
    quote, comment, severity = _finding(quoted.completion, taste, rng)
    if spoilt == "nothing":
        quote, comment, severity = "", "Nothing is wrong with it.", "none"
    if spoilt == "invented":
        quote, severity = _INVENTED, "major"
    if spoilt == "wrong":
        severity = "catastrophic"
    text = json.dumps({"quote": quote, "comment": comment, "severity": severity})
    return text[: len(text) // 2] if spoilt == "broken" else text


def _finding(completion: str, taste: str, rng: random.Random) -> tuple[str, str, str]:
    """Quote, comment and severity of what offends a taste in a completion."""
    kind, _, wanted = taste.partition(":")
    quote = _offence(completion, kind, wanted, rng)
    if not quote:
        return "", "Nothing is wrong with it.", "none"
    severity = "major" if kind in ("avoids", "contains") else "minor"
    return quote, _COMMENTS[kind].format(wanted), severity


def _offence(completion: str, kind: str, wanted: str, rng: random.Random) -> str:
    """The words of a completion that offend a taste, if any do."""
    words = len(completion.split())
    sentences = _sentences(completion)
    if kind == "avoids" and wanted:
        found = re.search(re.escape(wanted), completion, re.IGNORECASE)
        return found[0] if found else ""
    if kind == "contains":
        return sentences[0] if wanted.lower() not in completion.lower() else ""
    if kind in ("shorter", "longer"):
        return sentences[-1] if (words > _TYPICAL_WORDS) == (kind == "shorter") else ""
    return rng.choice(["", *sentences]) if kind == "random" else ""


def _revision(quoted: QuotedRequest, taste: str, plan: FakeCritiques, rng: random.Random) -> str:
    spoilt = _drawn(
        rng,
        empty=plan.empty_revisions,
        same=plan.identical_revisions,
        worse=plan.worse_revisions,
    )
    if spoilt == "empty":
        return " \n"
    if spoilt == "same":
        return quoted.completion
    return _mended(quoted.completion, _opposite(taste) if spoilt == "worse" else taste, rng)


def _mended(completion: str, taste: str, rng: random.Random) -> str:
    """A completion rewritten to a taste."""
    kind, _, wanted = taste.partition(":")
    words = completion.split()
    if kind == "avoids" and wanted:
        return re.sub(re.escape(wanted), "it", completion, flags=re.IGNORECASE)
    if kind == "contains":
        return f"{completion} It is about {wanted}."
    if kind == "shorter":
        return " ".join(words[: max(1, len(words) // 2)]).rstrip(".,;:!?") + "."
    if kind == "longer":
        return f"{completion} {completion}"
    return f"{rng.choice(('Put better', 'In other words', 'To be exact'))}: {completion}"


def _opposite(taste: str) -> str:
    kind, _, wanted = taste.partition(":")
    against = {"shorter": "longer", "longer": "shorter", "avoids": "contains", "contains": "avoids"}
    return f"{against[kind]}:{wanted}" if kind in against else taste


def _remark(quoted: QuotedRequest) -> str:
    """A critique asked for without a schema is prose."""
    return f"The completion says: {_sentences(quoted.completion)[0]}"


def _sentences(text: str) -> list[str]:
    """The sentences of a text, as they stand in it, short enough to quote."""
    found = re.findall(r"[^\s.!?][^.!?]*[.!?]?", text)
    return [sentence[:200] for sentence in found] or [text[:200]]


def _drawn(rng: random.Random, **shares: float) -> str:
    """One of the named shares, or nothing."""
    left = rng.random()
    for name, share in shares.items():
        left -= share
        if left < 0:
            return name
    return ""
