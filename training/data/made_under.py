"""Whether ranking lines were made under the constitution that a recipe names."""

from collections.abc import Mapping
from typing import Any

from judges.constitutions.constitution import Constitution
from judges.errors import ConfigError


def check_made_under(line: Mapping[str, Any], constitution: Constitution, where: str) -> None:
    """Refuse a line of another constitution: its labels are of other words under the same ids.

    Raises: ConfigError.
    """
    made_under = line["digests"].get("constitution")
    if made_under != constitution.digest:
        raise ConfigError(
            f"{where}: ranked under the constitution {str(made_under)[:12]}…, but the recipe names "
            f"{constitution.reference}, {constitution.digest[:12]}…; name the one it was made under"
        )
