"""What `charter constitution impact` reports, as records."""

from judges.calibration.estimates import Estimate
from judges.cost import JudgeEstimate
from judges.diagnostics.coverage import SliceShare
from judges.diagnostics.examples import Example
from judges.diagnostics.golden_votes import GoldenCount
from judges.diagnostics.needed_votes import NeededVotes
from judges.records import Record


class PairedChange(Record):
    """A mean over the same pairs before and after."""

    before: Estimate | None
    """Under the old constitution."""
    after: Estimate | None
    """Under the new one."""
    difference: Estimate | None
    """After less before, paired."""


class Flips(Record):
    """Labels that change."""

    share: Estimate | None
    """Of pairs scored under both."""
    turned: int
    """The other completion wins."""
    to_tie: int
    """A winner becomes a tie."""
    from_tie: int
    """A tie becomes a winner."""
    lost: int
    """Scored before, not after: not among the share."""
    gained: int
    """Scored after, not before: not among the share."""


class MovedBy(Record):
    """The flips that one principle moved most."""

    principle: str
    """Its id, in either constitution."""
    share: Estimate | None
    """Of all flips: its part of the deciding logit changed most towards the new verdict."""


class GoldenChange(Record):
    """Golden tests of each constitution, by stored votes."""

    alone_before: GoldenCount
    """The old one's, each under its own principle."""
    alone_after: GoldenCount
    """The new one's."""
    whole_before: GoldenCount
    """The old one's, under all its principles with their weights."""
    whole_after: GoldenCount
    """The new one's."""


class Stratum(Record):
    """A part of the run from which prompts were taken."""

    name: str
    """The part of the data, and how near its prompts' nearest pairs are to a tie."""
    prompts: int
    """Prompts in it."""
    judged: int
    """Of these, judged for the sample."""


class SampleTold(Record):
    """The prompts that were judged again in place of all."""

    prompts: int
    """Prompts of the run."""
    taken: int
    """Prompts that were taken."""
    judged: int
    """Of these, with all votes that the edit needs; the estimates rest on them."""
    new_votes: int
    """Votes cast now; 0 where all were in the store already."""
    stopped: str | None = None
    """Which budget ended the asking early, or why prompts were lost."""
    strata: tuple[Stratum, ...]
    """Where they were taken from."""


class Impact(Record):
    """What `charter constitution impact` found."""

    before: str
    """Reference of the old constitution."""
    after: str
    """Reference of the new one."""
    digests: tuple[str, str]
    """Their digests."""
    rankings: str
    """Name of the rankings file."""
    sample: SampleTold | None = None
    """The sample that was judged; None: all is from stored votes. With one, estimates are for the
    whole run, and so are the counts of flips; the numbers of pairs below are the sample's."""
    prompts: int
    """Different prompts: what intervals rest on."""
    pairs: int
    """Pairs of different, filled completions."""
    both: int
    """Of these, scored under both."""
    labelled: int
    """Of these, with a label of people."""
    seed: int
    """Of the resamples."""
    needs: tuple[NeededVotes, ...]
    """Principles of the new constitution left out of this preview, for want of votes."""
    cost: tuple[JudgeEstimate, ...]
    """What relabelling the whole run still costs with the judges named; empty without a judge."""
    added: tuple[str, ...]
    """Principles only the new one has."""
    dropped: tuple[str, ...]
    """Principles only the old one has."""
    flips: Flips
    """Labels that change."""
    slices: tuple[SliceShare, ...]
    """The share of flips in each part of the data."""
    moved_by: tuple[MovedBy, ...]
    """Which principles move the flips, most first."""
    agreement: PairedChange
    """With people, ties a half."""
    kappa_before: Estimate | None
    """Cohen's with people, under the old constitution."""
    kappa_after: Estimate | None
    """And under the new one."""
    golden: GoldenChange
    """Golden tests."""
    words: PairedChange
    """Mean length of the winner in words; of a tie, the mean of both."""
    refusals: PairedChange
    """Share of winners that refuse, by their wording; of a tie, the mean of both."""
    examples: tuple[Example, ...]
    """Flips with the largest change of p, turned winners first, at most one a prompt."""
