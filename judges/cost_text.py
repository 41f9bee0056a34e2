"""An estimate in words, the same wherever one is printed."""

from judges.cost import JudgeEstimate


def estimate_lines(one: JudgeEstimate) -> list[str]:
    """What a judge will be asked, and what that takes; with how sure each number is."""
    new = one.questions - one.stored
    return [
        f"{one.judge}: {new} votes to cast, {one.stored} stored already",
        f"  {_tokens(one)}",
        f"  {_time(one)}; {_price(one.price)}",
    ]


def _tokens(one: JudgeEstimate) -> str:
    about = "" if one.exact else "about "
    told = (
        f"{about}{one.prompt_tokens} prompt tokens, {one.fresh_tokens} of them fresh at least; "
        f"{one.completion_tokens} written at most"
    )
    if one.worded < one.questions - one.stored:
        told += f" (±{100 * one.tokens_within:.1f} %, from {one.worded} prompts)"
    return told


def _time(one: JudgeEstimate) -> str:
    if one.seconds is None or one.seconds_low is None or one.seconds_high is None:
        return "minutes unknown: the store holds too few votes of this judge; give --rate"
    told = _minutes(one.seconds)
    if one.seconds_high > one.seconds_low:
        told += f" ({_minutes(one.seconds_low)} to {_minutes(one.seconds_high)})"
    return f"{told}: {one.speed}"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _price(price: float | None) -> str:
    return "no price table" if price is None else f"price {price:.4g}"
