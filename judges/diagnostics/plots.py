"""A matrix between principles as inline SVG: numbers in cells that take the page's colours."""

from collections.abc import Sequence
from html import escape

from judges.calibration.estimates import Estimate

CELL = 58
LABEL = 190
LONGEST = 22


def matrix_figure(
    names: Sequence[str],
    cells: dict[tuple[str, str], Estimate | None],
    title: str,
    *,
    percent: bool = False,
) -> str:
    """Every two principles' number, stronger the further from 0; below 0 in the other colour.

    `cells` holds each two once, in either order. Equal input gives equal bytes.
    """
    top = 40 + 5 * max(len(_short(name)) for name in names)
    size = CELL * len(names)
    parts = [
        f'<svg class="figure matrix" role="img" aria-label="{escape(_told(cells, title))}" '
        f'viewBox="0 0 {LABEL + size + 90} {top + size + 4}" '
        f'style="max-width:{LABEL + size + 90}px">'
    ]
    for place, name in enumerate(names):
        middle = top + CELL * place + CELL // 2
        label = escape(_short(name))
        parts.append(_text(LABEL - 10, middle + 4, label, "end"))
        across = LABEL + CELL * place + CELL // 2
        parts.append(
            f'<text x="{across}" y="{top - 10}" font-size="12" fill="var(--ink)" '
            f'transform="rotate(-40 {across} {top - 10})">{label}</text>'
        )
    for row, first in enumerate(names):
        for column, second in enumerate(names):
            if first != second:
                one = cells.get((first, second), cells.get((second, first)))
                at = (LABEL + CELL * column, top + CELL * row)
                parts.append(_cell(at, one, f"{first}, {second}", percent))
    return "".join([*parts, "</svg>"])


def _cell(at: tuple[int, int], one: Estimate | None, about: str, percent: bool) -> str:
    x, y = at
    box = f'<rect x="{x + 1}" y="{y + 1}" width="{CELL - 2}" height="{CELL - 2}" rx="4"'
    middle = x + CELL // 2
    if one is None:
        return f'{box} fill="var(--panel)"/>' + _text(middle, y + CELL // 2 + 4, "–", "middle")
    colour = "main" if one.value >= 0 else "other"
    strength = round(0.75 * min(1.0, abs(one.value)), 3)
    number = f"{100 * one.value:.0f} %" if percent else f"{one.value:.2f}"
    detail = escape(f"{about}: {one.value:.3f} ({one.low:.3f} to {one.high:.3f}, n {one.n})")
    return (
        f"<g><title>{detail}</title>{box} "
        f'fill="var(--{colour})" fill-opacity="{strength}" stroke="var(--line)"/>'
        f"{_text(middle, y + CELL // 2 + 4, number, 'middle')}</g>"
    )


def _text(x: int, y: int, text: str, anchor: str) -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="12" text-anchor="{anchor}" fill="var(--ink)">'
        f"{text}</text>"
    )


def _told(cells: dict[tuple[str, str], Estimate | None], title: str) -> str:
    told = [
        f"{a} and {b} {one.value:.2f} ({one.low:.2f} to {one.high:.2f}, n {one.n})"
        for (a, b), one in cells.items()
        if one is not None
    ]
    return f"{title}: {'; '.join(told)}"


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
