"""Prompts that cannot be sampled from are told by name; the rest are as the policy reads them."""

import json
from pathlib import Path

import pytest

from judges.errors import ConfigError, DataError
from tests.training.tiny_policy import make_policy
from training.online.prompts import encode_prompts, prompts_used, read_prompts


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


SAID = {"role": "assistant", "content": "Hello."}
ASKED = {"role": "user", "content": "Hi."}


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"messages": [ASKED, SAID]}, id="a conversation"),
        pytest.param(
            {
                "chosen": "\n\nHuman: Hi.\n\nAssistant: a",
                "rejected": "\n\nHuman: Hi.\n\nAssistant: b",
            },
            id="transcripts",
        ),
        pytest.param({"instruction": "Hi.", "input": "", "output": "Hello."}, id="instructions"),
        pytest.param({"prompt": "Hi.", "completions": ["a"], "ranking": [0]}, id="a ranking"),
    ],
)
def test_conversations_of_other_formats_are_asked_once(tmp_path: Path, row: object) -> None:
    (item,) = read_prompts(written(tmp_path, row, row))
    assert [(one.role, one.content) for one in item.prompt] == [("user", "Hi.")]


def test_a_folder_of_preferences_is_read_too(tmp_path: Path) -> None:
    written(tmp_path, {"prompt": "Hi.", "chosen": "a", "rejected": "b"}).rename(
        tmp_path / "train.jsonl"
    )
    assert prompts_used(tmp_path, read_prompts(tmp_path)).rows == 1


def test_a_mistyped_key_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"jsonl:1: unknown key 'metdata'"):
        read_prompts(written(tmp_path, {"prompt": "Hi.", "metdata": {}}))
    with pytest.raises(DataError, match=r"prompts.jsonl:1: "):
        read_prompts(written(tmp_path, {"promt": "Hi."}))


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
    assert said[0].startswith("1 of 2 prompts are longer than 40 tokens")
    assert said[0].endswith(": b; left out")
    with pytest.raises(ConfigError, match=r"more than max_dropped = 0.4 allows: raise max_length"):
        encode_prompts(items, model, 40, said.append, most=0.4)
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
