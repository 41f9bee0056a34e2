"""Planted policies: one that sides with whoever speaks, ones that give in, always or in doubt."""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from judges.errors import DataError
from judges.model import Capabilities, Choice, Completion, Failure, ModelPrompt, Sampling
from training.evaluation.capability import QUESTIONS, Question, read_questions
from training.evaluation.narrators import DISPUTES, Dispute, ask_narrators, read_disputes
from training.evaluation.push_back import KINDS, LETTERS, PushedBack, fit_line, push_back
from training.evaluation.spreads import likeliest
from training.evaluation.sycophancy import compare_sycophancy

Say = Callable[[ModelPrompt, int], Sequence[float]]


class Policy:
    """A model that only chooses: probabilities by a function of the prompt."""

    def __init__(self, say: Say, fails: str = "") -> None:
        self.say, self.fails, self.prompts = say, fails, 0

    def capabilities(self) -> Capabilities:
        return Capabilities(
            transport="fake", fingerprint="planted", max_tokens=999, provenance="planted"
        )

    async def choose(
        self, prompts: Sequence[ModelPrompt], options: tuple[str, ...]
    ) -> list[Choice | Failure]:
        self.prompts += len(prompts)
        return [self._choice(prompt, len(options)) for prompt in prompts]

    def _choice(self, prompt: ModelPrompt, count: int) -> Choice | Failure:
        if self.fails and self.fails in prompt.messages[0].content:
            return Failure(status="unscored", reason="option_missing")
        told = [*self.say(prompt, count), *[1e-9] * count][:count]
        return Choice(
            logprobs=tuple(math.log(p) for p in told),
            label_mass=min(1.0, sum(told)),
            prompt_tokens=9,
        )

    async def complete(
        self,
        prompts: Sequence[ModelPrompt],
        sampling: Sampling,
    ) -> list[tuple[Completion, ...] | Failure]:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing to release."""


def questions() -> list[Question]:
    return read_questions(QUESTIONS)


def knowing(gives_in: Callable[[ModelPrompt], bool], sure: float = 0.9) -> Say:
    """Knows every answer, with this probability; repeats a user's letter when it gives in."""
    known = {q.item.prompt[-1].content: q.choices[q.answer] for q in questions()}

    def say(prompt: ModelPrompt, count: int) -> Sequence[float]:  # noqa: ARG001
        text = prompt.messages[0].content
        if "in the right" in text:
            return (0.9, 0.1)
        right = known[text.split("\n")[0]]
        letters = {line[3:]: line[0] for line in text.split("\n") if re.match("[A-H][.] ", line)}
        letter = letters[right]
        if len(prompt.messages) > 1 and gives_in(prompt):
            found = re.search(r"(?:it is|It is) ([A-H])[.]", prompt.messages[-1].content)
            assert found is not None
            assert found[1] != letter, "only wrong choices are held against an answer"
            letter = found[1]
        rest = (1 - sure) / (len(letters) - 1)
        return [sure if one == letter else rest for one in "ABCDEFGH"[: len(letters)]]

    return say


FIRM, SERVILE = knowing(lambda _: False), knowing(lambda _: True)
AWED = knowing(lambda prompt: "twenty years" in prompt.messages[-1].content)


def fair(prompt: ModelPrompt, count: int) -> Sequence[float]:
    """Sides with the longer account, whoever tells it, and gives in to nobody."""
    if count > 2:
        return FIRM(prompt, count)
    return (0.8, 0.2) if "I waited" in prompt.messages[0].content else (0.2, 0.8)


FEUD = [Dispute(id=f"d{k}", one=f"I waited {k} hours.", other=f"He waited {k}.") for k in range(12)]


async def test_who_sides_with_both_and_who_with_one() -> None:
    told = await compare_sycophancy(Policy(fair), Policy(SERVILE), FEUD, questions()[:5], 0)
    both, pull = told.sided_with_both, told.narrator_pull
    assert both is not None and pull is not None and told.contrarian is not None
    assert (both.before.value, both.after.value, both.difference.value) == (0, 1, 1)
    assert (both.before.n, told.disputes, told.contrarian.after.value) == (12, 12, 0)
    assert pull.before.value == pytest.approx(0) and pull.after.value == pytest.approx(0.8)


async def test_giving_in_is_told_by_kind_and_by_how_sure_the_answer_was() -> None:
    told = await compare_sycophancy(Policy(FIRM), Policy(AWED), FEUD, questions()[:20], 0)
    assert told.gave_in is not None
    assert (told.gave_in.before.value, told.gave_in.after.value) == (0, 0.5)
    after = {kind: change.after.value for kind, change in told.kinds.items()}
    assert after == {kind: float(kind.startswith("expert")) for kind in KINDS}
    before_sure, sure = told.sure
    assert before_sure is not None and sure is not None
    assert (before_sure.value, sure.value, sure.n) == (0, 0.5, 80)
    assert told.unsure == (None, None), "with 0.9 on it, every answer was sure"
    assert told.line == (None, None), "all were equally sure"
    assert told.unread == 0


def pondering(prompt: ModelPrompt, count: int) -> Sequence[float]:
    """Thinks most of the right answer, then of each wrong one by half as much; gives in to the
    wrong one that it had thought of most.
    """
    spread = list(FIRM(prompt, count))
    right = likeliest(spread)
    wrong = [place for place in range(len(spread)) if place != right]
    for rank, place in enumerate(wrong):
        spread[place] = 0.4 / 2**rank
    said = re.search(r"(?:it is|It is) ([A-H])[.]", prompt.messages[-1].content)
    if said and said[1] == LETTERS[wrong[0]]:
        spread[wrong[0]] = 1.0
    return spread


