"""Calibrators: a judge's logits to logits whose sigmoid is the share of people who agree.

Rule of thumb: temperature for any number of labels, Platt from 50, isotonic from 500.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import orjson
from pydantic import Field, ValidationError, model_validator
from scipy.special import logit

from judges.calibration.estimates import FloatArray, refuse_empty
from judges.calibration.logistic import fit_logistic
from judges.canonical import digest
from judges.errors import DataError
from judges.jsonl import read_text, replacing
from judges.records import Record

CalibrationKind = Literal["temperature", "platt", "isotonic"]
PARAMETERS: dict[CalibrationKind, frozenset[str]] = {
    "temperature": frozenset({"slope"}),
    "platt": frozenset({"slope", "intercept"}),
    "isotonic": frozenset({"raw", "calibrated"}),
}


class Calibration(Record):
    """A fitted map from raw to calibrated logits; never decreasing."""

    kind: CalibrationKind
    """Which family of maps."""
    pairs: bool = True
    """Fitted on both orders: the map is antisymmetric, swapping a pair negates its logit."""
    parameters: dict[str, tuple[float, ...]]
    """`slope` (1 / temperature), `intercept`; isotonic: knots `raw` and `calibrated`, in logits."""
    n: int = Field(ge=1)
    """Labelled items it was fitted on, each counted once."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.parameters.keys() != PARAMETERS[self.kind]:
            raise ValueError(f"{self.kind} has the parameters {sorted(PARAMETERS[self.kind])}")
        if self.kind == "isotonic":
            raw, calibrated = self.parameters["raw"], self.parameters["calibrated"]
            if len(raw) != len(calibrated) or not raw:
                raise ValueError("isotonic needs as many raw as calibrated knots, at least one")
            if any(np.diff(raw) <= 0) or any(np.diff(calibrated) < 0):
                raise ValueError("isotonic knots must rise")
        elif any(len(value) != 1 for value in self.parameters.values()):
            raise ValueError(f"{self.kind} has one number a parameter")
        elif self.parameters["slope"][0] < 0:
            raise ValueError("the slope must not be negative: calibration keeps the order")
        return self

    @property
    def digest(self) -> str:
        """The sha-256 of its canonical JSON: what rankings and datasets name."""
        return digest(self.model_dump(mode="json"))

    @property
    def temperature(self) -> float | None:
        """What logits are divided by; None for isotonic, infinite where the judge knows nothing."""
        if self.kind == "isotonic":
            return None
        slope = self.parameters["slope"][0]
        return 1 / slope if slope else float("inf")

    def apply(self, logits: npt.ArrayLike) -> FloatArray:
        """The calibrated logits, of the same shape; NaN stays NaN."""
        raw = np.asarray(logits, dtype=np.float64)
        if self.kind == "isotonic":
            x, y = self.parameters["raw"], self.parameters["calibrated"]
            if self.pairs:
                return np.asarray(np.sign(raw) * np.interp(np.abs(raw), x, y))
            return np.asarray(np.interp(raw, x, y))
        slope = self.parameters["slope"][0]
        if slope == 0:
            raw = np.where(np.isnan(raw), raw, 0.0)  # 0 x infinity would be NaN: a lost verdict
        return np.asarray(slope * raw + self.parameters.get("intercept", (0.0,))[0])


def fit_calibration(
    kind: CalibrationKind,
    logits: npt.ArrayLike,
    labels: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    pairs: bool = True,
) -> Calibration:
    """The calibration of a kind that fits labelled logits best. Shapes: (n,) each.

    Labels are 0, 0.5 or 1. With `pairs`, each item counts in both orders, (x, y) and (−x, 1 − y).
    By symmetry Platt's intercept is then 0, so that Platt *is* temperature: an intercept
    would be a preference for the place, which judging both orders has cancelled already.
    Raises: DataError for no items, an unscored item, or a label that is none of the three.
    """
    x, y, w = checked(logits, labels, weights)
    if kind == "isotonic":
        parameters = _isotonic(x, y, w, pairs)
    else:
        parameters = _sigmoid(x, y, w, intercept=kind == "platt" and not pairs)
        if kind == "platt":
            parameters.setdefault("intercept", (0.0,))
    return Calibration(kind=kind, pairs=pairs, parameters=parameters, n=len(x))


