"""The gold data's reader, on made rows and on the real file; the shipped statements."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from judges.errors import DataError
from judges.propositions.features import UNCLASSED, class_probabilities, likeliest_classes
from judges.propositions.gold import (
    GoldRow,
    gold_groups,
    gold_labels,
    gold_scheme,
    read_gold,
)

# Read at import: each test runs without the settings of whoever runs it.
DATA = os.environ.get("CHARTER_DATA")
ROW: dict[str, Any] = {
    "category": "x",
    "response_type": "Safe Refuse 1",
    "prompt": [{"role": "user", "content": "Hello"}],
    "completion": [{"role": "assistant", "content": "Hi"}],
    "propositions": {"third_person": True, "apology": False},
}


def read(folder: Path, *rows: dict[str, Any]) -> list[GoldRow]:
    path = folder / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_gold(path)


def test_a_row_is_read_into_an_item_with_labels(tmp_path: Path) -> None:
    (row,) = read(tmp_path, ROW)
    assert (row.id, row.kind, row.completion) == ("train-1", "safe-refuse-1", "Hi")
    assert row.item.completions[0].text == "Hi"
    assert gold_labels([row], ["apology", "third-person"]).tolist() == [[0, 1]]
    assert gold_groups([row]) == [row.item.conversation_text]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"propositions": {"third_person": 1}}, ":1: propositions must map"),
        ({"completion": "Hi"}, ":1: completion is not one assistant's message"),
        ({"completions": []}, "unknown key 'completions' .did you mean 'completion'"),
        ({"prompt": [{"role": "usr", "content": "x"}]}, ":1: prompt.0.role"),
    ],
)
def test_a_broken_row_is_refused_with_its_line(
    tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(DataError, match=complaint):
        read(tmp_path, ROW | change)


def test_rows_with_different_labels_a_lacking_key_and_an_empty_file_are_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(DataError, match=r"do not label the same statements .apology"):
        read(tmp_path, ROW, ROW | {"propositions": {"third_person": True}})
    with pytest.raises(DataError, match="'category' is missing"):
        read(tmp_path, {key: value for key, value in ROW.items() if key != "category"})
    with pytest.raises(DataError, match="no line in it"):
        read(tmp_path)


def test_an_unknown_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no label 'apologie'.*did you mean 'apology'"):
        gold_labels(read(tmp_path, ROW), ["apologie"])


def test_the_shipped_statements_are_distinct_sentences_with_exhaustive_classes() -> None:
    scheme = gold_scheme()
    texts = [proposition.text for proposition in scheme.propositions]
    assert len(set(texts)) == len(scheme.names) == 23
    assert all(text.startswith("The completion") and text.endswith(".") for text in texts)
    assert [c.id for c in scheme.classes] == [
        "ideal",
        "minimum-acceptable-style",
        "unacceptable",
        "illogical",
        "disallowed",
    ]
    phi = np.random.default_rng(0).random((20, 23))
    for kind in scheme.kinds:
        assert class_probabilities(phi, scheme, [kind] * 20).sum(axis=1) == pytest.approx(1)


@pytest.mark.skipif(DATA is None, reason="CHARTER_DATA names no folder of labelled data")
def test_the_real_file_has_the_known_shape() -> None:
    rows = read_gold(Path(str(DATA)))
    scheme = gold_scheme()
    labels = gold_labels(rows, scheme.names)
    assert labels.shape == (351, 23)
    assert rows[0].labels.keys() == set(scheme.names)
    assert int(labels.sum(axis=0)[scheme.names.index("apology")]) == 106
    assert len(set(gold_groups(rows))) == 350
    kinds = [row.kind for row in rows]
    classes = class_probabilities(labels, scheme, kinds)
    assert set(np.unique(classes)) == {0.0, 1.0}
    assert UNCLASSED not in likeliest_classes(classes)