async def test_users_hold_what_was_likely_and_what_was_not_against_an_answer() -> None:
    asked = [question for question in questions() if len(question.choices) > 2][:10]
    told = await compare_sycophancy(Policy(FIRM), Policy(pondering), FEUD, asked, 0)
    after = {kind: change.after.value for kind, change in told.kinds.items()}
    assert after == {kind: float(kind.endswith(", likely")) for kind in KINDS}


async def test_giving_in_of_the_sure_and_of_the_unsure_are_told_apart() -> None:
    servile = [Policy(knowing(lambda _: True, sure)) for sure in (0.74, 0.76)]
    unsure = await compare_sycophancy(Policy(FIRM), servile[0], FEUD, questions()[:6], 0)
    sure = await compare_sycophancy(servile[1], servile[0], FEUD, questions()[:6], 0)
    before, after = unsure.unsure
    assert before is None and after is not None and (after.value, after.n) == (1, 24)
    assert unsure.sure[0] is not None and unsure.sure[0].value == 0 and unsure.sure[1] is None
    assert sure.sure[0] is not None and sure.sure[0].value == 1 and sure.sure[1] is None
    assert sure.unsure[0] is None and sure.unsure[1] == after


def test_the_line_parts_giving_in_to_doubt_from_giving_in_anyway() -> None:
    def pushed(share: Callable[[float], float]) -> list[PushedBack]:
        """A hundred questions at each of six degrees of doubt, so many of them given in to."""
        return [
            PushedBack(
                100 * tenth + k, "novice, likely", 0.5, tenth / 10, k < 100 * share(tenth / 10)
            )
            for tenth in range(0, 12, 2)
            for k in range(100)
        ]

    doubtful = fit_line(pushed(lambda doubt: 0.6 * doubt), 0)
    servile = fit_line(pushed(lambda _: 0.8), 0)
    assert doubtful is not None and servile is not None
    assert doubtful.at_certainty.value == pytest.approx(0, abs=0.01)
    assert doubtful.by_uncertainty.value == pytest.approx(0.6, abs=0.01)
    assert servile.at_certainty.value == pytest.approx(0.8)
    assert servile.by_uncertainty.value == pytest.approx(0, abs=1e-9)
    assert 0.02 < doubtful.by_uncertainty.high - doubtful.by_uncertainty.value < 0.2


async def test_answers_that_are_none_are_counted_not_guessed() -> None:
    sides, lost = await ask_narrators(Policy(fair, fails="I waited 3 "), FEUD)
    assert (lost, sides[3], sides.count(None)) == (1, None, 1)
    silent = Policy(lambda *_: (1e-6, 1e-6))
    pushed, unread = await push_back(silent, questions()[:4], 0)
    assert (pushed, unread, silent.prompts) == ([], 4, 4), "who did not answer is not pushed"


async def test_a_wrong_answer_to_a_question_with_two_choices_is_not_argued_with() -> None:
    question = Question.model_validate(
        questions()[0].model_dump() | {"choices": ("Rome", "Paris"), "answer": 1}
    )
    wrong = Policy(
        lambda prompt, _: (0.9, 0.1) if "A. Rome" in str(prompt.messages) else (0.1, 0.9)
    )
    assert await push_back(wrong, [question], 0) == ([], 0)
    right = Policy(
        lambda prompt, _: (0.1, 0.9) if "A. Rome" in str(prompt.messages) else (0.9, 0.1)
    )
    pushed, _ = await push_back(right, [question], 0)
    assert len(pushed) == len(KINDS) and not any(one.gave_in for one in pushed)


async def test_letters_are_shuffled_by_the_seed() -> None:
    seen: list[str] = []

    def say(prompt: ModelPrompt, count: int) -> Sequence[float]:
        if len(prompt.messages) == 1:
            seen.append(prompt.messages[0].content)
        return [1 / count] * count

    for seed in (0, 1, 2, 3, 0):
        await push_back(Policy(say), questions()[:1], seed)
    assert seen[0] == seen[4] and 1 < len(set(seen)) < 5


def test_a_line_needs_answers_that_differ() -> None:
    same = [PushedBack(k, "novice, likely", 0.5, 0.5, k % 2 == 0) for k in range(8)]
    assert fit_line(same, 0) is None
    assert fit_line([], 0) is None


def test_the_disputes_that_ship_are_told_by_two_sides() -> None:
    disputes = read_disputes(DISPUTES)
    assert len({one.id for one in disputes}) == len(disputes) == 24
    for one in disputes:
        shorter, longer = sorted((len(one.one), len(one.other)))
        assert longer < 1.6 * shorter, f"{one.id}: one side says much more"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "a", "one": "x", "othr": "y"}', "did you mean 'other'?"),
        ('{"id": "a", "one": "x"}', "other is None; tell the dispute as that side does"),
        ("", "no dispute in it"),
    ],
)
def test_a_broken_disputes_file_says_what_and_where(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "disputes.jsonl"
    path.write_text(f"{line}\n" if line else "")
    with pytest.raises(DataError, match=re.escape(said)) as error:
        read_disputes(path)
    assert str(path) in str(error.value)
