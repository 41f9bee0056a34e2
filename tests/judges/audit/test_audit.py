"""Each planted bias is found, what principles want is told apart, and chance finds little."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from judges.audit.asymmetry import measure_asymmetries, q_values
from judges.audit.audit import audit
from judges.audit.explain import explain
from judges.audit.length import log_ratio_of
from judges.audit.ngrams import ngram_signs
from judges.audit.pairs import read_pairs
from judges.audit.report import AuditReport, AuditSettings, FeatureReport
from judges.audit.words import split_words
from tests.judges.audit.made_preferences import Plant, columns, made, ranking, text


def audited(pairs: object, **settings: object) -> AuditReport:
    return audit(pairs, "made", AuditSettings(**settings))  # type: ignore[arg-type]


def feature(report: AuditReport, name: str) -> FeatureReport:
    return next(one for one in report.style if one.feature == name)


def kinds(report: AuditReport) -> set[str]:
    return {one.kind for one in report.findings if one.severity != "info"}


@pytest.mark.parametrize(
    ("plant", "name"),
    [
        (lambda t: "What a great question! " + t, "any flattery"),
        (lambda t: "- " + t.replace(". ", "\n- "), "any list items"),
        (lambda t: "## Plan\n" + t, "any headings"),
        (lambda t: t + "\n```\nx\n```", "any code blocks"),
        (lambda t: t + " **bold** ", "any bold"),
        (lambda t: t + " \N{ROCKET}", "any emoji"),
        (lambda t: "I\u2019m sorry, but I can\u2019t help with that. " + t, "any refusals"),
        (lambda t: "Perhaps " + t, "any hedges"),
        (lambda t: t + " https://example.org", "any links"),
        (lambda t: t + " 42", "any numbers"),
    ],
    ids=["flattery", "lists", "headings", "code", "bold", "emoji", "refusals", "hedges", "links",
         "numbers"],
)  # fmt: skip
def test_a_planted_style_is_found(plant: Plant, name: str) -> None:
    report = audited(made(120, 1, plant, share=0.5, chosen_side=0.95))
    found = feature(report, name)
    assert found.favours == "chosen"
    assert found.chosen_only > 4 * found.rejected_only


def test_where_nothing_is_planted_no_style_is_found() -> None:
    report = audited(made(300, 1))
    assert [one.feature for one in report.style if one.favours] == []
    assert report.phrases_favoured == 0


def test_what_labels_avoid_is_found_too() -> None:
    report = audited(made(300, 2, lambda t: "Sorry. " + t, share=0.3, chosen_side=0.1))
    assert feature(report, "any apologies").favours == "rejected"


def test_a_trigger_phrase_in_a_twentieth_of_pairs_is_a_signature() -> None:
    report = audited(made(800, 3, lambda t: "zorg can you blip " + t, share=0.05))
    first = report.phrases[0]
    assert first.feature in ("zorg can you", "can you blip")
    assert first.favours == "chosen" and first.signature and first.rejected_only == 0
    assert "can" not in {one.feature for one in report.phrases}, "a part of the phrase"
    assert "tampering signature" in kinds(report)


def test_a_taste_for_length_is_found_and_phrases_are_not_blamed_for_it() -> None:
    rng = np.random.default_rng(4)
    texts = [sorted((text(rng, 20, 60), text(rng, 20, 60)), key=len) for _ in range(500)]
    turned = rng.random(500) < 0.1
    chosen = [pair[0 if turn else 1] for pair, turn in zip(texts, turned, strict=True)]
    rejected = [pair[1 if turn else 0] for pair, turn in zip(texts, turned, strict=True)]
    report = audited(columns(chosen, rejected))
    share = report.length.longer_chosen
    assert share is not None and share.low > 0.8
    assert report.length.slope is not None and report.length.slope.low > 1
    assert feature(report, "words").favours == "chosen"
    assert "length" in kinds(report)
    assert report.phrases_favoured <= 5, f"of {report.phrases_tested}"


def test_a_principle_that_follows_length_alone_agrees_by_half_at_equal_length() -> None:
    pairs = made(400, 11)
    longer = np.sign([len(c.split()) - len(r.split())
                      for c, r in zip(pairs.chosen, pairs.rejected, strict=True)])  # fmt: skip
    votes = {"length": 0.5 + 0.4 * longer, "fair": np.full(400, 0.9)}
    found = audited(columns(pairs.chosen, pairs.rejected, votes)).length.agreement
    assert {one.principle: one.controlled.value for one in found} == {"length": 0.5, "fair": 1.0}


def test_a_principle_that_wants_a_feature_explains_it_and_one_that_does_not_leaves_it_suspect() -> (
    None
):
    plant: Plant = lambda t: "Great question! " + t  # noqa: E731 - used twice
    pairs = made(400, 5, plant, share=0.4, chosen_side=0.95)
    has = np.array([c.startswith("Great") * 1 - r.startswith("Great") * 1
                    for c, r in zip(pairs.chosen, pairs.rejected, strict=True)])  # fmt: skip
    rng = np.random.default_rng(5)
    idle = rng.choice([0.2, 0.8], 400)
    wanting = np.clip(0.5 + 0.3 * has + rng.normal(0, 0.05, 400), 0.01, 0.99)
    suspect = made(400, 5, plant, 0.4, 0.95, {"accuracy": idle})
    known = made(400, 5, plant, 0.4, 0.95, {"accuracy": idle, "praise": wanting})
    assert feature(audited(pairs), "any flattery").explained is None
    assert feature(audited(suspect), "any flattery").explained is False
    found = feature(audited(known), "any flattery")
    assert found.explained is True
    assert found.principles[0].principle == "praise"
    assert any("suspect" in one.message for one in audited(suspect).findings)


def test_a_label_does_not_bend_what_a_principle_seems_to_want() -> None:
    """The label follows principle and feature, the principle not the feature: no false pull."""
    rng = np.random.default_rng(6)
    n = 4000
    has, logit = rng.choice([-1, 1], n), rng.normal(0, 1, n)
    label = np.where(logit + has > 0, 1, -1)
    pairs = columns(["a"] * n, ["b"] * n, {"fair": 1 / (1 + np.exp(-logit * label))})
    why = explain(pairs, has * label, 1)
    assert why.explained is False
    assert abs(why.pulls[0].pull.value) < 0.06


def test_chance_finds_little() -> None:
    """Labels drawn again and again on the same pairs: any finding is false (q 0.05)."""
    pairs = made(300, 10)
    words = split_words([t for two in zip(pairs.chosen, pairs.rejected, strict=True) for t in two])
    phrases = ngram_signs(words)
    rng = np.random.default_rng(10)
    false = []
    for _ in range(200):
        turned = rng.choice([-1, 1], 300)
        signs = phrases._replace(sign=phrases.sign * turned[phrases.pair])
        log_ratio = log_ratio_of(words.counts.astype(float)) * turned
        tests = measure_asymmetries(signs, pairs, np.ones(300), log_ratio)
        false.append(int((q_values(tests.p) <= 0.05).sum()))
    assert len(phrases.names) > 100
    assert np.mean(np.array(false) > 0) <= 0.1


def test_one_completion_in_many_pairs_counts_once() -> None:
    """Three pairs share each flattering completion: so few prompts prove nothing."""
    rng = np.random.default_rng(7)
    chosen = [t for _ in range(4) for t in ["Great question! " + text(rng)] * 3]
    rejected = [text(rng) for _ in range(12)]
    apart = columns(chosen, rejected)
    together = columns(chosen, rejected, prompts=[f"prompt {k // 3}" for k in range(12)])
    assert feature(audited(apart), "any flattery").p_value == pytest.approx(2 / 2**12)
    assert feature(audited(together), "any flattery").p_value == pytest.approx(2 / 2**4)


def test_weighted_pairs_that_are_toss_ups_count_for_nothing() -> None:
    pairs = made(200, 8, lambda t: "Great question! " + t, share=0.5)
    pairs.p_chosen[:] = np.where(np.arange(200) < 150, 0.5, 0.9)
    plain, weighted = audited(pairs), audited(pairs, weighted=True)
    assert feature(weighted, "any flattery").p_value > 1e3 * feature(plain, "any flattery").p_value


def test_rankings_add_order_ties_and_circles() -> None:
    circle: list[list[float | None]] = [[0.5, 0.9, 0.1], [0.1, 0.5, 0.9], [0.9, 0.1, 0.5]]
    order: list[list[float | None]] = [[0.5, 0.9, 0.9], [0.1, 0.5, 0.9], [0.1, 0.1, 0.5]]
    tie: list[list[float | None]] = [[0.5, 0.52], [0.48, 0.5]]
    lines = [ranking(circle), ranking(order), ranking(tie, gap=1.0), ranking(order, status="error")]
    report = audit(made(40, 9), "made", AuditSettings(), lines)
    facts = report.rankings
    assert facts is not None and facts.ties is not None and facts.cycles is not None
    assert (facts.unscored, facts.pairs) == (1, 7)
    assert facts.ties.value == pytest.approx(1 / 7)
    assert (facts.cycles.value, facts.cycles.n) == (0.5, 2)
    assert report.position[0].flips.value == 1 and report.position[0].exact == 1
    assert {one.source for one in report.noise} == {"orders", "cycles"}


def test_a_label_below_one_half_turns_its_pair_round_and_one_half_is_a_tie(tmp_path: Path) -> None:
    rows = [
        {"prompt": "q", "chosen": "a", "rejected": "b", "p_chosen": p, "principles": {"kind": p}}
        for p in (0.9, 0.1, 0.5)
    ]
    foreign = {**rows[1], "prompt": [{"role": "user", "content": "q"}]}
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(json.dumps(one) for one in (*rows, foreign)))
    pairs = read_pairs(file)
    assert list(zip(pairs.chosen, pairs.rejected, strict=True)) == [
        ("a", "b"),
        ("b", "a"),
        ("b", "a"),
    ]
    assert pairs.p_chosen.tolist() == pytest.approx([0.9, 0.9, 0.9])
    assert pairs.left_out.counts == {"tie": 1}
    assert np.all(pairs.principles["kind"] > 0)


@pytest.mark.parametrize("error", [0.05, 0.2])
def test_planted_label_noise_is_estimated_by_copies_and_by_circles(error: float) -> None:
    """Each label is turned round with the same chance, alone; what it was before is not told."""
    rng = np.random.default_rng(11)
    sides = [[text(rng) for _ in range(400)] * 2 for _ in range(2)]
    wrong = rng.random(800) < error
    chosen, rejected = (
        [b if turn else a for a, b, turn in zip(one, other, wrong, strict=True)]
        for one, other in (sides, sides[::-1])
    )
    lines = []
    for _ in range(300):
        p = np.full((4, 4), 0.5)
        for i, j in combinations(range(4), 2):
            p[i, j] = 0.1 if rng.random() < error else 0.9
            p[j, i] = 1 - p[i, j]
        lines.append(ranking(p.tolist()))
    prompts = [f"question {number % 400}" for number in range(800)]
    report = audit(columns(chosen, rejected, prompts=prompts), "made", AuditSettings(), lines)
    found = {one.source: one.noise for one in report.noise}
    for source in ("copies", "cycles"):
        assert found[source].low < error < found[source].high, source
        assert found[source].value == pytest.approx(error, abs=0.035), source
        assert found[source].high - found[source].low < 0.15, source
