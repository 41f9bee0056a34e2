"""What `charter constitution impact` found, in lines for a terminal."""

from collections.abc import Iterator

from judges.calibration.estimates import Estimate
from judges.cost_text import estimate_lines
from judges.diagnostics.impact_report import Impact


def impact_lines(found: Impact) -> Iterator[str]:
    """What rests on what, what flips, what changes with it, and what a relabel costs."""
    for need in found.needs:
        how = ", checked by code" if need.checked_by_code else ""
        yield (
            f"{need.principle} needs {need.votes} votes{how}; left out of this preview: "
            "--sample N judges some"
        )
    if (sample := found.sample) is not None:
        yield (
            f"{sample.judged} of {sample.prompts} prompts judged for the edit, {sample.new_votes} "
            "votes cast now; what follows is estimated for the whole run"
        )
        if sample.stopped:
            yield f"{sample.taken - sample.judged} more were taken: {sample.stopped}"
    yield from _changes(found)
    for cost in found.cost:
        yield "the whole run, `charter relabel`:"
        yield from estimate_lines(cost)


def _changes(found: Impact) -> Iterator[str]:
    flips = found.flips
    if flips.share is None:
        yield "no pair has a verdict under both constitutions"
        return
    about = "about " if found.sample else ""
    yield (
        f"{_percent(flips.share)} of labels flip: {about}{flips.turned} turned, {flips.to_tie} "
        f"become ties, {flips.from_tie} were ties"
    )
    for name, one in (
        ("agreement with people", found.agreement.difference),
        ("winners that refuse", found.refusals.difference),
    ):
        if one is not None:
            yield (
                f"{name} {100 * one.value:+.1f} points ({100 * one.low:+.1f} to "
                f"{100 * one.high:+.1f}, n {one.n})"
            )
    if (words := found.words.difference) is not None:
        yield (
            f"words of the winner {words.value:+.1f} ({words.low:+.1f} to {words.high:+.1f}, "
            f"n {words.n})"
        )
    was, now = found.golden.alone_before, found.golden.alone_after
    yield (
        f"golden tests {was.passed} of {was.n} pass before ({was.unscored} without votes), "
        f"{now.passed} of {now.n} after ({now.unscored})"
    )


def _percent(one: Estimate) -> str:
    return f"{100 * one.value:.1f} % ({100 * one.low:.1f} to {100 * one.high:.1f} %, n {one.n})"
