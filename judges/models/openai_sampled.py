"""The transport `sampled`: probabilities counted from samples, for servers that tell none.

Each question is answered m times at temperature 1, constrained to the options where the server
can do that. An option that came k times in m, of K options, gets (k + 1/2)/(m + K/2), for two
options (k + 1/2)/(m + 1): Jeffreys' prior, so that none is ever certain. Answers that are no
option lower the label mass. Opt-in: m samples tell less than one answer's log-probabilities, for
up to m times the price.
Source: Jeffreys (1946), "An invariant form for the prior probability in estimation problems".
"""

import asyncio
import math
from collections.abc import Sequence
from typing import Any, Literal

import orjson
from pydantic import BaseModel

from judges.canonical import digest
from judges.errors import ModelError
from judges.model import Choice, Failure, ModelPrompt
from judges.models.http_retry import HttpClient, RequestRefused, in_batches
from judges.models.openai_answers import broken, read_choices
from judges.models.openai_chat import ChatTransport, _count, _names
from judges.records import Record

SAMPLES = 8
"""Drawn for each question, where nothing else is said."""
PATH = "/v1/chat/completions"
_ANSWER_TOKENS = 32
"""Room for an option as JSON, or for a server that says a little more than it should."""
_PROBES = 3
_PROBE_OPTIONS = ("A", "B")
_PROBE_QUESTION = "Answer with one letter: A or B."
_PROBE_LUCK = "Name any number between 1 and 1000000, and nothing else."
Constraint = Literal["choice", "json_schema", "none"]


class SampledWay(Record):
    """How a server is made to answer with options, found out at first contact."""

    constraint: Constraint
    """vLLM's choice among texts, a JSON schema, or the question alone. Part of the vote's key."""
    many: bool
    """Whether one request brings many samples, each with luck of its own."""


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Answer(BaseModel):
    """One entry of `choices`, as far as it is read here."""

    index: int = 0
    message: _Message
    finish_reason: str | None = None

    @property
    def refused(self) -> bool:
        return bool(self.message.refusal) or self.finish_reason == "content_filter"

    @property
    def unfinished(self) -> bool:
        """Cut off before it said anything: still in its reasoning."""
        return self.finish_reason == "length" and not self.message.content


class SampledTransport(ChatTransport):
    """Asks an OpenAI-compatible server each question several times, and counts."""

    def __init__(
        self,
        client: HttpClient,
        model: str,
        way: SampledWay,
        samples: int = SAMPLES,
        control_names: Sequence[str] = (),
        *,
        singles_in_flight: int = 128,
    ) -> None:
        at_once = max(1, singles_in_flight // samples) if way.many else singles_in_flight
        super().__init__(client, model, control_names, singles_in_flight=at_once)
        self._sampled_way, self._samples = way, samples

    async def choose(
        self, prompts: Sequence[ModelPrompt], options: tuple[str, ...]
    ) -> list[Choice | Failure]:
        """How each prompt's samples spread over the options, in order; prefills are left out.

        The same prompt gets the same seeds, each sample its own.
        Cost: m samples for each prompt, in one request where the server takes n, else in m.
        """

        async def send(batch: Sequence[ModelPrompt]) -> list[Choice | Failure]:
            return [await self._draw(batch[0], options)]

        return await in_batches(prompts, 1, send)

    async def _draw(self, prompt: ModelPrompt, options: tuple[str, ...]) -> Choice | Failure:
        n = self._samples if self._sampled_way.many else 1
        answers = await asyncio.gather(
            *(
                self._ask(prompt, self._body(prompt, options, n, first))
                for first in range(0, self._samples, n)
            ),
            return_exceptions=True,
        )
        drawn: list[_Answer | Failure] = []
        altered = tokens = cached = 0
        for asked in answers:
            if isinstance(asked, BaseException):
                raise asked
            answer, altered = asked
            drawn += read_choices(answer, n, _Answer, "the server's answer has too few samples")
            usage = answer.get("usage")
            tokens += _count(usage, "prompt_tokens")
            details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
            cached += _count(details, "cached_tokens")
        found = _tally(drawn, options, prompt.prefill)
        if isinstance(found, Failure):
            return found
        update = {"prompt_tokens": tokens, "cached_tokens": cached, "altered": altered}
        return found.model_copy(update=update)

    def _body(
        self, prompt: ModelPrompt, options: tuple[str, ...], n: int, first: int
    ) -> dict[str, Any]:
        texts = [[message.role, message.content] for message in prompt.messages]
        body = ({"n": n} if n > 1 else {}) | {
            "max_tokens": _ANSWER_TOKENS,
            "temperature": 1.0,
            "top_p": 1.0,
            # Of n samples in one request, the server gives each the next seed.
            "seed": int(digest([texts, options, first])[:12], 16),
        }
        return body | _constraint(self._sampled_way.constraint, options)


def smoothed(counts_K: Sequence[int], samples: int) -> tuple[float, ...]:
    """The log-probability of each option from how often it came; together the share on options.

    At least one sample must have fallen on an option.
    Units: natural logarithms.
    """
    on_options = sum(counts_K)
    whole = samples * (on_options + len(counts_K) / 2) / on_options
    return tuple(math.log((count + 0.5) / whole) for count in counts_K)


def option_of(text: str, options: Sequence[str], prefill: str = "") -> int | None:
    """Which option an answer is: its first word, or the answer in its JSON; None if neither."""
    said = text.strip()
    try:
        parsed = orjson.loads(said)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict | str):
        said = str(parsed.get("answer", "") if isinstance(parsed, dict) else parsed)
    word = next(iter(said.removeprefix(prefill.strip()).split()), "")
    return next((i for i, option in enumerate(options) if _names(word, option)), None)


