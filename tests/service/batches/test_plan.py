import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.batches.lines import BadLine, RawLine, parse_batch_line, read_range
from service.batches.plan import keep_repeated, plan_batch, repeated_within
from service.jobs.records import Range

ENDPOINTS = {"/v1/rank": "rank", "/v1/compare": "compare"}.keys()
LONGEST = 10_000


def line(name: str, **changed: object) -> str:
    body = {"constitution": "plain-speech", "prompt": "a", "completions": ["b"]}
    row = {"custom_id": name, "method": "POST", "url": "/v1/rank", "body": body}
    return json.dumps(row | changed)


@given(
    texts=st.lists(st.sampled_from(["", "  ", "x", "é" * 40, "y" * 70]), max_size=30),
    ends_with_break=st.booleans(),
    part_lines=st.integers(1, 5),
)
def test_the_parts_together_are_the_lines_of_the_file(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    ends_with_break: bool,
    part_lines: int,
) -> None:
    path = tmp_path_factory.mktemp("lines") / "input"
    path.write_bytes(("\n".join(texts) + "\n" * ends_with_break).encode())
    plan = plan_batch(path, 64, 1000, part_lines=part_lines)
    read = [raw for part in plan.parts for raw in read_range(path, part, 64)]
    wanted = [(number, text) for number, text in enumerate(texts, 1) if text.strip()]
    assert [raw.number for raw in read] == [number for number, _ in wanted]
    assert plan.lines == len(wanted)
    assert [part.lines for part in plan.parts] == [
        len(list(read_range(path, part, 64))) for part in plan.parts
    ]
    for raw, (_, text) in zip(read, wanted, strict=True):
        assert (raw.text is None) == (len(text.encode()) > 64)
        if raw.text is not None:
            assert raw.text.rstrip(b"\n").decode() == text


def test_repeated_ids_are_found_wherever_they_are(tmp_path: Path) -> None:
    path, kept = tmp_path / "input", tmp_path / "repeated"
    names = ["a", "b", "a", "c", "b", "a"]
    path.write_text("\n".join(["", *(line(name) for name in names)]))
    plan = plan_batch(path, LONGEST, 1000, part_lines=2)
    assert plan.repeated.tolist() == [4, 6, 7]
    keep_repeated(kept, plan.repeated)
    assert set().union(*(repeated_within(kept, part) for part in plan.parts)) == {4, 6, 7}
    assert 4 in repeated_within(kept, plan.parts[1])
    assert repeated_within(tmp_path / "none", plan.parts[0]) == set()


def test_constitutions_named_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_text(f"{line('a')}\n{line('b', body={'constitution': 'honest@1'})}\n{{")
    assert plan_batch(path, LONGEST, 10).references == {"plain-speech", "honest@1"}


def test_too_many_lines_are_not_read_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_text("x\n" * 100)
    assert plan_batch(path, LONGEST, 10).lines == 11


def test_planning_costs_eight_bytes_a_line(tmp_path: Path) -> None:
    path = tmp_path / "input"
    with path.open("w") as file:
        for number in range(20_000):
            file.write(line(f"name {number}") + "\n")
    tracemalloc.start()
    plan = plan_batch(path, LONGEST, 10**6)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert plan.lines == 20_000
    # Buffers, one part's lines, and 16 bytes a line twice over while ids are compared.
    assert peak < 5 * 2**20


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("{", "invalid_json_line", "line 3: not JSON"),
        ("[]", "invalid_json_line", "line 3: a list"),
        ("\xff", "invalid_json_line", "not UTF-8"),
        (line("", x=1), "invalid_custom_id", "custom_id is ''"),
        (line("a", custom_id=7), "invalid_custom_id", "custom_id is 7"),
        (line("a", methd="POST"), "unknown_key", "did you mean"),
        (line("a", method="GET"), "invalid_method", "method is 'GET'"),
        (line("a", url="/v1/chat/completions"), "invalid_url", "use /v1/compare, /v1/rank"),
        (line("a", url="/v1/compare"), "mismatched_endpoint", "the batch's endpoint is '/v1/rank'"),
        (line("a", body="x"), "invalid_body", "make it an object"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 24 else "",
)
def test_a_bad_line_says_what_is_wrong(text: str, code: str, said: str) -> None:
    raw = RawLine(3, 0, 9, text.encode("latin-1"))
    with pytest.raises(BadLine) as caught:
        parse_batch_line(raw, "/v1/rank", ENDPOINTS, LONGEST)
    assert caught.value.code == code
    assert said in str(caught.value)


def test_without_an_endpoint_each_line_names_its_own() -> None:
    raw = RawLine(1, 0, 9, line("a", url="/v1/compare").encode())
    assert parse_batch_line(raw, None, ENDPOINTS, LONGEST).url == "/v1/compare"


@pytest.mark.parametrize(
    ("lines", "parts", "longest"),
    [(5, 1, 5), (200, 13, 16), (3200, 32, 101), (20_000, 79, 256)],
    ids=["few: one part", "small parts", "32 parts", "large parts"],
)
def test_parts_suit_the_size(tmp_path: Path, lines: int, parts: int, longest: int) -> None:
    path = tmp_path / "input"
    path.write_text((line("a") + "\n") * lines)
    plan = plan_batch(path, LONGEST, 10**6)
    assert sum(part.lines for part in plan.parts) == lines
    assert abs(len(plan.parts) - parts) <= 1
    assert max(part.lines for part in plan.parts) <= longest


def test_no_repeats_no_file(tmp_path: Path) -> None:
    keep_repeated(tmp_path / "repeated", np.empty(0, np.uint64))
    assert not (tmp_path / "repeated").exists()
    assert repeated_within(tmp_path / "repeated", Range(stop=9, first_line=1, lines=1)) == set()
