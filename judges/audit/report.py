"""The records of an audit: every measurement, and what to look at first."""

from typing import Literal

from pydantic import Field

from judges.audit.asymmetry import Control
from judges.audit.duplicates import DuplicateReport, Leakage
from judges.audit.explain import PrinciplePull
from judges.audit.features import Kind
from judges.audit.length import LengthReport
from judges.audit.noise import NoiseEstimate, RankingFacts
from judges.audit.position import OrderGap
from judges.audit.rationale import RationaleFlips
from judges.calibration.estimates import Estimate
from judges.records import Record

Side = Literal["chosen", "rejected"]
Severity = Literal["info", "warning", "error"]


class AuditSettings(Record):
    """How an audit tells a finding from chance."""

    false_discoveries: float = Field(default=0.05, gt=0, lt=1)
    """Share of favoured features that may be false, within style, phrases and topics each."""
    control: Control = "bh"
    """Benjamini-Hochberg, or Benjamini-Yekutieli where tests may depend on each other anyhow."""
    least_effect: float = Field(default=0.2, ge=0)
    """Log-odds under which a feature is no finding, however sure; 0.2 is 55 of 100."""
    weighted: bool = False
    """Whether pairs count by |2·p_chosen - 1|."""
    languages: bool = False
    """Whether languages are told apart, which takes a millisecond a text."""
    seed: int = 0
    """Draws resamples."""


class FeatureReport(Record):
    """How one feature stands in chosen and in rejected completions."""

    feature: str
    """The feature, or the phrase itself."""
    kind: Kind
    """`amount`: more of it; `presence`: it is there; `n-gram`: the phrase is there; `topic`:
    one side only is in this cluster of texts."""
    chosen_only: int
    """Pairs where the chosen side has it, or more of it."""
    rejected_only: int
    """Pairs where the rejected side has."""
    chosen_share: float
    """`chosen_only` as a share of all pairs."""
    rejected_share: float
    """`rejected_only` as a share of all pairs."""
    share: Estimate
    """Of pairs that it tells apart, the share where the side with it was chosen; 0.5 is none.
    Its interval counts independent pairs."""
    log_odds: Estimate
    """The same as log-odds, half a pair added to both sides."""
    p_value: float
    """Two-sided sign test; for a phrase, the larger of it and of the one at equal length."""
    q_value: float
    """Smallest false discovery rate at which it would be found."""
    favours: Side | None
    """Which side has it beyond chance and beyond the least effect; None: neither."""
    signature: bool
    """Whether one direction nearly lacks: what a tampering policy leaves."""
    at_equal_length: Estimate | None
    """Log-odds between sides of equal length; None for length itself and where not favoured."""
    explained: bool | None
    """Whether a principle's own votes favour it too; None: not favoured, or no votes known."""
    principles: list[PrinciplePull]
    """What each principle gives it, where it is favoured."""


class Finding(Record):
    """One thing to look at."""

    severity: Severity
    """`error`: do not train on it as it is; `warning`: look at it; `info`: know it."""
    kind: str
    """What was found, in one or two words."""
    message: str
    """What, with its numbers, and what to do."""


class AuditReport(Record):
    """What an audit of preference pairs measured."""

    data: str
    """Name of the file."""
    n: int
    """Pairs with a preference."""
    prompts: int
    """Conversations they are about."""
    ties_left_out: int
    """Labelled ties, which no test here can use."""
    unusable: str = ""
    """Rows that are no pair, by reason, the first ones named; empty for none."""
    settings: AuditSettings
    """How findings were told from chance."""
    findings: list[Finding]
    """What to look at, the gravest first."""
    style: list[FeatureReport]
    """Every style feature."""
    phrases: list[FeatureReport]
    """The favoured phrases, the surest first; parts of longer ones left out."""
    phrases_tested: int
    """Phrases frequent enough to be tested."""
    phrases_favoured: int
    """Favoured phrases, before parts of others were left out."""
    topics: list[FeatureReport]
    """Every cluster of texts, named by its words; empty where there are too few to find any."""
    length: LengthReport
    """How far labels follow length."""
    duplicates: DuplicateReport
    """Copies and contradictions."""
    leakage: list[Leakage]
    """For each held-out file given."""
    expected_noise: Estimate | None
    """Mean of 1 - p_chosen: wrong labels that the judge itself expects, were it calibrated."""
    noise: list[NoiseEstimate]
    """Wrong labels, from contradictions."""
    position: list[OrderGap]
    """Order gaps of each principle; empty without rankings."""
    rationale: list[RationaleFlips]
    """What reasoning turns round; empty without rankings made both ways."""
    rankings: RankingFacts | None
    """Ties and circles; None without rankings."""
