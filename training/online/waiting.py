"""Asking a reward that may be away: it is waited for, and what it never scores is left out.

The judge is a teammate that may be slow or down for a while. A step waits for it with growing
pauses; when patience ends, the run stops where it can be resumed. It never goes on with numbers
that nobody gave.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import Field

from judges.errors import ModelError
from judges.records import CompletionText, Item, Probability, Record
from training.online.reward import Reward, Score, checked_scores


class Patience(Record):
    """How long a step waits for its reward."""

    longest_s: Annotated[float, Field(ge=0)] = 1800.0
    """Seconds from the first failure after which the run stops, resumable."""
    first_wait_s: Annotated[float, Field(gt=0)] = 2.0
    """First pause before what failed is asked again; doubled each time."""
    most_wait_s: Annotated[float, Field(gt=0)] = 60.0
    """Longest pause."""
    call_s: Annotated[float, Field(gt=0)] = 900.0
    """A call that takes longer counts as failed."""
    minimum_scored: Probability = 0.5
    """A step with a smaller share of scored completions stops the run."""


class RewardAway(ModelError):
    """The reward gave too few scores for too long; the run can be resumed."""


async def patient_scores(
    reward: Reward,
    prompts: Sequence[Item],
    completions: Sequence[CompletionText],
    patience: Patience,
    say: Callable[[str], None],
) -> list[Score]:
    """A score for each completion, waited for; unscored ones are left without a number.

    Only what failed is asked again.
    Raises: RewardAway when patience is over, or too few completions can be scored at all;
    VerdictError for a reward that is no finite number.
    """
    scores = await _ask(reward, prompts, completions, patience.call_s)
    wait, end = patience.first_wait_s, time.monotonic() + patience.longest_s
    while failed := [i for i, score in enumerate(scores) if score.retry]:
        if time.monotonic() + wait > end:
            break
        detail = scores[failed[0]].detail
        say(f"reward {reward.name!r}: {len(failed)} of {len(scores)} not scored, asked again in "
            f"{wait:.0f} s: {detail}")  # fmt: skip
        await asyncio.sleep(wait)
        again = await _ask(
            reward, [prompts[i] for i in failed], [completions[i] for i in failed], patience.call_s
        )
        for i, score in zip(failed, again, strict=True):
            scores[i] = score
        wait = min(2 * wait, patience.most_wait_s)
    refuse_too_few(scores, reward.name, patience)
    return scores


async def _ask(
    reward: Reward,
    prompts: Sequence[Item],
    completions: Sequence[CompletionText],
    call_s: float,
) -> list[Score]:
    """One call; a reward that is away, or too slow, leaves all of them to be asked again."""
    try:
        async with asyncio.timeout(call_s):
            scores = await reward(prompts, completions)
    except TimeoutError:
        detail = f"no answer within {call_s:.0f} s"
    except (ModelError, OSError) as error:
        detail = str(error) or type(error).__name__
    else:
        return checked_scores(scores, prompts, reward.name)
    away = Score(value=None, reason="engine_error", detail=detail, retry=True)
    return [away] * len(prompts)


def refuse_too_few(scores: Sequence[Score], name: str, patience: Patience) -> None:
    """Raises: RewardAway where fewer completions are scored than a step needs."""
    lacking = [score for score in scores if score.value is None]
    if len(scores) - len(lacking) >= max(1.0, patience.minimum_scored * len(scores)):
        return
    reasons = Counter(score.reason or "missing_vote" for score in lacking)
    counted = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    detail = next((score.detail for score in lacking if score.detail), "no detail")
    raise RewardAway(
        f"reward {name!r}: {len(lacking)} of {len(scores)} completions have no score ({counted}): "
        f"{detail} · put the reward right, then run the same command with --resume"
    )