def _tally(
    drawn: Sequence[_Answer | Failure], options: tuple[str, ...], prefill: str
) -> Choice | Failure:
    """The smoothed counts. A sample that is lacking makes the question worth another try."""
    failed = next((answer for answer in drawn if isinstance(answer, Failure)), None)
    if failed:
        return failed
    answers = [answer for answer in drawn if isinstance(answer, _Answer)]
    found = [
        None if answer.refused else option_of(answer.message.content or "", options, prefill)
        for answer in answers
    ]
    counts = [found.count(i) for i in range(len(options))]
    if not any(counts):
        return _no_option(answers, options)
    return Choice(
        logprobs=smoothed(counts, len(answers)),
        label_mass=sum(counts) / len(answers),
        prompt_tokens=0,
    )


def _no_option(answers: Sequence[_Answer], options: tuple[str, ...]) -> Failure:
    if all(answer.refused for answer in answers):
        seen = answers[0].message.refusal or "the server's content filter"
        return Failure(status="unscored", reason="refused", detail=seen)
    if all(answer.unfinished for answer in answers):
        seen = f"no answer within {_ANSWER_TOKENS} tokens"
        return Failure(status="unscored", reason="truncated", detail=seen)
    shown = ", ".join(repr((answer.message.content or "")[:40]) for answer in answers[:5])
    seen = f"of {len(answers)} samples none is an option: {shown}; the options are {options}"
    return Failure(status="unscored", reason="option_missing", detail=seen)


def _constraint(constraint: Constraint, options: Sequence[str]) -> dict[str, Any]:
    """What a request says so that only options can be answered."""
    words = [option.strip() for option in options]
    if constraint == "choice":
        # vLLM takes what is left out here from the model's own generation settings.
        raw = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
        return {"structured_outputs": {"choice": words}, **raw}
    if constraint == "none":
        return {}
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "string", "enum": words}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    form = {"name": "answer", "strict": True, "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


async def find_way(client: HttpClient, model: str, engine: str) -> SampledWay:
    """How this server is best made to answer with options.

    Cost: up to four small requests. Raises: ModelError when it answers none of them.
    """
    told: Constraint = "choice" if engine.startswith("vllm") else "json_schema"
    heeded = await _heeds(client, model, told)
    if heeded is None:
        told = "none"
        if await _heeds(client, model, told) is None:
            raise ModelError(
                f"transport sampled: chats are refused · {client.root}{PATH} · "
                "see the server's log, and correct the address or the model"
            )
    many = await _takes_many(client, model)
    return SampledWay(constraint=told if heeded else "none", many=many)


async def _heeds(client: HttpClient, model: str, constraint: Constraint) -> bool | None:
    """Whether a constrained answer came as one; None where the request is refused.

    Raises: ModelError when the server gives no readable answer.
    """
    body = {"max_tokens": _ANSWER_TOKENS, "temperature": 0} | _constraint(
        constraint, _PROBE_OPTIONS
    )
    seen: _Answer | Failure = broken("")
    for _ in range(_PROBES):
        try:
            answer = await _probe(client, model, _PROBE_QUESTION, body)
        except RequestRefused as error:
            if error.for_all:
                raise
            return None
        seen = read_choices(answer, 1, _Answer, "the server's answer has no choice")[0]
        if isinstance(seen, _Answer):
            said = (seen.message.content or "").strip()
            return said in _PROBE_OPTIONS or (constraint == "json_schema" and _is_answer(said))
    assert isinstance(seen, Failure)
    raise ModelError(f"transport sampled: {seen.detail} · {client.root}{PATH} · see its log")


def _is_answer(said: str) -> bool:
    try:
        return bool(orjson.loads(said)["answer"] in _PROBE_OPTIONS)
    except (ValueError, KeyError, TypeError):
        return False


async def _takes_many(client: HttpClient, model: str) -> bool:
    """Whether n samples come of one request, and are not the same one n times."""
    n = 4
    body = {"n": n, "max_tokens": 8, "temperature": 1.0, "top_p": 1.0, "seed": 1}
    try:
        answer = await _probe(client, model, _PROBE_LUCK, body)
    except RequestRefused:
        return False
    drawn = read_choices(answer, n, _Answer, "")
    said = {one.message.content for one in drawn if isinstance(one, _Answer)}
    return not any(isinstance(one, Failure) for one in drawn) and len(said) > 1


async def _probe(
    client: HttpClient, model: str, question: str, body: dict[str, Any]
) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}]
    return await client.json("POST", PATH, {"model": model, "messages": messages, **body})
