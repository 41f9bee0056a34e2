"""Which step of its version a constitution's changes demand, so that a version tells what it costs.

patch: changes neither votes nor labels · minor: adds, or weighs otherwise · major: asks otherwise.
"""

from typing import Literal

from judges.constitutions.constitution import Constitution
from judges.constitutions.diff import Change, Diff, What, headline
from judges.errors import ConstitutionError

Step = Literal["patch", "minor", "major"]

ORDER: tuple[Step, ...] = ("patch", "minor", "major")
MAJOR: frozenset[What] = frozenset(
    {
        "removed",
        "renamed",
        "reworded",
        "rule",
        "scope",
        "statement removed",
        "statement reworded",
        "statement answer",
    }
)
MINOR: frozenset[What] = frozenset(
    {"added", "tier", "weight", "family", "settings", "statement added", "statement weight"}
)


def step_of(change: Change) -> Step:
    """The step that one change demands."""
    if change.what in MAJOR:
        return "major"
    return "minor" if change.what in MINOR else "patch"


def demanded_step(diff: Diff) -> Step | None:
    """The largest step that any change demands; None when nothing changed."""
    steps = [step_of(change) for change in diff.changes]
    return max(steps, key=ORDER.index, default=None)


def next_version(version: str, step: Step) -> str:
    """The version a step further: `1.2.3` and `minor` give `1.3.0`."""
    numbers = [int(number) for number in version.split(".")]
    place = len(ORDER) - 1 - ORDER.index(step)
    numbers[place] += 1
    numbers[place + 1 :] = [0] * (len(numbers) - place - 1)
    return ".".join(map(str, numbers))


def refuse_wrong_step(before: Constitution, after: Constitution, diff: Diff, where: str) -> Step:
    """The step that was taken, if it is the one demanded; 1.0.0 may follow any 0.x as well.

    Raises: ConstitutionError that names the version to use and each change that forces it.
    """
    step = demanded_step(diff)
    if step is None:
        raise ConstitutionError(
            f"{where}: {after.reference} says the same as {before.reference}; "
            "nothing is there to publish"
        )
    demanded = next_version(before.version, step)
    settled = after.version == "1.0.0" and before.version.startswith("0.")
    if after.version == demanded or settled:
        return step
    forcing = [headline(change) for change in diff.changes if step_of(change) == step]
    raise ConstitutionError(
        f"{where}: version is {after.version}, but what changed since {before.reference} demands "
        f"the {step} step: write `version: {demanded}`"
        + "".join(f"\n  {step}: {change}" for change in forcing)
    )
