"""Results files of lm-evaluation-harness, as it writes them."""

import json
from pathlib import Path
from typing import Any

import pytest

from judges.errors import DataError
from training.evaluation.harness import read_harness


def results(path: Path, accuracy: float, **changes: Any) -> Path:
    told = {
        "results": {
            "arc_easy": {
                "alias": "arc_easy", "acc,none": accuracy, "acc_stderr,none": 0.01,
                "acc_norm,none": accuracy - 0.02, "acc_norm_stderr,none": 0.01,
            },
            "wikitext": {
                "alias": "wikitext", "word_perplexity,none": 20.5,
                "word_perplexity_stderr,none": "N/A",
            },
        },
        "versions": {"arc_easy": 1.0, "wikitext": 2.0},
        "n-samples": {"arc_easy": {"original": 2376, "effective": 2376}},
        "higher_is_better": {"arc_easy": {"acc": True, "acc_norm": True}},
        "lm_eval_version": "0.4.9",
    }  # fmt: skip
    path.write_text(json.dumps(told | changes))
    return path


def test_metrics_with_an_error_are_compared(tmp_path: Path) -> None:
    found = read_harness(results(tmp_path / "a", 0.60), results(tmp_path / "b", 0.50))
    assert [(one.task, one.metric) for one in found] == [
        ("arc_easy", "acc,none"),
        ("arc_easy", "acc_norm,none"),
    ]
    gap = found[0].change.difference
    assert gap.value == pytest.approx(-0.1)
    assert gap.n == 2376
    assert gap.low == pytest.approx(-0.1 - 1.96 * 0.01 * 2**0.5, abs=1e-4)
    assert found[0].higher_is_better is True


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"versions": {"arc_easy": 2.0}}, "versions is 1.0 in .*, 2.0 in", id="version"
        ),
        pytest.param(
            {"n-samples": {"arc_easy": {"original": 2376, "effective": 100}}},
            "n-samples is .*the same --limit",
            id="limit",
        ),
        pytest.param({"results": {"boolq": {}}}, "no metric with a standard error", id="tasks"),
        pytest.param({"results": 1}, "no `results`", id="another file"),
    ],
)
def test_what_does_not_compare_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    one, other = results(tmp_path / "a", 0.5), results(tmp_path / "b", 0.5, **changes)
    with pytest.raises(DataError, match=message):
        read_harness(one, other)


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("|task|")
    with pytest.raises(DataError, match="a: not JSON"):
        read_harness(tmp_path / "a", tmp_path / "a")
