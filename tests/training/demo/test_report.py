"""The report shows everything, lets nothing out of its quotes, and asks nothing of the network."""

import math
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judges.errors import DataError
from judges.preferences import PreferenceCounts
from tests.training.demo.invented_report import (
    CONSTITUTION,
    a_report,
    a_text,
    an_edit,
    an_evaluation,
    win,
)
from training.demo.report import FlippedLabel, figures, page, write_report
from training.demo.report_words import VISIBLE, duration, excerpt, headline, label_entropy
from training.evaluation.evaluate import Example
from training.evaluation.win_rates import WinRate

SECTIONS = (
    "result",
    "win-rates",
    "completions",
    "lengths",
    "training",
    "labels",
    "principles",
    "pairs",
    "edit",
    "time",
    "digests",
    "limits",
)
NO_FIGURES: dict[str, str | None] = dict.fromkeys(("wins", "words", "training", "labels"))
NASTY = '<script>alert("&")</script> \'"> {{ 7*7 }} </td></svg>\x00\x1b\ud800 \u202eabc $x_1$ 한'


class Page(HTMLParser):
    """What a browser would make of it: elements, ids, what is fetched, text."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
                self.links.append(str(value))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def html() -> str:
    return page(a_report(), figures(a_report()))


def test_every_section_is_there_in_order(html: str) -> None:
    assert [name for name in Page(html).ids if name in SECTIONS] == list(SECTIONS)
    assert html.count("<svg") == 4
    assert html.count('role="img" aria-label="') == 4


def test_page_is_well_formed_with_unique_ids(html: str) -> None:
    seen = Page(html)
    assert seen.open == []
    assert len(set(seen.ids)) == len(seen.ids)


def test_nothing_is_fetched_and_nothing_runs(html: str) -> None:
    seen = Page(html)
    assert seen.tags.isdisjoint({"script", "link", "img", "iframe", "object", "base", "image"})
    assert {link for link in seen.links if not link.startswith("#")} == set()
    assert "://" not in html.replace("sqlite:///votes.db", "")
    assert "@import" not in html
    assert "default-src 'none'" in html


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("preferred in 75\u00a0% of comparisons", id="the win rate"),
        pytest.param("63 to 87\u00a0%, n\u00a048", id="its interval and n"),
        pytest.param("37 to 61\u00a0%", id="the noise floor's interval"),
        pytest.param("The model stayed sane", id="that it stayed sane"),
        pytest.param("forbidden_phrases: great question; good", id="a rule in one line"),
        pytest.param("everyday words that a ten-year-old would know", id="a judged text"),
        pytest.param("too close to one half to call", id="why pairs were dropped"),
        pytest.param("43 of 371 labels flipped", id="what the edit flipped"),
        pytest.param("no model call", id="that the edit was free"),
        pytest.param("2 min 21 s", id="how long training took"),
        pytest.param(CONSTITUTION.digest, id="the constitution's digest"),
        pytest.param("charter demo --out runs/again --seed 0", id="how to run it again"),
        pytest.param("near chance on judged principles", id="that the judge is weak"),
    ],
)
def test_report_says(html: str, words: str) -> None:
    assert words in Page(html).text.replace("\n", " ")


def test_what_models_and_people_wrote_stays_text(tmp_path: Path) -> None:
    example = Example(id="x", prompt=NASTY, policy=NASTY, against=NASTY, p=0.7)
    flipped = FlippedLabel(
        prompt=NASTY, before_better=NASTY, after_better=NASTY, p_before=0.6, p_after=0.6
    )
    report = a_report(
        title=NASTY,
        constitution=CONSTITUTION.model_copy(update={"title": NASTY, "description": NASTY}),
        evaluation=an_evaluation(examples=(example,), policy=NASTY, digests={NASTY: NASTY}),
        counts=PreferenceCounts(kept=1, dropped={NASTY: 3}, rankings=1),
        edit=an_edit(principle=NASTY, examples=(flipped,)),
        timings={NASTY: 1.0},
        summary={NASTY: NASTY},
    )
    write_report(tmp_path / "report.html", report)
    seen = Page((tmp_path / "report.html").read_bytes().decode("utf-8"))
    assert "script" not in seen.tags
    assert seen.open == []
    assert seen.text.count('<script>alert("&")</script>') >= 15
    assert "{{ 7*7 }} </td></svg>␀␛\ufffd" in seen.text


@settings(max_examples=30, deadline=None)
@given(st.text(alphabet=st.characters(), max_size=40))
def test_any_completion_leaves_the_page_whole(text: str) -> None:
    example = Example(id="x", prompt="?", policy=text, against=text, p=0.5)
    report = a_report(evaluation=an_evaluation(examples=(example,)))
    seen = Page(page(report, NO_FIGURES))
    assert seen.open == []
    assert seen.text.count(text.translate(VISIBLE)) >= 2 or not text.strip()


def test_same_report_gives_the_same_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / "a.html", tmp_path / "deep" / "b.html"]
    for path in paths:
        write_report(path, a_report())
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"evaluation": an_evaluation(kl=None)}, "not measured", id="no KL"),
        pytest.param({"evaluation": an_evaluation(examples=())}, "No example", id="no examples"),
        pytest.param(
            {"evaluation": an_evaluation(win_rate=win(0.5, n=0, unscored=48), principles={})},
            "the judge gave no verdict on 48",
            id="nothing scored",
        ),
        pytest.param(
            {"evaluation": an_evaluation(policy_text=a_text(0.5, 4.0))},
            "The model was damaged",
            id="a ruined model",
        ),
        pytest.param(
            {"edit": an_edit(flipped=0, pairs=0, examples=())}, "No label flipped", id="no flips"
        ),
        pytest.param({"edit": an_edit(model_calls=3)}, "3 model calls", id="an edit with a cost"),
        pytest.param({"training": ()}, "Nothing was logged", id="no training metrics"),
        pytest.param({"labels": ()}, "There are no labels", id="no labels"),
        pytest.param(
            {"counts": PreferenceCounts(kept=0, dropped={}, rankings=0)}, "dropped", id="no pairs"
        ),
        pytest.param({"timings": {}}, "No stage was timed", id="no timings"),
    ],
)
def test_what_is_lacking_is_said(changes: dict[str, Any], words: str) -> None:
    seen = Page(page(a_report(**changes), NO_FIGURES))
    assert seen.open == []
    assert words in seen.text


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        pytest.param({"training": ()}, "training", id="no training metrics"),
        pytest.param(
            {"training": ({"step": 1, "loss": math.nan}, {"step": 2, "loss": "0.6"})},
            "training",
            id="no loss that is a finite number",
        ),
        pytest.param({"labels": ()}, "labels", id="no labels"),
    ],
)
def test_nothing_to_draw_gives_no_figure(changes: dict[str, Any], name: str) -> None:
    assert figures(a_report(**changes))[name] is None


def test_training_figure_shows_what_was_logged() -> None:
    drawn = str(figures(a_report(training=({"step": 1, "loss": 0.7},)))["training"])
    assert "Loss" in drawn
    assert "Reward" not in drawn


def test_win_rate_figure_shows_what_there_is() -> None:
    evaluation = an_evaluation(
        win_rate=win(0.5, n=0, unscored=48), win_rate_judged=None, principles={}
    )
    drawn = str(figures(a_report(evaluation=evaluation))["wins"])
    assert "nothing scored" in drawn
    assert "rules only" in drawn
    assert "judged only" not in drawn
    assert "brevity" not in drawn


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        pytest.param(win(0.75), "better: on 48 prompts", id="interval above one half"),
        pytest.param(win(0.55), "No change can be shown", id="interval around one half"),
        pytest.param(win(0.62, half=0.12), "No change can be shown", id="low end at one half"),
        pytest.param(win(0.2), "worse: on 48 prompts", id="interval below one half"),
    ],
)
def test_headline_claims_what_its_interval_allows(rate: WinRate, words: str) -> None:
    assert words in headline(an_evaluation(win_rate=rate), "Plain speech")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        pytest.param(0.184, "184 ms", id="milliseconds"),
        pytest.param(59.94, "59.9 s", id="under a minute"),
        pytest.param(59.97, "1 min 00 s", id="never 60.0 s"),
        pytest.param(119.7, "2 min 00 s", id="never 60 s of a minute"),
    ],
)
def test_durations_read_well(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_long_completions_are_cut_and_said_to_be() -> None:
    assert excerpt("a" * 100_000).endswith("… (99400 more characters)")


@given(st.lists(st.floats(0, 1), min_size=1))
def test_least_loss_lies_between_none_and_knowing_nothing(labels: list[float]) -> None:
    entropy = label_entropy(labels)
    assert entropy is not None
    assert -1e-9 <= entropy <= 0.6931472


def test_a_folder_in_the_way_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        write_report(tmp_path, a_report())


def test_importing_the_report_loads_no_plotting_and_no_torch() -> None:
    code = (
        "import sys, training.demo.report; print({'matplotlib', 'torch', 'trl'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
