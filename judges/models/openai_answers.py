"""Reading the choices of an OpenAI-shaped answer, whatever kind of choice they are."""

from typing import Any, Protocol, TypeVar

from pydantic import ValidationError

from judges.model import Failure


class Indexed(Protocol):
    """A choice that knows its place: a pydantic model with an `index`."""

    index: int

    @classmethod
    def model_validate(cls, obj: Any) -> Any:
        """The choice in some JSON. Raises: ValidationError."""
        ...


Answer = TypeVar("Answer", bound=Indexed)


def read_choices(
    answer: dict[str, Any], count: int, form: type[Answer], lacking: str
) -> list[Answer | Failure]:
    """The answer's choices by their index: servers may return them in any order.

    `lacking` is the detail of the failure that stands where a choice is not there.
    """
    found: dict[int, Answer] = {}
    seen = lacking
    for raw in answer.get("choices") or []:
        try:
            choice: Answer = form.model_validate(raw)
        except ValidationError as error:
            seen = f"a choice in the server's answer cannot be read: {error}"
            continue
        found[choice.index] = choice
    return [found.get(i, broken(seen)) for i in range(count)]


def broken(seen: str) -> Failure:
    """An answer that cannot be used, and might be fine another time."""
    return Failure(status="error", reason="engine_error", detail=seen)
