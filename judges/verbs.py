"""What verbs share: results on stdout, outputs that are no inputs, what was done already.

It loads nothing that takes long, so that a verb which needs no store starts at once.
"""

import sys
from pathlib import Path

from judges.errors import ConfigError
from judges.progress import say

EXIT_UNSCORED = 3


def emit(text: str) -> None:
    """One line of result, on stdout."""
    sys.stdout.write(f"{text}\n")


def refuse_same(source: Path, output: Path) -> None:
    """Raises: ConfigError when the output would replace what it is made from."""
    if output.exists() and output.samefile(source):
        raise ConfigError(f"--output {output} is the input itself; name another file")


def say_resumed(done: int, total: int, output: Path) -> None:
    """Tell how much of an output was already there."""
    if done:
        say(f"{output}: {done} of {total} are done already")
