"""Putting questions to one judge: what it is shown, what it thinks, what it chooses.

Plain judges cost one token a question. A judge may first write criteria for the prompt or an
answer of its own, once a prompt, and reason about each question; the vote is still *chosen* by
probability, never read out of what was written, which is kept beside the vote. A reward model is
shown no words of ours: it reads each completion alone, and its rewards decide.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

from judges.canonical import canonical_json
from judges.judge import Judge
from judges.layout import Case, concluding, vote_prompt
from judges.model import Choice, Failure, ModelPrompt, Sampling
from judges.ratings import choose_rating
from judges.records import Message, Setting
from judges.rewards.judge import RewardModel

AIDS = {
    "criteria": (
        "Do not answer the conversation above. Write three short criteria by which completions of "
        "it should be judged, one a line."
    ),
    "reference": "",
}
"""What is asked for each self-written aid; for a reference, the conversation itself."""
AID_TOKENS = 256
_THOUGHT = re.compile(r"^\s*<think>|</think>\s*$")

Aids = dict[str, dict[tuple[Message, ...], str | Failure]]
"""Each kind of self-written aid, by conversation."""


@dataclass(frozen=True)
class Asking:
    """One question to be put: its matter, the principle's id, which sample."""

    case: Case
    principle: str
    sample: int = 0


@dataclass(frozen=True)
class Answer:
    """What the judge chose, and what it wrote before."""

    choice: Choice
    rationale: str | None = None
    """Canonical JSON of reasoning, criteria and reference, where there are any."""


async def ask(
    judge: Judge, setting: Setting, questions: Sequence[Asking]
) -> list[Answer | Failure]:
    """The judge's answer to each question, in order; failures as records.

    Cost: one token a question (two for some ratings); with reasoning its budget as well, with
    criteria or a reference one completion for each prompt among the questions.
    """
    if isinstance(judge.model, RewardModel):
        decided = await judge.model.choose_cases([one.case for one in questions])
        return [one if isinstance(one, Failure) else Answer(one) for one in decided]
    aids = await _write_aids(judge, setting, questions)
    written, failed = _shown(aids, questions)
    thinks = "reasoning" in setting.sampling
    prompts = [
        vote_prompt(
            one.case,
            precedents=judge.precedents.turns(one.case, one.principle) if judge.precedents else (),
            think=thinks,
            **texts,
        )
        for one, texts in zip(questions, written, strict=True)
    ]
    if thinks:
        for row, thought in (await _think(judge, prompts, questions, failed)).items():
            if isinstance(thought, Failure):
                failed[row] = thought
            else:
                prompts[row] = concluding(prompts[row], thought)
                written[row]["reasoning"] = thought
    open_rows = [row for row in range(len(questions)) if row not in failed]
    choices = await _choose(judge, setting, [prompts[row] for row in open_rows])
    answers: dict[int, Answer | Failure] = dict(failed)
    for row, choice in zip(open_rows, choices, strict=True):
        rationale = canonical_json(written[row]) if written[row] else None
        answers[row] = choice if isinstance(choice, Failure) else Answer(choice, rationale)
    return [answers[row] for row in range(len(questions))]


def _shown(
    aids: Aids, questions: Sequence[Asking]
) -> tuple[list[dict[str, str]], dict[int, Failure]]:
    """What each question is shown beside its matter, and which cannot be asked for lack of it."""
    written: list[dict[str, str]] = []
    failed: dict[int, Failure] = {}
    for row, one in enumerate(questions):
        written.append({})
        for name, texts in aids.items():
            text = texts[one.case.conversation]
            if isinstance(text, Failure):
                failed[row] = text
            else:
                written[row][name] = text
    return written, failed


async def _choose(
    judge: Judge, setting: Setting, prompts: Sequence[ModelPrompt]
) -> list[Choice | Failure]:
    if setting.kind == "point":
        return await choose_rating(judge.model, prompts)
    return await judge.model.choose(prompts, setting.options)


async def _write_aids(judge: Judge, setting: Setting, questions: Sequence[Asking]) -> Aids:
    """What the judge writes about each prompt, once: greedy, so that it is the same next time."""
    names = (setting.reference or "").split("+") if setting.reference else []
    conversations = list(dict.fromkeys(one.case.conversation for one in questions))
    sampling = Sampling(max_tokens=AID_TOKENS, temperature=0)
    asked = [
        judge.model.complete([_aid_prompt(name, c) for c in conversations], sampling)
        for name in names
    ]
    answers = await asyncio.gather(*asked)
    return {
        name: {
            conversation: one if isinstance(one, Failure) else one[0].text
            for conversation, one in zip(conversations, told, strict=True)
        }
        for name, told in zip(names, answers, strict=True)
    }


def _aid_prompt(name: str, conversation: tuple[Message, ...]) -> ModelPrompt:
    request = AIDS[name]
    last = conversation[-1]
    if not request:
        return ModelPrompt(messages=conversation)
    if last.role != "user":
        return ModelPrompt(messages=(*conversation, Message(role="user", content=request)))
    joined = Message(role="user", content=f"{last.content}\n\n{request}")
    return ModelPrompt(messages=(*conversation[:-1], joined))


async def _think(
    judge: Judge,
    prompts: Sequence[ModelPrompt],
    questions: Sequence[Asking],
    failed: dict[int, Failure],
) -> dict[int, str | Failure]:
    """The reasoning on each question that has not failed, each sample under a seed of its own."""
    assert judge.reasoning is not None
    thoughts: dict[int, str | Failure] = {}
    for sample in sorted({one.sample for one in questions}):
        rows = [
            row for row, one in enumerate(questions) if one.sample == sample and row not in failed
        ]
        sampling = Sampling(
            max_tokens=judge.reasoning.max_tokens,
            temperature=judge.reasoning.temperature,
            seed=judge.reasoning.seed + sample,
        )
        told = await judge.model.complete([prompts[row] for row in rows], sampling)
        for row, answer in zip(rows, told, strict=True):
            if isinstance(answer, Failure):
                thoughts[row] = answer
            elif answer[0].finish_reason == "length" and judge.reasoning.cut_off == "unscored":
                thoughts[row] = Failure(status="unscored", reason="truncated")
            else:
                thoughts[row] = _THOUGHT.sub("", answer[0].text).strip()
    return thoughts
