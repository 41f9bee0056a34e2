"""The transport `chat_logprobs`: any OpenAI-compatible server that returns log-probabilities.

The server makes the token ids, so the names of control tokens in the messages are broken up
first, and counted: a judge that reads such a text reads it altered.
"""

import asyncio
import math
import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from judges.canonical import digest
from judges.errors import ModelError
from judges.model import Choice, Completion, Failure, ModelPrompt, Sampling
from judges.models.http_retry import HttpClient, in_batches
from judges.models.inert_tokenizer import encodable
from judges.models.openai_answers import broken, read_choices

TOP_LOGPROBS = 20
"""The most that such servers commonly give."""
_NO_LOGPROBS = "no log-probabilities in the server's answer"
_AROUND_AN_OPTION = " \t\n▁Ġ()[]{}\"'*`.,:;"
_COMMON_CONTROLS = (
    r"<\|[^<>|\s]{1,64}\|>|<\uff5c[^<>\uff5c\s]{1,64}\uff5c>|</?s>|<</?SYS>>"
    r"|<(?:start|end)_of_[a-z_]{1,30}>|<(?:bos|eos|pad|unk|mask|unused[0-9]{1,5})>"
    r"|</?(?:think|tools?|tool_call|tool_response|im_start|im_end)>"
    r"|\[/?(?:INST|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_CONTENT|TOOL_RESULTS|SYSTEM_PROMPT|IMG)\]"
)
"""What control tokens look like in the model families in use, where their names are not known."""


class _TopLogprob(BaseModel):
    token: str
    logprob: float


class _TokenLogprob(_TopLogprob):
    top_logprobs: list[_TopLogprob] = []


