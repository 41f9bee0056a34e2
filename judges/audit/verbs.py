"""What `charter audit` does: read the pairs, measure, print or write what was found."""

import argparse
from pathlib import Path

import orjson

from judges.audit.audit import audit
from judges.audit.findings import SEVERITIES
from judges.audit.page import audit_page
from judges.audit.pairs import read_pairs, read_prompts
from judges.audit.report import AuditReport, AuditSettings
from judges.errors import ConfigError
from judges.jsonl import replacing
from judges.preferences import read_rankings
from judges.progress import say
from judges.verbs import emit, refuse_same


def run_audit(options: argparse.Namespace) -> int:
    """`charter audit`: exit code 1 when a finding is as grave as --fail-on."""
    _check(options)
    settings = AuditSettings(
        false_discoveries=options.false_discoveries,
        control=options.control,
        least_effect=options.least_effect,
        weighted=options.weighted,
        languages=options.languages,
        seed=options.seed,
    )
    pairs = read_pairs(options.preferences)
    rankings = list(read_rankings(options.rankings)) if options.rankings else None
    plain = options.without_rationale
    without = list(read_rankings(plain)) if plain else None
    held_out = {str(path): read_prompts(path) for path in options.against}
    report = audit(pairs, options.preferences.name, settings, rankings, held_out, without)
    if options.output is not None:
        write_audit(report, options.output)
        say(f"{options.output}: written")
    tell(report, options.json)
    return int(_grave_enough(report, options.fail_on))


def _check(options: argparse.Namespace) -> None:
    if not 0 < options.false_discoveries < 1:
        raise ConfigError(
            f"--false-discoveries {options.false_discoveries} · use a number between 0 and 1"
        )
    if options.without_rationale is not None and options.rankings is None:
        raise ConfigError(
            "--without-rationale is compared with rankings made with reasoning; name them by "
            "--rankings"
        )
    if options.output is None:
        return
    if options.output.suffix not in (".html", ".json"):
        raise ConfigError(f"--output {options.output} · writes a .html or a .json file")
    read = (options.preferences, options.rankings, options.without_rationale, *options.against)
    for path in read:
        if path is not None and path.exists():
            refuse_same(path, options.output)


def write_audit(report: AuditReport, output: Path) -> None:
    """Write the report as a page or as JSON, by the file's name."""
    with replacing(output) as file:
        if output.suffix == ".html":
            file.write(audit_page(report).encode("utf-8"))
        else:
            file.write(orjson.dumps(report.model_dump(mode="json"), option=orjson.OPT_INDENT_2))


def tell(report: AuditReport, as_json: bool) -> None:
    """The report on stdout: all of it as JSON, or a line for each finding."""
    if as_json:
        emit(report.model_dump_json(indent=2))
        return
    for finding in report.findings:
        emit(f"{finding.severity:8}{finding.kind}: {finding.message}")
    told = [sum(one.severity == s for one in report.findings) for s in reversed(SEVERITIES)]
    say(
        f"{report.n} pairs of {report.prompts} prompts: {told[0]} errors, {told[1]} warnings; "
        f"{len(report.style)} features and {report.phrases_tested} phrases tested"
    )


def _grave_enough(report: AuditReport, least: str | None) -> bool:
    if least is None:
        return False
    wanted = SEVERITIES[SEVERITIES.index(least) :]
    return any(finding.severity in wanted for finding in report.findings)
