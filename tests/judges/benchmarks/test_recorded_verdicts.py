"""`charter benchmark recorded-verdicts`, as it is called."""

import json
from pathlib import Path

import pytest

from charter import main


def test_a_folder_without_data_is_one_line_that_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", "recorded-verdicts", "--data", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("charter: ")
    assert "recorded_verdicts.jsonl.gz" in error
    assert "CHARTER_DATA" not in error


@pytest.mark.slow
def test_real_verdicts_give_the_published_figures_and_an_honest_comparison(
    labelled_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", "recorded-verdicts", "--data", str(labelled_data)]) == 0
    told = json.loads(capsys.readouterr().out)
    for subset, percent in (("natural", 95.5), ("neighbor", 78.7)):
        assert told["GPT-4/Vanilla"][subset]["ours_percent"] == percent
    panel = told["panel"]["all"]
    assert (panel["n"], panel["judges"]) == (234, 65)
    assert panel["stacker"]["nll_gain"]["value"] < 0
    assert panel["stacker"]["nll"]["value"] < panel["mean_logit"]["nll"]["value"]
    # What is learnt from neighbor's choice of pairs is wrong on pairs that were not chosen so.
    away = told["transfer"]["neighbor_to_natural"]
    assert away["stacker"]["accuracy"]["high"] < 0.5 < away["best_single"]["accuracy"]["low"]
    # Neighbor was chosen to fool weak judges: only contrary weights gain much there.
    neighbor = told["panel"]["neighbor"]
    assert neighbor["judges_below_half"] > 30
    assert neighbor["stacker"]["accuracy"]["value"] > (
        neighbor["stacker_not_contrary"]["accuracy"]["value"] + 0.05
    )
