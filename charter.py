"""The `charter` command: joins each folder's verbs, and imports what a verb needs when it runs."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

DESCRIPTION = """\
Turn a written constitution into training signal:
  sample -> rank -> preferences -> train -> evaluate     (charter demo runs all of it)"""

EPILOG = """\
Results go to stdout or --output, logs and progress to stderr. Exit codes: 0 done, 1 failed,
2 wrong usage, 3 more unscored than --max-unscored. Running a command again skips what is done."""


class Parser(argparse.ArgumentParser):
    """argparse that guesses what a mistyped flag meant."""

    _given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._given = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        from judges.suggest import did_you_mean

        known = [flag for action in self._actions for flag in action.option_strings]
        choices = [str(choice) for action in self._actions for choice in action.choices or ()]
        for word in self._given:
            flag = word.partition("=")[0]
            if f"invalid choice: {word!r}" in message:
                message += did_you_mean(word, choices)
            elif flag.startswith("--") and flag not in known and not self._subparsers:
                said = word in message.split()
                message += ("" if said else f"; {flag} is unknown") + did_you_mean(flag, known)
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: {message}\n")


def build_parser() -> Parser:
    """The whole command line; light, since `charter --help` waits for it."""
    import judges.commands
    import service.commands
    import training.commands

    parser = Parser(
        prog="charter",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True, title="verbs")
    judges.commands.add_verbs(verbs)
    training.commands.add_verbs(verbs)
    service.commands.add_verbs(verbs)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    options, unknown = build_parser().parse_known_args(arguments)
    if unknown:
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    from judges.errors import CharterError, ConfigError

    try:
        return int(options.run(options) or 0)
    except CharterError as error:
        sys.stderr.write(f"charter: {error}\n")
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        sys.stderr.write("charter: stopped; run the same command again to go on\n")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
