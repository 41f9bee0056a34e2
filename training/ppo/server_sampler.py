"""Completions drawn by a vLLM server, which loads the policy's adapter anew each step, by HTTP.

A name for each step: vLLM keys its prefix cache by the adapter's name, and under an old name would
go on from hidden states that older weights made. The server and this process share a file system.
"""

import asyncio
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from judges.errors import CharterError, ConfigError, ModelError
from judges.model import Completion, Failure, ModelPrompt, Sampling
from judges.models.http_retry import RequestRefused, RetryPolicy
from judges.models.openai import OpenAIModel
from training.online.draws import seed_for
from training.online.prompts import Prompt
from training.online.waiting import Patience
from training.ppo.rollout import Drawing, Written, cut_at_end

RETRY = RetryPolicy(attempts=2)
"""Of one request; beyond it the step waits, with longer pauses."""
FINE, AGAIN, STOP = range(3)
T = TypeVar("T")


class ServerSampler:
    """Draws by a vLLM server that can load adapters."""

    def __init__(
        self,
        policy: Any,
        accelerator: Any,
        url: str,
        tokenizer: Path,
        folder: Path,
        drawing: Drawing,
        patience: Patience,
        say: Callable[[str], None],
    ) -> None:
        """`folder` is where adapters are put for the server to read."""
        self._policy, self._accelerator, self._url = policy, accelerator, url
        self._tokenizer, self._folder, self._drawing = tokenizer, folder.resolve(), drawing
        self._patience, self._say = patience, say
        # Told apart from adapters of other runs on the same server.
        self._prefix = f"ppo-{seed_for(str(self._folder)):x}"
        self._loaded: str | None = None

    async def draw(self, prompts: Sequence[Prompt], step: int) -> list[Written | None]:
        """A completion for each prompt; None for one that the server refuses, which is told.

        The server is waited for; when it comes back, it is given the adapter again.
        Raises: ModelError when it stays away beyond the patience; ConfigError when it cannot be
        used at all.
        """
        if self._accelerator.is_main_process:
            self._policy.save_pretrained(str(self._folder / f"step-{step}"))
        self._accelerator.wait_for_everyone()
        wait, end = self._patience.first_wait_s, time.monotonic() + self._patience.longest_s
        while True:
            fine, _ = await self._together(self._load(step), wait, end)
            if fine:
                fine, written = await self._together(self._draw_once(prompts, step), wait, end)
                if fine and written is not None:
                    return written
            await asyncio.sleep(wait)
            wait = min(2 * wait, self._patience.most_wait_s)

    async def _together(
        self, work: Coroutine[Any, Any, T], wait: float, end: float
    ) -> tuple[bool, T | None]:
        """Whether some work went well in all processes, and what came of it here.

        None goes on alone: processes that wait for each other must fail and try together.
        Raises: what failed here, or ModelError for what failed in another process, once it is
        nothing to wait for.
        """
        result, failure = None, None
        try:
            result = await work
        except CharterError as error:
            failure = error
        over = not isinstance(failure, ModelError) or time.monotonic() + wait > end
        here = FINE if failure is None else STOP if over else AGAIN
        device = self._accelerator.device
        worst = int(self._accelerator.gather(torch.tensor([here], device=device)).max())
        if worst == STOP:
            raise failure or ModelError("another process of this run could not draw; see its error")
        if failure is not None:
            self._say(f"the vLLM server failed, asked again in {wait:.0f} s: {failure}")
        return worst == FINE, result

    async def close(self) -> None:
        """Have the server forget the adapter, where it still answers."""
        await self._unload_old(None)
        if self._accelerator.is_main_process:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _draw_once(self, prompts: Sequence[Prompt], step: int) -> list[Written | None]:
        name = self._name(step)
        model = OpenAIModel(
            self._url,
            name,
            tokenizer=self._tokenizer,
            fingerprint=name,
            transport="token_ids",
            retry=RETRY,
        )
        try:
            await model.connect()
            return await self._complete(model, prompts, step)
        finally:
            await model.close()

    def _name(self, step: int) -> str:
        return f"{self._prefix}-{step}"

    async def _load(self, step: int) -> None:
        if not self._accelerator.is_main_process:
            return
        name = self._name(step)
        loader = OpenAIModel(self._url, None, fingerprint=name, retry=RETRY)
        try:
            await loader.load_adapter(name, self._folder / f"step-{step}")
        except RequestRefused as error:
            raise ConfigError(
                f"the vLLM server does not load the adapter: {error} · start it with "
                "--enable-lora, --max-lora-rank and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, on this "
                "file system"
            ) from error
        finally:
            await loader.close()
        await self._unload_old(name)
        self._loaded = name

    async def _unload_old(self, current: str | None) -> None:
        if self._loaded in (None, current):
            return
        loader = OpenAIModel(self._url, None, fingerprint="", retry=RETRY)
        try:
            await loader.unload_adapter(str(self._loaded))
        except ModelError:
            pass  # a server that was started anew does not know it
        finally:
            await loader.close()
        step = str(self._loaded).rpartition("-")[2]
        shutil.rmtree(self._folder / f"step-{step}", ignore_errors=True)

    async def _complete(
        self, model: OpenAIModel, prompts: Sequence[Prompt], step: int
    ) -> list[Written | None]:
        """Equal prompts are asked once, with n samples: one seed would make them all alike."""
        rows_of: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for row, prompt in enumerate(prompts):
            rows_of[prompt.token_ids].append(row)
        by_count: dict[int, list[list[int]]] = defaultdict(list)
        for rows in rows_of.values():
            by_count[len(rows)].append(rows)
        written: list[Written | None] = [None] * len(prompts)
        refused: dict[str, Failure] = {}
        for count, groups in by_count.items():
            sampling = self._sampling(count, step)
            asked = [ModelPrompt(messages=prompts[rows[0]].item.prompt) for rows in groups]
            for rows, answer in zip(groups, await model.complete(asked, sampling), strict=True):
                if isinstance(answer, Failure):
                    self._raise_error(answer)
                    refused[prompts[rows[0]].item.id] = answer
                    continue
                for row, completion in zip(rows, answer, strict=True):
                    written[row] = self._written(completion)
        self._tell_refused(refused, len(rows_of), step)
        return written

    def _tell_refused(self, refused: dict[str, Failure], asked: int, step: int) -> None:
        if refused:
            first = next(iter(refused.values()))
            self._say(
                f"training step {step}: the vLLM server refused {len(refused)} of {asked} prompts, "
                f"which leave the step ({first.detail or first.reason}) · prompts "
                f"{', '.join(list(refused)[:8])}"
            )

    def _sampling(self, n: int, step: int) -> Sampling:
        drawing = self._drawing
        return Sampling(
            n=n,
            max_tokens=drawing.max_tokens,
            temperature=drawing.temperature,
            seed=seed_for(drawing.seed, "draw", step, self._accelerator.process_index) % 2**31,
            logprobs=True,
        )

    def _raise_error(self, failure: Failure) -> None:
        """A failed engine is waited for; a prompt that it will not take is left out."""
        if failure.status == "error":
            raise ModelError(f"{self._url}: {failure.detail or failure.reason}")

    def _written(self, completion: Completion) -> Written:
        cut = cut_at_end(completion.token_ids, self._drawing.eos_token_ids)
        if completion.finish_reason == "stop" and not cut.finished:
            raise ConfigError(
                f"{self._url}: a completion stopped, but its last token "
                f"{completion.token_ids[-1:]} is no end of text of this model; serve the model "
                "that is trained, without extra stop strings"
            )
        return cut._replace(logprobs=completion.logprobs[: len(cut.token_ids)])
