"""What an audit says to look at: rules that turn measurements into findings, the gravest first."""

from collections.abc import Iterator

from judges.audit.duplicates import Found
from judges.audit.report import AuditReport, FeatureReport, Finding, Severity
from judges.calibration.estimates import Estimate

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")
NOISY = 0.2
"""Share of wrong labels from which noise is worth a warning."""
FLIPPING = 0.3
"""Share of flips, by order or by reasoning, from which a principle is worth a warning."""
PHRASES_TOLD = 10


def list_findings(report: AuditReport) -> list[Finding]:
    """The findings of an audit, the gravest first, in one order for one report."""
    found = [
        *_unusable(report),
        *_leaks(report),
        *_copies(report),
        *_favoured(report),
        *_length(report),
        *_noise(report),
        *_order(report),
        *_rationale(report),
    ]
    return sorted(found, key=lambda one: -SEVERITIES.index(one.severity))


def _unusable(report: AuditReport) -> Iterator[Finding]:
    if report.unusable:
        yield Finding(severity="warning", kind="unusable rows", message=report.unusable)


def _leaks(report: AuditReport) -> Iterator[Finding]:
    for leak in report.leakage:
        if leak.exact.pairs:
            yield Finding(
                severity="error",
                kind="leakage",
                message=f"{_some(leak.exact, report.n)} have a prompt that {leak.against} holds "
                f"out ({leak.held_out_exact} of its {leak.prompts}); take them out of one",
            )
        more = leak.near.pairs - leak.exact.pairs
        if more:
            yield Finding(
                severity="warning",
                kind="near leakage",
                message=f"{more} more pairs have nearly a prompt of {leak.against}; "
                f"look at {', '.join(leak.near.examples)}",
            )


def _copies(report: AuditReport) -> Iterator[Finding]:
    copies = report.duplicates
    rules: list[tuple[Severity, str, Found, int, str]] = [
        ("error", "identical sides", copies.identical, 0,
         "have one text as chosen and as rejected; drop them"),
        ("error", "contradictory pairs", copies.contradictory, 0,
         "say the opposite of an earlier pair on the same texts; keep one, or neither"),
        ("warning", "repeated pairs", copies.repeated, 0,
         "repeat an earlier pair; drop them, or they count twice"),
        ("warning", "nearly contradictory", copies.near_contradictory, copies.contradictory.pairs,
         "say the opposite of an earlier pair on nearly the same texts; look at them"),
        ("info", "nearly repeated", copies.near_repeated, copies.repeated.pairs,
         "nearly repeat an earlier pair"),
        ("info", "nearly identical sides", copies.near_identical, copies.identical.pairs,
         "differ in few words; fine where that is meant"),
    ]  # fmt: skip
    for severity, kind, found, known, what in rules:
        if found.pairs > known:
            more = f", {known} of them word for word" if known else ""
            message = f"{_some(found, report.n)}{more} {what}"
            yield Finding(severity=severity, kind=kind, message=message)


def _some(found: Found, n: int) -> str:
    share = f"{100 * found.pairs / n:.2g} %"
    return f"{found.pairs} of {n} pairs ({share}; first: {', '.join(found.examples[:3])})"


def _favoured(report: AuditReport) -> Iterator[Finding]:
    favoured = {one.feature: one for one in report.style if one.favours}
    # One thing is told once: that it is there says more than that there is more of it.
    same = {name.removeprefix("any ") for name in favoured if name.startswith("any ")}
    same |= {"characters"} if "words" in favoured else set()
    favoured = {name: one for name, one in favoured.items() if name not in same}
    yield from (_feature(one) for one in sorted(favoured.values(), key=lambda one: one.p_value))
    topics = [one for one in report.topics if one.favours]
    yield from (_feature(one) for one in sorted(topics, key=lambda one: one.p_value))
    told = [one for one in report.phrases if one.signature]
    told += [one for one in report.phrases if not one.signature]
    yield from (_feature(one) for one in told[: max(PHRASES_TOLD, sum(p.signature for p in told))])


