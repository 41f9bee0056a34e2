"""From a judge's logits to features: phi = P(yes), derived statements, classes of completions."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from judges.calibration.estimates import FloatArray, IntArray
from judges.errors import DataError
from judges.propositions.conditions import probability
from judges.propositions.scheme import PropositionScheme

UNCLASSED = -1


def yes_probabilities(logits_NF: npt.ArrayLike) -> FloatArray:
    """phi, the probability of yes from its log-odds; NaN, a missing answer, stays NaN."""
    return np.asarray(expit(np.asarray(logits_NF, dtype=np.float64)))


def derived_probabilities(phi_NF: FloatArray, scheme: PropositionScheme) -> FloatArray:
    """P(condition) of each derived statement, in the scheme's order; NaN where one is missing.

    The statements count as independent; see `judges.propositions.conditions`.
    Shapes: (N, F) → (N, D).
    """
    columns = _columns(phi_NF, scheme)
    found = [probability(meaning, columns) for meaning in scheme.meanings.values()]
    return np.column_stack(found) if found else np.empty((len(phi_NF), 0))


def class_probabilities(
    phi_NF: FloatArray, scheme: PropositionScheme, kinds: Sequence[str] | None = None
) -> FloatArray:
    """P(class) of each completion, best class first; NaN where a statement it needs is missing.

    `kinds` names each prompt's kind, where the scheme's classes depend on it. A row sums to 1
    where the classes leave nothing out, else to less.
    Shapes: (N, F), N kinds → (N, C).
    """
    columns = _columns(phi_NF, scheme)
    of_row = np.array(kinds if kinds is not None else [""] * len(phi_NF), dtype=object)
    if len(of_row) != len(phi_NF):
        raise DataError(f"{len(of_row)} kinds for {len(phi_NF)} completions; give one each")
    found = np.full((len(phi_NF), len(scheme.classes)), np.nan)
    for kind in dict.fromkeys(of_row.tolist()):
        rows = of_row == kind
        inside = {name: column[rows] for name, column in columns.items()}
        for number, condition in enumerate(scheme.class_conditions(kind or None)):
            found[rows, number] = probability(condition, inside)
    return found


def likeliest_classes(probabilities_NC: FloatArray) -> IntArray:
    """The class that each completion most probably is; UNCLASSED where one is NaN or all are 0.

    Of equally likely classes the worse is taken: doubt never raises a completion.
    Shapes: (N, C) → (N,).
    """
    last = probabilities_NC.shape[1] - 1
    if last < 0:
        return np.full(len(probabilities_NC), UNCLASSED)
    worst_first = probabilities_NC[:, ::-1]
    best = last - np.argmax(np.nan_to_num(worst_first), axis=1)
    known = ~np.isnan(probabilities_NC).any(axis=1) & (probabilities_NC > 0).any(axis=1)
    return np.where(known, best, UNCLASSED)


def _columns(phi_NF: FloatArray, scheme: PropositionScheme) -> dict[str, FloatArray]:
    if phi_NF.ndim != 2 or phi_NF.shape[1] != len(scheme.names):
        raise DataError(
            f"phi has shape {phi_NF.shape}; one column for each of {len(scheme.names)} statements"
        )
    return dict(zip(scheme.names, phi_NF.T, strict=True))
