"""The verbs of `charter constitution`; their work is imported when one runs."""

from pathlib import Path

from judges.collective.commands import add_verbs as add_collect_verb
from judges.commands import Verbs, add_judge_flags, add_rate_flag, add_verb, later, no_verb
from judges.diagnostics.commands import add_verbs as add_diagnostic_verbs
from judges.inference.commands import add_verbs as add_infer_verb

WORK = "judges.constitutions.verbs"
GOLDEN = "judges.constitutions.golden_verbs"
LIFE = "judges.constitutions.lifecycle_verbs"
REFERENCE = "name@version, name, or path"


def add_verbs(verbs: Verbs) -> None:
    """Add constitution, with its own verbs, to the command line."""
    parser = add_verb(
        verbs, "constitution", "Write, check, compare, publish and convert constitutions", no_verb
    )
    inner = parser.add_subparsers(metavar="VERB", required=True)
    _add_readers(inner)
    _add_new(inner)
    _add_diff(inner)
    _add_publish(inner)
    _add_exchange(inner)
    add_diagnostic_verbs(inner)
    add_infer_verb(inner)
    add_collect_verb(inner)


def _add_readers(inner: Verbs) -> None:
    add_verb(inner, "list", "List the constitutions there are", later("run_list", WORK))
    for name, help_text in (
        ("show", "Print a constitution with its parents resolved, and its digests"),
        ("lint", "Check a constitution file and its style; exit 1 for what forbids publishing"),
        ("test", "Run the golden tests: does a judge prefer what should be better?"),
    ):
        verb = add_verb(
            inner, name, help_text, later(f"run_{name}", GOLDEN if name == "test" else WORK)
        )
        verb.add_argument("reference", metavar="REFERENCE", help=REFERENCE)
        if name == "test":
            add_judge_flags(verb)
        if name in ("show", "test"):
            verb.add_argument("--json", action="store_true", help="print JSON")


def _add_new(inner: Verbs) -> None:
    verb = add_verb(
        inner, "new", "Write a draft: a commented starter, or a copy", later("run_new", LIFE)
    )
    verb.add_argument("name", metavar="NAME", help="lower-case letters, digits, hyphens")
    verb.add_argument("--copy", metavar="REFERENCE", help=f"begin with this one: {REFERENCE}")
    verb.add_argument("--output", type=Path, help="draft to write (NAME.yaml)")


def _add_diff(inner: Verbs) -> None:
    verb = add_verb(
        inner,
        "diff",
        "Say what sets two versions apart, what to judge again, and the version step it demands",
        later("run_diff", WORK),
    )
    verb.add_argument("before", metavar="OLD", help=REFERENCE)
    verb.add_argument("after", metavar="NEW", help=REFERENCE)
    counted = verb.add_mutually_exclusive_group()
    counted.add_argument(
        "--input",
        type=Path,
        metavar="COMPLETIONS",
        help="count what judging these again costs in votes, tokens and minutes; judges nothing",
    )
    counted.add_argument(
        "--rankings", type=Path, metavar="R", help="the same for a run, as `charter relabel` does"
    )
    add_rate_flag(verb)
    verb.add_argument("--json", action="store_true", help="print JSON")
    add_judge_flags(verb)


def _add_publish(inner: Verbs) -> None:
    verb = add_verb(
        inner, "publish", "Make a draft a version that never changes", later("run_publish", LIFE)
    )
    verb.add_argument("draft", type=Path, metavar="FILE", help="the draft")
    verb.add_argument(
        "--message", required=True, metavar="LINE", help="the changelog's line: what and why"
    )
    verb.add_argument(
        "--into",
        type=Path,
        metavar="FOLDER",
        help="folder of constitutions (the first of CHARTER_CONSTITUTIONS)",
    )
    verb = add_verb(
        inner,
        "deprecate",
        "Say that a published version should be used no more; it still loads",
        later("run_deprecate", LIFE),
    )
    verb.add_argument("reference", metavar="REFERENCE", help="an exact version, name@1.0.0")
    verb.add_argument("--reason", required=True, metavar="LINE", help="what is wrong with it")
    verb.add_argument("--successor", metavar="REFERENCE", help="the exact version to use instead")


def _add_exchange(inner: Verbs) -> None:
    dialects = ("critic-revision", "critique-request", "markdown")
    verb = add_verb(
        inner, "import", "Make a draft of another dialect's file", later("run_import", LIFE)
    )
    verb.add_argument("file", type=Path, metavar="FILE", help="JSON, or a Markdown list")
    verb.add_argument("--name", required=True, help="what the constitution is called here")
    verb.add_argument(
        "--licence", required=True, metavar="SPDX", help="of the text, such as CC0-1.0"
    )
    verb.add_argument("--dialect", choices=dialects, help="what FILE is written in (recognised)")
    verb.add_argument("--output", type=Path, help="draft to write (NAME.yaml)")
    verb = add_verb(
        inner, "export", "Write a constitution in another dialect", later("run_export", LIFE)
    )
    verb.add_argument("reference", metavar="REFERENCE", help=REFERENCE)
    verb.add_argument(
        "--dialect",
        choices=(*dialects, "yaml"),
        required=True,
        help="`critic-revision`: JSON pairs of Hugging Face's recipe; `critique-request`: JSON of "
        "the paper's repository; `markdown`: a list; `yaml`: one file without parents",
    )
    verb.add_argument("--output", type=Path, help="file to write (stdout)")
