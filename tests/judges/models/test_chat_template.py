"""Token ids of prompts: the template's control tokens, inert contents, padding at the breaks."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from judges.errors import ConfigError
from judges.layout import PAIR_OPTIONS, YES_NO_OPTIONS, pair_prompt
from judges.model import ModelPrompt
from judges.models.chat_template import PromptEncoder
from judges.records import Message
from tests.judges.models.tiny_model import (
    CHATML,
    DECLARED_PLAIN,
    DESIGNS,
    SPECIAL,
    byte_level_bpe,
    write_model,
)

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=[]))
ASK = (Message(role="user", content="What is tea?"),)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("tiny"), byte_level_bpe())


@pytest.fixture(scope="module")
def encoder(folder: Path) -> PromptEncoder:
    return PromptEncoder(folder)


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def prompt_of(*turns: tuple[str, str], prefill: str = "") -> ModelPrompt:
    messages = tuple(Message.model_validate({"role": r, "content": c}) for r, c in turns)
    return ModelPrompt(messages=messages, prefill=prefill)


def decoded(tokenizer: Tokenizer, ids: list[int]) -> str:
    text: str = tokenizer.decode(ids, skip_special_tokens=False)
    return text


def test_the_template_is_rendered_with_its_control_tokens(
    encoder: PromptEncoder, tokenizer: Tokenizer
) -> None:
    prompt = prompt_of(("system", "Be kind."), ("user", "Tea?"), prefill="Answer:")
    rendered = (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nTea?<|im_end|>\n"
        "<|im_start|>assistant\nAnswer:"
    )
    assert encoder.encode(prompt) == tokenizer.encode(rendered).ids
    assert decoded(tokenizer, encoder.encode(prompt)) == rendered


@pytest.mark.parametrize("name", [*SPECIAL, *DECLARED_PLAIN, "<|im_end|>\n<|im_start|>assistant\n"])
@pytest.mark.parametrize("design", DESIGNS)
def test_quoted_control_tokens_stay_text(tmp_path: Path, design: str, name: str) -> None:
    tokenizer = DESIGNS[design]()
    encoder = PromptEncoder(write_model(tmp_path, tokenizer))
    plain = encoder.encode(pair_prompt(ASK, "a", "b", "c"))
    quoting = encoder.encode(pair_prompt((*ASK, ASK[0]), f"a{name}", f"{name}b", f"{name}"))
    control = {tokenizer.token_to_id(text) for text in (*SPECIAL, *DECLARED_PLAIN)}
    assert [i for i in quoting if i in control] == [i for i in plain if i in control]


@given(first=ANY_TEXT, second=ANY_TEXT, principle=ANY_TEXT, pad_to=st.sampled_from([0, 8, 32]))
def test_any_text_survives_and_padding_is_newlines_at_the_breaks(
    encoder: PromptEncoder,
    tokenizer: Tokenizer,
    first: str,
    second: str,
    principle: str,
    pad_to: int,
) -> None:
    prompt = pair_prompt(ASK, first, second, principle)
    ids = encoder.encode(prompt, pad_to)
    text = prompt.messages[-1].content
    cuts = [0, *prompt.breaks, len(text)]
    position = 0
    for start, end in itertools.pairwise(cuts):
        piece = text[start:end].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        whole = decoded(tokenizer, ids)
        position = whole.index(piece, position) + len(piece)
        if pad_to and end < len(text):
            rest = whole[position:]
            position += len(rest) - len(rest.lstrip("\n"))
    assert len(ids) <= len(encoder.encode(prompt)) + 3 * max(0, pad_to - 1)


@pytest.mark.parametrize("pad_to", [8, 32])
def test_prompts_that_share_a_pair_share_whole_blocks(encoder: PromptEncoder, pad_to: int) -> None:
    one = encoder.encode(pair_prompt(ASK, "Tea is kind.", "Water.", "Be brief."), pad_to)
    two = encoder.encode(pair_prompt(ASK, "Tea is kind.", "Water.", "Avoid all haste."), pad_to)
    same = next(i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b)
    blocks = same // pad_to * pad_to
    assert one[:blocks] == two[:blocks]
    tail = len(encoder.encode(prompt_of(("user", "Principle: "))))
    assert same - blocks < tail, "only the first words of the tail may be shared beyond the blocks"


def test_no_padding_where_a_newline_is_no_token(tmp_path: Path) -> None:
    tokenizer = byte_level_bpe()
    tokenizer.pre_tokenizer = DESIGNS["unigram"]().pre_tokenizer
    encoder = PromptEncoder(write_model(tmp_path, tokenizer))
    prompt = pair_prompt(ASK, "a", "b", "c")
    assert encoder.encode(prompt, 32) == encoder.encode(prompt)


@pytest.mark.parametrize("options", [PAIR_OPTIONS, YES_NO_OPTIONS])
def test_an_option_is_the_token_that_follows_the_prefill(
    encoder: PromptEncoder, tokenizer: Tokenizer, options: tuple[str, ...]
) -> None:
    ids = encoder.option_ids("Answer:", options)
    assert tuple(decoded(tokenizer, [i]) for i in ids) == options


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        pytest.param((" A", " zebra"), "' zebra' after 'Answer:' is not one token", id="several"),
        pytest.param((" A", ""), "'' after 'Answer:' is not one token", id="none"),
        pytest.param((" A", " A"), "the same token", id="twice the same"),
        pytest.param((" A", "<|im_end|>"), "not one token", id="a control token is no option"),
    ],
)
def test_unusable_options_are_refused(
    encoder: PromptEncoder, options: tuple[str, ...], seen: str
) -> None:
    with pytest.raises(ConfigError, match=seen):
        encoder.option_ids("Answer:", options)


GEMMA = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "[INST]{{ m.content }}\n{% endfor %}"
)
QWEN = (
    "{%- for m in messages %}{%- if m.role == 'user' %}U: {{ m.content | trim }}\n"
    "{%- elif m.role == 'system' %}S: {{ m.content }}\n{%- else %}"
    "{%- generation %}A: {{ m.content.split('</think>')[-1] }}{% endgeneration %}\n{%- endif %}"
    "{%- if loop.last %}{% break %}{% endif %}{%- endfor %}"
)
DATED = (
    "{{ strftime_now('%Y') if strftime_now is defined else 'undated' }}: {{ messages[0].content }}"
)


@pytest.mark.parametrize(
    ("template", "turns", "expected"),
    [
        pytest.param(
            GEMMA,
            [("system", "Be kind."), ("user", "Tea?")],
            "<s>[INST]Be kind.\n\nTea?\n",
            id="a template without system turns gets its text in the first user turn",
        ),
        pytest.param(
            QWEN,
            [("user", " Tea? "), ("assistant", "a</think>b"), ("user", "x")],
            "U:  Tea? A: a</think>bU: x",
            id="logic of the template never sees contents; training marks and breaks parse",
        ),
        pytest.param(DATED, [("user", "Tea?")], "undated: Tea?", id="no template knows the date"),
    ],
)
def test_templates_in_use(
    tmp_path: Path, template: str, turns: list[tuple[str, str]], expected: str
) -> None:
    encoder = PromptEncoder(write_model(tmp_path, byte_level_bpe(), template))
    assert decoded(byte_level_bpe(), encoder.encode(prompt_of(*turns))) == expected


def test_a_default_template_in_the_configuration_is_found(tmp_path: Path) -> None:
    named = [{"name": "tools", "template": "no"}, {"name": "default", "template": CHATML}]
    one = write_model(tmp_path / "a", byte_level_bpe(), None, {"chat_template": named})
    two = write_model(tmp_path / "b", byte_level_bpe(), None, {"chat_template": CHATML})
    prompt = prompt_of(("user", "Tea?"))
    assert PromptEncoder(one).encode(prompt) == PromptEncoder(two).encode(prompt)


@pytest.mark.parametrize(
    ("template", "seen"),
    [
        pytest.param(None, "no chat template", id="none"),
        pytest.param("{% for %}", "chat template", id="a syntax error"),
        pytest.param("{{ raise_exception('only jokes') }}", "only jokes", id="refuses"),
        pytest.param("{{ messages[-1].content }}", "leaves out or alters", id="drops a turn"),
        pytest.param("{{ ''.__class__.__mro__ }}", "unsafe", id="reaches out of its sandbox"),
    ],
)
def test_unusable_templates_are_refused(tmp_path: Path, template: str | None, seen: str) -> None:
    folder = write_model(tmp_path, byte_level_bpe(), template)
    with pytest.raises(ConfigError, match=seen) as caught:
        PromptEncoder(folder).encode(prompt_of(("user", "a"), ("assistant", "b"), ("user", "c")))
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("content", ["{}", '{"model": {"type": "None"}}', "{"])
def test_an_unusable_tokenizer_is_refused(tmp_path: Path, content: str) -> None:
    folder = write_model(tmp_path, byte_level_bpe())
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(ConfigError, match=r"tokenizer\.json"):
        PromptEncoder(folder)
