"""Batches of whole prompts: each completion one row of tokens, however many pairs it stands in."""

from collections.abc import Sequence

import numpy as np
import torch

from training.rewards.examples import EncodedPrompt, Ids


class PromptCollator:
    """Makes a batch of encoded prompts: texts padded at the right, labels padded by NaN.

    Padding is told by the attention mask and by a pad token that no text ends in: transformers
    pools a sequence classifier at the last token that is no pad, vLLM at the last of all.
    """

    def __init__(self, pad_id: int, *, scopes: bool, multiple_of: int = 8) -> None:
        self.pad_id, self.scopes, self.multiple_of = pad_id, scopes, multiple_of

    def __call__(self, prompts: Sequence[EncodedPrompt]) -> dict[str, torch.Tensor]:
        """Shapes: input_ids, attention_mask [S, T], beside what `labels` makes."""
        texts = [text for prompt in prompts for text in prompt.texts]
        return pad_texts(texts, self.pad_id, self.multiple_of) | self.labels(prompts)

    def labels(self, prompts: Sequence[EncodedPrompt]) -> dict[str, torch.Tensor]:
        """What stands where among the texts, and how its pairs are labelled.

        Shapes: place [B, N], -1 where a prompt has fewer completions; prompt_place [B]; p
        [B, H, N, N]; applies [B, H]; row [B].
        """
        starts = np.cumsum([0, *(len(prompt.texts) for prompt in prompts)])
        sizes = [len(prompt.ranked.completions) for prompt in prompts]
        heads, most = prompts[0].ranked.p_HNN.shape[0], max(sizes)
        p = np.full((len(prompts), heads, most, most), np.nan, np.float32)
        place = np.full((len(prompts), most), -1)
        for b, (prompt, size) in enumerate(zip(prompts, sizes, strict=True)):
            p[b, :, :size, :size] = prompt.ranked.p_HNN
            place[b, :size] = starts[b] + np.arange(size)
        applies = np.stack([prompt.ranked.applies_H for prompt in prompts]).astype(np.float32)
        scopes = {"prompt_place": torch.from_numpy(starts[1:] - 1)} if self.scopes else {}
        return scopes | {
            "place": torch.from_numpy(place),
            "p": torch.from_numpy(p),
            "applies": torch.from_numpy(applies),
            "row": torch.tensor([prompt.row for prompt in prompts]),
        }


def pad_texts(
    texts: Sequence[Sequence[int] | Ids], pad_id: int, multiple_of: int = 8
) -> dict[str, torch.Tensor]:
    """Texts padded at the right to the longest. Shapes: input_ids, attention_mask [S, T]."""
    longest = max(map(len, texts))
    longest += -longest % multiple_of
    ids = np.full((len(texts), longest), pad_id, np.int64)
    mask = np.zeros((len(texts), longest), np.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