def fit_temperature(
    logits: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> Calibration:
    """One number that all logits are divided by: right at any n. Antisymmetric by form.

    A judge that people contradict more often than not gets slope 0, every p 0.5: a negative slope
    would turn its order around. Source: Guo et al. 2017; targets as in Platt 1999.
    """
    return fit_calibration("temperature", logits, labels, weights)


def fit_temperature_within(
    scaled: Callable[[float], FloatArray], labels: npt.ArrayLike, weights: npt.ArrayLike
) -> Calibration:
    """The one number for a judge's votes that makes the verdicts they add up to likeliest.

    `scaled` gives the verdicts' logits when each vote is multiplied by a slope, the same pairs
    scored at any. Rules are not scaled, and which tier is decisive may change, so that the slope of
    the votes is not that of the verdicts; where it is, this is `fit_temperature`.
    Raises: DataError as that does.
    """
    verdicts = scaled(1.0)
    whole = fit_temperature(verdicts, labels, weights)
    if np.allclose(scaled(0.5), 0.5 * verdicts) and np.allclose(scaled(2.0), 2 * verdicts):
        return whole
    _, y, w = checked(verdicts, labels, weights)
    low, high = _targets(y, w, pairs=True)
    target = low + (high - low) * y

    def loss(slope: float) -> float:
        z = scaled(slope)
        return float(w @ (np.logaddexp(0, z) - target * z))

    # Decisive tiers make steps: a grid finds the valley, halved intervals its bottom.
    tried = [0.0, whole.parameters["slope"][0], *np.geomspace(1e-3, 1e2, 61)]
    best = min(tried, key=loss)
    ratio = float(np.geomspace(1e-3, 1e2, 61)[1] / 1e-3)
    for _ in range(20):
        ratio = ratio**0.5
        best = min((best, best * ratio, best / ratio), key=loss)
    return whole.model_copy(update={"parameters": {"slope": (float(best),)}})


def fit_platt(
    logits: npt.ArrayLike,
    labels: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    pairs: bool = True,
) -> Calibration:
    """Slope and intercept, from about 50 labels; for pairs the same as temperature.

    Source: Platt 1999, with his targets (N₊ + 1)/(N₊ + 2) and 1/(N₋ + 2).
    """
    return fit_calibration("platt", logits, labels, weights, pairs=pairs)


def fit_isotonic(
    logits: npt.ArrayLike,
    labels: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    pairs: bool = True,
) -> Calibration:
    """Any rising map, from about 500 labels on: with fewer it learns their noise.

    Fitted by pool-adjacent-violators, on both orders for pairs; probabilities stay within Platt's
    targets, so that none is 0 or 1. Source: Zadrozny and Elkan 2002.
    """
    return fit_calibration("isotonic", logits, labels, weights, pairs=pairs)


def read_calibration(path: Path) -> Calibration:
    """The calibration in a JSON file. Raises: DataError when it is absent or none."""
    try:
        return Calibration.model_validate_json(read_text(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise DataError(
            f"{path}: no calibration: {where}: {first['msg']}; write it with write_calibration"
        ) from None


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write it as JSON, whole or not at all; reading it back gives an equal one."""
    with replacing(path) as file:
        file.write(orjson.dumps(calibration.model_dump(mode="json"), option=orjson.OPT_INDENT_2))


def checked(
    logits: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Logits, labels and weights as arrays of one length.

    Raises: DataError for none, for a logit that is not finite, another label, a negative weight.
    """
    x, y = (np.asarray(values, dtype=np.float64) for values in (logits, labels))
    w = np.ones(len(x)) if weights is None else np.asarray(weights, dtype=np.float64)
    refuse_empty(len(x))
    if not x.shape == y.shape == w.shape or x.ndim != 1:
        raise DataError(f"shapes {x.shape}, {y.shape}, {w.shape} of logits, labels, weights differ")
    if not np.isfinite(x).all():
        raise DataError(f"item {int(np.argmin(np.isfinite(x)))}: unscored; leave it out first")
    if not np.isin(y, (0, 0.5, 1)).all():
        at = int(np.argmin(np.isin(y, (0, 0.5, 1))))
        raise DataError(f"item {at}: label {y[at]:g}; use 1 (first), 0 (second) or 0.5 (tie)")
    if not (np.isfinite(w).all() and w.min() >= 0 and w.sum() > 0):
        raise DataError("weights must be numbers from 0 up, and not all 0")
    return x, y, w


def _targets(y: FloatArray, w: FloatArray, pairs: bool) -> tuple[float, float]:
    """What labels 0 and 1 are fitted to: not 0 and 1 themselves, which few labels cannot show."""
    positive, negative = float(w @ y), float(w @ (1 - y))
    if pairs:
        positive = negative = positive + negative
    return 1 / (negative + 2), (positive + 1) / (positive + 2)


def _sigmoid(
    x: FloatArray, y: FloatArray, w: FloatArray, intercept: bool
) -> dict[str, tuple[float, ...]]:
    # Without an intercept (x, y) and (−x, 1 − y) have the same loss: one order is enough.
    low, high = _targets(y, w, pairs=not intercept)
    scale = float(np.abs(x).max()) or 1.0
    columns = [x / scale, np.ones(len(x))] if intercept else [x / scale]
    targets = low + (high - low) * y
    # A negative slope would turn the judge's order around: what it is worth is then nothing.
    lowest = [0.0, -np.inf][: len(columns)]
    beta = fit_logistic(np.column_stack(columns), targets, w, lowest=lowest)
    found: dict[str, tuple[float, ...]] = {"slope": (float(beta[0]) / scale,)}
    if intercept:
        found["intercept"] = (float(beta[1]),)
    return found


def _isotonic(
    x: FloatArray, y: FloatArray, w: FloatArray, pairs: bool
) -> dict[str, tuple[float, ...]]:
    from sklearn.isotonic import IsotonicRegression

    low, high = _targets(y, w, pairs)
    if pairs:
        x, y, w = np.r_[x, -x], np.r_[y, 1 - y], np.r_[w, w]
    fitted = IsotonicRegression(y_min=low, y_max=high).fit(x, y, w)
    raw = np.asarray(fitted.X_thresholds_, dtype=np.float64)
    calibrated = logit(np.asarray(fitted.y_thresholds_, dtype=np.float64))
    if pairs:
        # Half of the map says all; through (0, 0), since the pair and its swap are one.
        raw, calibrated = np.r_[0.0, raw[raw > 0]], np.r_[0.0, calibrated[raw > 0].clip(min=0)]
    calibrated = np.maximum.accumulate(calibrated)
    return {"raw": tuple(map(float, raw)), "calibrated": tuple(map(float, calibrated))}
