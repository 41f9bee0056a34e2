"""Published preferences of inverse constitutional AI are read, and their principles found."""

from pathlib import Path

import numpy as np
import pytest

from judges.benchmarks.planted_pairs import fake_votes
from judges.errors import DataError
from judges.inference.candidates import Candidate
from judges.inference.pairwise_csv import read_pairwise_csv
from judges.inference.select import SelectionSettings, select

HEAD = "text_a,text_b,preferred_text\n"


def test_instruction_and_output_become_prompt_and_completion(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(
        HEAD
        + '"Instruction: Tea?\n\nOutput: Yes,\nnow.","Instruction: Tea?\n\nOutput: No.",text_b\n'
        "plain,words,text_a\n"
    )
    first, second = read_pairwise_csv(path)
    assert first.item.prompt[0].content == "Tea?"
    assert [c.text for c in first.item.completions] == ["Yes,\nnow.", "No."]
    assert (first.preferred, second.preferred) == (0.0, 1.0)
    assert [c.text for c in second.item.completions] == ["plain", "words"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text_a,text_b\nx,y\n", "p.csv:1: no column 'preferred_text'"),
        (HEAD + "x,y,text_c\n", "p.csv:2: preferred_text is 'text_c'"),
        (HEAD + "x,y\n", "p.csv:2: 2 cells for 3 columns"),
        (HEAD + '"Instruction: a\nOutput: x","Instruction: b\nOutput: y",text_a\n', "different"),
        (HEAD, "no pair in it"),
    ],
)
def test_a_faulty_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_pairwise_csv(path)


def test_the_three_published_principles_are_found(labelled_data: Path) -> None:
    path = labelled_data / "icai" / "orthogonal.csv"
    if not path.is_file():
        pytest.skip("icai/orthogonal.csv is not there")
    pairs = read_pairwise_csv(path)
    candidates = [
        Candidate(text=f'The better completion {verb} "{word}".', origin="file")
        for word in ("cat ", "dog ", "blue", "green", "lemon", "raspberry")
        for verb in ("mentions", "avoids")
    ]
    votes = fake_votes(pairs, candidates)
    labels = np.array([pair.preferred for pair in pairs])
    settings = SelectionSettings(minimum_support=4, false_discovery_rate=0.1)
    found = select([c.id for c in candidates], votes, labels, None, settings)
    texts = {c.id: c.text for c in candidates}
    kept = [texts[one.id] for one in found.kept]
    wrong_way = (
        'mentions "dog',
        'mentions "green',
        'mentions "rasp',
        'avoids "cat',
        'avoids "blue',
    )
    assert not any(text.partition("completion ")[2].startswith(wrong_way) for text in kept)
    assert len(pairs) == 30
    subjects = (("cat", "dog"), ("blue", "green"), ("lemon", "raspberry"))
    assert all(any(word in text for word in both for text in kept) for both in subjects)
    assert found.held_out_accuracy and found.held_out_accuracy.value > 0.8
