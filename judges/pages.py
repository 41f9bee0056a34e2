"""Pages as one HTML file each: no script, no font and no image from elsewhere.

Each kind of page has its template in its own folder; they share this style and this rendering.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

STYLE = Path(__file__).with_name("pages.css")
SPACES = "\t\n\r"
CONTROLS = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in SPACES}
CONTROLS |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd")
"""Characters that would hide or turn round what stands beside them."""


def page_environment(folder: Path) -> Environment:
    """The templates of a folder: what they are given is escaped, what they lack is an error."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_page(
    environment: Environment,
    template: str,
    figures: Mapping[str, str | None],
    *,
    more_style: str = "",
    **given: Any,
) -> str:
    """A template with our style and figures in it; equal input gives equal bytes.

    Figures must be SVG of ours: they are not escaped. A lone surrogate, which UTF-8 cannot hold,
    and control characters are made visible.
    """
    html = environment.get_template(template).render(
        css=Markup(STYLE.read_text("utf-8") + more_style),
        figures={name: svg and Markup(svg) for name, svg in figures.items()},
        **given,
    )
    html = html.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return html.translate(CONTROLS)


def percent(share: float) -> str:
    """A share as people read it, such as 12.5 %."""
    return f"{100 * share:.1f}\u00a0%"