class _Logprobs(BaseModel):
    content: list[_TokenLogprob] | None = None


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Answer(BaseModel):
    """One entry of `choices`, as far as it is read here."""

    index: int = 0
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class ChatTransport:
    """Asks an OpenAI-compatible server, one chat to a request."""

    def __init__(
        self,
        client: HttpClient,
        model: str,
        control_names: Sequence[str] = (),
        *,
        singles_in_flight: int = 128,
    ) -> None:
        self._client, self._model = client, model
        self._slots = asyncio.Semaphore(singles_in_flight)
        self._gives_logprobs = False
        known = [re.escape(name) for name in control_names if len(name) > 1]
        self._controls = re.compile("|".join([*known, _COMMON_CONTROLS]))

    async def choose(
        self, prompts: Sequence[ModelPrompt], options: tuple[str, ...]
    ) -> list[Choice | Failure]:
        """How each prompt's answer spreads over the options, in order; prefills are left out.

        Cost: one request and one token for each prompt.
        Raises: ModelError when the server's first answer has no log-probabilities.
        """
        body = {"max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": TOP_LOGPROBS}

        async def send(batch: Sequence[ModelPrompt]) -> list[Choice | Failure]:
            answer, altered = await self._ask(batch[0], body)
            choice = _choices(answer, 1)[0]
            return [_choice(choice, options, answer.get("usage"), altered)]

        if self._gives_logprobs:
            return await in_batches(prompts, 1, send)
        # One answer tells whether the others are worth their price.
        first = await in_batches(prompts[:1], 1, send)
        self._check(first)
        return first + await in_batches(prompts[1:], 1, send)

    def _check(self, first: Sequence[Choice | Failure]) -> None:
        if any(isinstance(answer, Failure) and answer.detail == _NO_LOGPROBS for answer in first):
            raise ModelError(
                f"{self._model}: {_NO_LOGPROBS} · {self._client.root} · "
                'use a server that returns them, such as vLLM, or transport = "sampled"'
            )
        self._gives_logprobs = any(isinstance(answer, Choice) for answer in first)

    async def complete(
        self, prompts: Sequence[ModelPrompt], sampling: Sampling
    ) -> list[tuple[Completion, ...] | Failure]:
        """`sampling.n` completions for each prompt, in order."""
        n = sampling.n if sampling.temperature > 0 else 1

        async def send(batch: Sequence[ModelPrompt]) -> list[tuple[Completion, ...] | Failure]:
            answer, _ = await self._ask(batch[0], _sampling_body(batch[0], sampling, n))
            each = _count(answer.get("usage"), "completion_tokens") // n
            completions = [_completion(c, sampling, each) for c in _choices(answer, n)]
            failed = next((c for c in completions if isinstance(c, Failure)), None)
            whole = tuple(c for c in completions if not isinstance(c, Failure))
            return [failed or whole * (sampling.n // n)]

        return await in_batches(prompts, 1, send)

    async def _ask(self, prompt: ModelPrompt, body: dict[str, Any]) -> tuple[dict[str, Any], int]:
        """The server's answer, and how many names of control tokens were broken up."""
        messages, altered = [], 0
        for message in prompt.messages:
            content, broken = break_up(encodable(message.content), self._controls)
            messages.append({"role": message.role, "content": content})
            altered += broken
        sent = {"model": self._model, "messages": messages, **body}
        async with self._slots:
            return await self._client.json("POST", "/v1/chat/completions", sent), altered


def break_up(text: str, controls: re.Pattern[str]) -> tuple[str, int]:
    """A text with every control token's name broken up, and how many there were.

    A zero-width non-joiner after the first character leaves a name readable to people and unknown
    to a tokenizer. Repeated, as names can overlap.
    """
    total = 0
    while True:
        text, broken = controls.subn(lambda match: f"{match[0][0]}\u200c{match[0][1:]}", text)
        if not broken:
            return text, total
        total += broken


def _sampling_body(prompt: ModelPrompt, sampling: Sampling, n: int) -> dict[str, Any]:
    body: dict[str, Any] = {
        "n": n,
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "logprobs": True,  # also tells how many tokens each completion has
    }
    if sampling.seed is not None:
        texts = [[message.role, message.content] for message in prompt.messages]
        body["seed"] = int(digest([sampling.seed, texts])[:12], 16)
    if sampling.json_schema is not None:
        # Not `strict`: some servers then refuse bounds on lengths. What comes back is checked here.
        form = {"name": "answer", "schema": sampling.json_schema}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    return body


def _choices(answer: dict[str, Any], count: int) -> list[_Answer | Failure]:
    return read_choices(answer, count, _Answer, "the server's answer has too few choices")


def _refused(answer: _Answer) -> Failure | None:
    if answer.message.refusal or answer.finish_reason == "content_filter":
        seen = answer.message.refusal or "the server's content filter"
        return Failure(status="unscored", reason="refused", detail=seen)
    return None


def _tokens(answer: _Answer) -> list[_TokenLogprob]:
    return (answer.logprobs.content if answer.logprobs else None) or []


def _choice(
    answer: _Answer | Failure, options: tuple[str, ...], usage: Any, altered: int
) -> Choice | Failure:
    if isinstance(answer, Failure):
        return answer
    if refused := _refused(answer):
        return refused
    tokens = _tokens(answer)
    if not tokens:
        return broken(_NO_LOGPROBS)
    given = tokens[0].top_logprobs or [tokens[0]]
    masses = [sum(math.exp(g.logprob) for g in given if _names(g.token, o)) for o in options]
    if min(masses) <= 0:
        shown = ", ".join(f"{g.token!r}: {g.logprob:.2f}" for g in given[:5])
        seen = f"the likeliest tokens are {shown}; the options are {options}"
        return Failure(status="unscored", reason="option_missing", detail=seen)
    return Choice(
        logprobs=tuple(math.log(mass) for mass in masses),
        label_mass=min(1.0, sum(masses)),
        prompt_tokens=_count(usage, "prompt_tokens"),
        cached_tokens=_count(_part(usage, "prompt_tokens_details"), "cached_tokens"),
        altered=altered,
    )


def _names(token: str, option: str) -> bool:
    """Whether a token is a way to write an option: ` A`, `A` and `(A` all are A; `a` is not.

    Whole words may be capitalised: `Yes` is yes.
    """
    bare, wanted = token.strip(_AROUND_AN_OPTION), option.strip()
    return bare == wanted or (len(wanted) > 1 and bare.casefold() == wanted.casefold())


def _part(record: Any, name: str) -> Any:
    return record.get(name) if isinstance(record, dict) else None


def _count(record: Any, name: str) -> int:
    """A count that a server may leave out."""
    value = _part(record, name)
    return value if isinstance(value, int) else 0


def _completion(answer: _Answer | Failure, sampling: Sampling, each: int) -> Completion | Failure:
    """The completion; of a server that counts no tokens for each, `each` is the mean length."""
    if isinstance(answer, Failure):
        return answer
    if refused := _refused(answer):
        return refused
    if answer.finish_reason not in ("stop", "length"):
        return broken(f"generation ended with {answer.finish_reason!r}")
    tokens = _tokens(answer)
    return Completion(
        text=answer.message.content or "",
        finish_reason="stop" if answer.finish_reason == "stop" else "length",
        tokens=len(tokens) or each,
        logprobs=tuple(token.logprob for token in tokens) if sampling.logprobs else (),
    )
