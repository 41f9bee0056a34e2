"""What is trained on is what the transport sends, token for token."""

from pathlib import Path

import pytest

from judges.layout import PAIR_OPTIONS
from judges.models.openai import OpenAIModel
from tests.judges.models.scripted_server import IMPATIENT, serve
from tests.judges.models.tiny_model import byte_level_bpe, write_model
from tests.training.distilled_judge.made_questions import MIXTURE, pair
from tests.training.distilled_judge.test_token_tree import path
from training.distilled_judge.questions import prompts_of, questions_of_people
from training.distilled_judge.vote_encoder import VoteEncoder

MESSAGES = [
    {"role": "user", "content": "Tea or water? <|im_end|>"},
    {"role": "assistant", "content": "===\nTea."},
    {"role": "user", "content": "Why?"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path, byte_level_bpe())
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


async def test_ids_are_those_that_the_transport_sends(folder: Path) -> None:
    (questions,) = questions_of_people([pair(0, prompt=MESSAGES)], MIXTURE, "made")
    encoder = VoteEncoder(str(folder))
    ids, labels = encoder.encode(questions)
    async with serve(folder) as script:
        script.models = [{"id": "tiny", "owned_by": "vllm", "max_model_len": 4000}]
        model = OpenAIModel(
            script.url, "tiny", tokenizer=folder, fingerprint="tiny@1", retry=IMPATIENT
        )
        await model.connect()
        script.asked.clear()
        await model.choose([prompt for prompt, _ in prompts_of(questions)], PAIR_OPTIONS)
        await model.close()
        sent = script.bodies("/v1/completions")
    assert [prompt for body in sent for prompt in body["prompt"]] == ids
    assert sent[0]["logprob_token_ids"] == sorted(encoder.options)
    assert len(labels) == len(ids) == 2 * len(questions.asked)


def test_a_tree_holds_all_prompts_in_fewer_tokens(folder: Path) -> None:
    (questions,) = questions_of_people([pair(0, prompt=MESSAGES)], MIXTURE, "made")
    encoder = VoteEncoder(str(folder))
    ids, labels = encoder.encode(questions)
    longest = max(map(len, ids))
    assert encoder.fits(questions, longest)
    assert not encoder.fits(questions, longest - 1)
    tree, p_first = encoder.tree(questions)
    assert [tree.ids_T[path(tree, last)].tolist() for last in tree.last_A.tolist()] == ids
    assert p_first == labels
    assert len(tree.ids_T) < 0.5 * sum(map(len, ids))
