"""What `charter constitution collect` does: read votes, find consensus, write the constitution."""

import argparse

import orjson

from judges.collective.consensus import ConsensusSettings, find_consensus
from judges.collective.votes import GroupVotes, Statement, read_statements, read_votes
from judges.collective.write import Adopting, adopted, collective_constitution
from judges.constitutions.lint import lint_constitution
from judges.errors import ConfigError, DataError
from judges.inference.write import slug, write_constitution
from judges.jsonl import replacing
from judges.progress import say
from judges.verbs import emit, refuse_same


def run_collect(options: argparse.Namespace) -> int:
    """`charter constitution collect`"""
    if options.output.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--output {options.output} · writes a .yaml file")
    refuse_same(options.votes, options.output)
    refuse_same(options.statements, options.output)
    group = read_votes(options.votes)
    statements = read_statements(options.statements)
    _refuse_unknown(group, statements, options)
    settings = ConsensusSettings(
        least_votes=options.least_votes, most_groups=options.most_groups, seed=options.seed
    )
    population = find_consensus(group.statements, group.votes, settings)
    how = Adopting(options.least, options.most, options.least_seen)
    kept, dropped = adopted(population, how)
    report = {**population.model_dump(mode="json"), "dropped": dropped}
    beside = options.output.with_suffix(".report.json")
    with replacing(beside) as file:
        file.write(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    name = slug(options.output.stem, "collective")
    constitution = collective_constitution(
        name, population, statements, how, licence=options.licence
    )
    write_constitution(constitution, options.output)
    for principle in constitution.principles:
        emit(f"{principle.weight:6.3f}  {principle.id:40} {principle.title}")
    for finding in lint_constitution(constitution):
        say(f"{finding.principle or 'constitution'}: {finding.check}: {finding.message}")
    say(f"{population.participants} participants, opinion groups of {population.sizes}")
    say(f"{options.output}: {len(kept)} principles; {beside}: all statements, and what was dropped")
    return 0


def _refuse_unknown(
    group: GroupVotes, statements: list[Statement], options: argparse.Namespace
) -> None:
    """Raises: DataError when votes name a statement that has no text."""
    lacking = sorted(set(group.statements) - {one.id for one in statements})
    if lacking:
        raise DataError(
            f"{options.votes}: votes on statement {lacking[0]!r} ({len(lacking)} such), which "
            f"{options.statements} does not hold; add its text"
        )