def _feature(one: FeatureReport) -> Finding:
    """Explained is known; unexplained is suspect; a signature that nobody wants is an error."""
    grave: Severity = "info" if one.explained or fades(one) else "warning"
    if one.signature:
        grave = "warning" if one.explained else "error"
    name = f'phrase "{one.feature}"' if one.kind == "n-gram" else one.feature
    kind = "tampering signature" if one.signature else "favoured feature"
    share = _interval(one.share)
    message = (
        f"{name}: the side with {'more' if one.kind == 'amount' else 'it'} was chosen in {share} "
        f"of the pairs it tells apart ({one.chosen_only} to {one.rejected_only}), "
        f"q {one.q_value:.2g}; {_why(one)}"
    )
    return Finding(severity=grave, kind=kind, message=message)


def fades(one: FeatureReport) -> bool:
    """Whether what is favoured is not, or turns round, between sides of equal length."""
    at = one.at_equal_length
    if at is None:
        return False
    return (at.low if one.favours == "chosen" else -at.high) <= 0


def _why(one: FeatureReport) -> str:
    if fades(one):
        return "gone between sides of equal length"
    if one.explained is None:
        return "no principle's votes are known"
    if not one.explained:
        return f"none of {len(one.principles)} principles favours it: suspect"
    direction = 1 if one.favours == "chosen" else -1
    wanting = [
        pull.principle
        for pull in one.principles
        if (pull.pull.low if direction > 0 else -pull.pull.high) > 0
    ]
    return f"{' and '.join(wanting[:3])} {'favours' if len(wanting) == 1 else 'favour'} it too"


def _length(report: AuditReport) -> Iterator[Finding]:
    share = report.length.longer_chosen
    if share is None:
        return
    human = report.length.reference
    beyond = share.low > human or share.high < 1 - human
    says = "more than people do" if share.low > human else "no more than people do"
    if share.high < 1 - human:
        says = "the shorter is preferred"
    yield Finding(
        severity="warning" if beyond else "info",
        kind="length",
        message=f"the longer side was chosen in {_interval(share)} of {share.n} pairs "
        f"({100 * human:.0f} % among people): {says}",
    )


def _noise(report: AuditReport) -> Iterator[Finding]:
    for one in report.noise:
        wrong = one.noise
        # Order gaps are those of judged principles; rules, which have none, may decide the labels.
        what = "judged votes" if one.source == "orders" else "labels"
        yield Finding(
            severity="warning" if wrong.low > NOISY else "info",
            kind="label noise",
            message=f"{_interval(wrong)} of {what} are wrong, told by {one.source} that contradict "
            f"each other in {_interval(one.contradictions)} of {wrong.n}",
        )
    facts = report.rankings
    if facts is not None and facts.ties is not None:
        yield Finding(
            severity="info",
            kind="ties",
            message=f"{_interval(facts.ties)} of {facts.pairs} ranked pairs are ties; "
            f"{facts.unscored} of {facts.rankings} rankings are unscored",
        )


def _order(report: AuditReport) -> Iterator[Finding]:
    for one in report.position:
        shown = f"{one.gap.value:+.2f} ({one.gap.low:+.2f} to {one.gap.high:+.2f})"
        yield Finding(
            severity="warning" if one.flips.low > FLIPPING else "info",
            kind="position",
            message=f"{one.principle}: shown first gains {shown} logits, n {one.gap.n}; the order "
            f"decides {_interval(one.flips)} of {one.flips.n} pairs",
        )


def _rationale(report: AuditReport) -> Iterator[Finding]:
    for one in report.rationale:
        surer = f"{one.surer.value:+.2f} ({one.surer.low:+.2f} to {one.surer.high:+.2f})"
        yield Finding(
            severity="warning" if one.flips.low > FLIPPING else "info",
            kind="rationale",
            message=f"{one.principle}: reasoning turns {_interval(one.flips)} of {one.flips.n} "
            f"labels round, and takes them {surer} logits further from even",
        )


def _interval(one: Estimate) -> str:
    return f"{100 * one.value:.1f} % ({100 * one.low:.1f} to {100 * one.high:.1f})"
