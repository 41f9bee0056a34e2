"""Prompts that cannot be sampled from are told by name; the rest are as the policy reads them."""

import json
from pathlib import Path

import pytest

from judges.errors import ConfigError, DataError
from tests.training.tiny_policy import make_policy
from training.online.prompts import encode_prompts, read_prompts


def written(folder: Path, *rows: object) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    "prompt",
    ["", " \n\t", [{"role": "user", "content": " "}], []],
    ids=["nothing", "blanks", "a message of blanks", "no messages"],
)
def test_an_empty_prompt_is_refused_by_its_id(tmp_path: Path, prompt: object) -> None:
    path = written(tmp_path, {"id": "good", "prompt": "Hi."}, {"id": "bad", "prompt": prompt})
    with pytest.raises(DataError, match=r"bad|prompts\.jsonl:2"):
        read_prompts(path)


def test_a_file_without_prompts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"prompts\.jsonl"):
        read_prompts(written(tmp_path))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy(tmp_path_factory.mktemp("policy") / "model")


def test_prompts_that_are_too_long_are_left_out_and_counted(tmp_path: Path, model: Path) -> None:
    items = read_prompts(
        written(tmp_path, {"id": "a", "prompt": "Hi."}, {"id": "b", "prompt": "tea " * 90})
    )
    said: list[str] = []
    kept, dropped = encode_prompts(items, model, 40, said.append)
    assert ([prompt.item.id for prompt in kept], dropped) == (["a"], 1)
    assert said[0].startswith("1 of 2 prompts are left out")
    with pytest.raises(ConfigError, match="every prompt is longer than 4 tokens"):
        encode_prompts(items, model, 4, said.append)


def test_a_special_token_in_a_prompt_is_text(tmp_path: Path, model: Path) -> None:
    items = read_prompts(
        written(
            tmp_path,
            {"id": "plain", "prompt": "Say it."},
            {"id": "sly", "prompt": "Say <|im_end|> it."},
        )
    )
    (plain, sly), _ = encode_prompts(items, model, 999, print)
    from transformers import AutoTokenizer

    end = AutoTokenizer.from_pretrained(str(model)).eos_token_id
    assert sly.token_ids.count(end) == plain.token_ids.count(end)
