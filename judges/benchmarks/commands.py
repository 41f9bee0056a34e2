"""The verb `benchmark`: the flags of each; their work is imported when one runs."""

from pathlib import Path

from judges.commands import Verbs, add_judge_flags, add_verb, later, no_verb, not_negative, whole

HERE = "judges.benchmarks.verbs"


def add_verbs(verbs: Verbs) -> None:
    """Add benchmark to the command line."""
    parser = add_verb(verbs, "benchmark", "Measure charter against a plain baseline", no_verb)
    names = parser.add_subparsers(metavar="NAME", required=True)
    judge = add_verb(
        names,
        "judge",
        "Votes a second, tokens shared, and the ratio to plain vLLM on the same token ids",
        later("run_judge", HERE),
    )
    judge.add_argument("--prompts", type=whole, default=200, help="prompts x 2 completions (200)")
    reweigh = add_verb(
        names,
        "reweigh",
        "Seconds and memory to re-aggregate stored votes",
        later("run_reweigh", HERE),
    )
    reweigh.add_argument("--votes", type=whole, default=1_000_000, help="stored votes (1000000)")
    edit = add_verb(
        names,
        "edit",
        "What one edit of a constitution costs on a large stored run, against judging it anew",
        later("run_edit", HERE),
    )
    edit.add_argument(
        "--prompts", type=whole, default=100_000, help="prompts x 2 completions stored (100000)"
    )
    edit.add_argument("--sample", type=whole, default=500, help="prompts of impact --sample (500)")
    infer = add_verb(
        names,
        "infer",
        "Which planted principles `constitution infer` recovers, and its held-out accuracy",
        later("run_infer", HERE),
    )
    infer.add_argument("--pairs", type=whole, default=600, help="labelled pairs (600)")
    infer.add_argument(
        "--noise", type=not_negative, default=1.0, help="of each vote, in logits (1.0)"
    )
    infer.add_argument("--seed", type=int, default=0, help="of pairs, labels and noise (0)")
    recorded = add_verb(
        names,
        "recorded-verdicts",
        "Recount a published accuracy from recorded verdicts; panel against best single judge",
        later("run_recorded_verdicts", HERE),
    )
    recorded.add_argument(
        "--data", type=Path, required=True, metavar="FOLDER", help="holds llmbar/"
    )
    recorded.add_argument("--seed", type=int, default=0, help="cuts folds and draws bootstrap (0)")
    few = add_verb(
        names,
        "few-votes",
        "Kendall tau against votes spent: telling pairs, random pairs, all; on simulated judges",
        later("run_few_votes", HERE),
    )
    few.add_argument("--items", type=whole, default=1000, help="simulated items (1000)")
    few.add_argument("--seed", type=int, default=0, help="of items and noise (0)")
    few.add_argument("--json", action="store_true", help="print JSON: all numbers, intervals, n")
    rbr = add_verb(
        names,
        "rbr",
        "Grade yes/no statements against people's labels, beside graders that know nothing",
        later("run_rbr", HERE),
    )
    rbr.add_argument("--data", type=Path, required=True, help="gold file, or the folder with it")
    rbr.add_argument("--rows", type=whole, help="only so many rows, drawn by the seed (all)")
    rbr.add_argument("--seed", type=int, default=0, help="draws rows and bootstrap (0)")
    rbr.add_argument("--json", action="store_true", help="print JSON")
    add_judge_flags(rbr)


def benchmark_names(verbs: Verbs) -> Verbs:
    """Where other folders add benchmarks of their own."""
    actions = verbs.choices["benchmark"]._actions
    return next(action for action in actions if isinstance(action.choices, dict))
