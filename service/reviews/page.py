"""The page on which people review: one file, its script within it, nothing from elsewhere."""

import base64
import hashlib
from functools import cache
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from judges.pages import page_environment, render_page

HERE = Path(__file__).parent
SCRIPT = (HERE / "review.js").read_text("utf-8")
_DIGEST = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
CONTENT_SECURITY = (
    f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_DIGEST}'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Only our own script runs, whatever a completion holds."""
STYLE = """
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .9rem; }
@media (max-width: 44rem) { .pair { grid-template-columns: 1fr; } }
.text { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--panel);
  border-radius: .5rem; padding: .8rem 1rem; min-height: 4rem; }
.chosen { outline: 3px solid var(--main); }
.bar { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1rem 0; align-items: center; }
button, input { font: inherit; color: inherit; background: var(--panel);
  border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .9rem; }
button { cursor: pointer; }
button:focus-visible, input:focus-visible { outline: 3px solid var(--main); outline-offset: 1px; }
kbd { border: 1px solid var(--line); border-radius: .25rem; padding: 0 .3rem; font-size: .8em; }
[hidden] { display: none !important; }
"""


@cache
def review_page() -> str:
    """The page. It holds no text of any review: its script asks for them."""
    return render_page(
        _environment(), "review.html.jinja", {}, more_style=STYLE, script=Markup(SCRIPT)
    )


def _environment() -> Environment:
    return page_environment(HERE)
