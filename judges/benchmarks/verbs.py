"""What the benchmarks' verbs do: call one function, print what came of it."""

import argparse
import json

from judges.store.vote_store import VoteStore
from judges.verbs import emit


def run_judge(options: argparse.Namespace) -> int:
    """`charter benchmark judge`"""
    from judges.benchmarks.judge import benchmark_judge

    emit(json.dumps(benchmark_judge(options.prompts), indent=2))
    return 0


def run_reweigh(options: argparse.Namespace) -> int:
    """`charter benchmark reweigh`"""
    from judges.benchmarks.reweigh import benchmark_reweigh

    emit(json.dumps(benchmark_reweigh(options.votes), indent=2))
    return 0


def run_edit(options: argparse.Namespace) -> int:
    """`charter benchmark edit`"""
    from judges.benchmarks.edit import benchmark_edit

    emit(json.dumps(benchmark_edit(options.prompts, options.sample), indent=2))
    return 0


def run_infer(options: argparse.Namespace) -> int:
    """`charter benchmark infer`"""
    from judges.benchmarks.infer import benchmark_infer

    emit(json.dumps(benchmark_infer(options.pairs, options.noise, options.seed), indent=2))
    return 0


def run_recorded_verdicts(options: argparse.Namespace) -> int:
    """`charter benchmark recorded-verdicts`"""
    from judges.benchmarks.recorded_verdicts import benchmark_recorded_verdicts

    emit(json.dumps(benchmark_recorded_verdicts(options.data, options.seed), indent=2))
    return 0


def run_few_votes(options: argparse.Namespace) -> int:
    """`charter benchmark few-votes`"""
    from judges.benchmarks.few_votes import as_table, benchmark_few_votes

    result = benchmark_few_votes(options.items, options.seed)
    emit(json.dumps(result, indent=2) if options.json else as_table(result))
    return 0


def run_rbr(options: argparse.Namespace) -> int:
    """`charter benchmark rbr`"""
    from judges.benchmarks.rbr import benchmark_rbr
    from judges.propositions.table import report_table

    with VoteStore.open(options.store) as store:
        told = benchmark_rbr(options.data, options.judge, store, options.rows, options.seed)
    report = told.pop("report")
    if options.json:
        emit(json.dumps(told | {"report": report.model_dump(mode="json")}, indent=2))
    else:
        emit(report_table(report))
    return 0
