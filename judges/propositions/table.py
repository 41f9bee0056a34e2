"""A report on statements as text, for a terminal."""

from judges.calibration.estimates import Estimate
from judges.propositions.report import PropositionReport


def report_table(report: PropositionReport) -> str:
    """The report as text: a line a statement, the means, the nulls."""
    head = f"{'statement':<38}{'n':>5}{'true':>7}{'accuracy':>22}{'F1':>22}{'AUROC':>7}{'ECE':>7}"
    lines = [head + f"{'best null':>11}"]
    for one in report.propositions:
        best = max((null.accuracy.value for null in one.nulls.values()), default=float("nan"))
        lines.append(
            f"{one.id:<38}{one.n:>5}{_short(one.base_rate):>7}{_long(one.accuracy):>22}"
            f"{_long(one.f1):>22}{_short(one.auroc):>7}{_short(one.ece):>7}{best:>11.3f}"
        )
    macro = report.macro
    rows = [("mean over statements", macro.accuracy, macro.f1)]
    rows += [(name, null.accuracy, null.f1) for name, null in macro.nulls.items()]
    rows += [("above best null", macro.accuracy_above_best_null, macro.f1_above_best_null)]
    lines += [f"{name:<50}{_long(a):>22}{_long(f1):>22}" for name, a, f1 in rows]
    lines.append(
        f"{report.completions} completions of {report.prompts} prompts; accuracy over "
        f"{macro.statements} statements, F1 over the {macro.statements_f1} that are ever true"
    )
    return "\n".join(lines)


def _short(estimate: Estimate | None) -> str:
    return "-" if estimate is None else f"{estimate.value:.3f}"


def _long(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
