"""What a trained adapter says on held-out prompts, in this process: answers, and distance to base.

No engine is started: benchmarks train and look in turns, and an engine would hold the memory.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judges.policies import model_folder
from judges.records import CompletionText, Item, Record
from training.runs.hardware import find_hardware
from training.runs.loading import load_tokenizer

TEMPERATURE = 0.8
MAX_TOKENS = 40
AT_ONCE = 48
READ_AT_ONCE = 8


class Answers(Record):
    """What a policy said, in order of the prompts, `samples` each."""

    completions: list[CompletionText]
    """The answers."""
    prompts: list[str]
    """Id of the prompt of each."""
    kl: list[float]
    """KL(policy || base) in nats an answer, both at the temperature they answer at: exact at each
    token, along the answer."""


class Sampler:
    """The base model and its tokenizer, loaded once; adapters are put on and taken off."""

    def __init__(self, model: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        folder = model_folder(model)
        self.tokenizer = load_tokenizer(folder)
        self.tokenizer.padding_side = "left"
        dtype = getattr(torch, find_hardware("cpu").dtype)
        self.base = AutoModelForCausalLM.from_pretrained(str(folder), dtype=dtype).eval()

    def answers(
        self, adapter: Path | None, prompts: Sequence[Item], samples: int, seed: int
    ) -> Answers:
        """Answers at temperature 0.8, at most 40 tokens. Cost: three passes over each answer."""
        import torch
        from peft import PeftModel

        model = self.base
        if adapter is not None:
            model = PeftModel.from_pretrained(self.base, str(adapter)).eval()
        torch.manual_seed(seed)
        asked = [item for item in prompts for _ in range(samples)]
        found: list[tuple[CompletionText, float]] = []
        for start in range(0, len(asked), AT_ONCE):
            found += self._batch(model, asked[start : start + AT_ONCE], adapter is not None)
        if adapter is not None:
            model.unload()
        return Answers(
            completions=[text for text, _ in found],
            prompts=[item.id for item in asked],
            kl=[kl for _, kl in found],
        )

    def _batch(
        self, model: Any, items: Sequence[Item], adapted: bool
    ) -> list[tuple[CompletionText, float]]:
        import torch

        conversations = [[turn.model_dump() for turn in item.prompt] for item in items]
        inputs = self.tokenizer.apply_chat_template(
            conversations, add_generation_prompt=True, padding=True, return_tensors="pt",
            return_dict=True,
        )  # fmt: skip
        with torch.inference_mode():
            ids_BT = model.generate(
                **inputs, do_sample=True, temperature=TEMPERATURE, top_k=0, top_p=1.0,
                max_new_tokens=MAX_TOKENS, pad_token_id=self.tokenizer.pad_token_id,
            )  # fmt: skip
            width = inputs["input_ids"].shape[1]
            answer_BT = ids_BT[:, width:]
            spoken_BT = answer_BT != self.tokenizer.pad_token_id
            mask_BT = torch.cat([inputs["attention_mask"], spoken_BT.long()], dim=1)
            kl_B = self._kl(model, ids_BT, mask_BT, width) if adapted else [0.0] * len(items)
        ended = (answer_BT == self.tokenizer.eos_token_id).any(dim=1).tolist()
        texts = self.tokenizer.batch_decode(answer_BT, skip_special_tokens=True)
        return [
            (CompletionText(text=text.strip(), finish_reason="stop" if done else "length"), kl)
            for text, done, kl in zip(texts, ended, kl_B, strict=True)
        ]

    def _kl(self, model: Any, ids_BT: Any, mask_BT: Any, width: int) -> list[float]:
        """Summed over the vocabulary at each token, not sampled, so that few answers suffice."""
        kl: list[float] = []
        for start in range(0, len(ids_BT), READ_AT_ONCE):
            rows = slice(start, start + READ_AT_ONCE)
            part_BT, seen_BT = ids_BT[rows], mask_BT[rows]
            policy_BTV = self._log_probabilities(model, part_BT, seen_BT, width)
            with model.disable_adapter():
                base_BTV = self._log_probabilities(model, part_BT, seen_BT, width)
            kl_BT = (policy_BTV.exp() * (policy_BTV - base_BTV)).sum(dim=2)
            kl += (kl_BT * seen_BT[:, width:]).sum(dim=1).tolist()
        return kl

    def _log_probabilities(self, model: Any, ids: Any, mask: Any, width: int) -> Any:
        places = (mask.cumsum(dim=1) - 1).clamp(min=0)
        kept = ids.shape[1] - width + 1
        logits = model(
            input_ids=ids, attention_mask=mask, position_ids=places, logits_to_keep=kept
        ).logits
        return (logits[:, :-1].float() / TEMPERATURE).log_softmax(dim=-1)
