"""Pages hold what they are given as data, and nothing from elsewhere."""

from pathlib import Path

import jinja2
import pytest

from judges.pages import page_environment, percent, render_page


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    (tmp_path / "page.jinja").write_text("<style>{{ css }}</style>{{ name }}{{ figures.a }}")
    return tmp_path


def test_given_text_is_escaped_and_figures_are_not(templates: Path) -> None:
    page = render_page(page_environment(templates), "page.jinja", {"a": "<svg/>"}, name="<script>")
    assert "&lt;script&gt;<svg/>" in page


@pytest.mark.parametrize("hidden", ["\x00", "\x1b", "\x9f", "\u202e", "\u2066", "\ud800"])
def test_a_character_that_hides_is_shown(hidden: str, templates: Path) -> None:
    page = render_page(page_environment(templates), "page.jinja", {"a": None}, name=f"a{hidden}b")
    assert "a\ufffdb" in page
    page.encode("utf-8")


def test_a_page_has_its_own_style_after_the_common_one(templates: Path) -> None:
    page = render_page(
        page_environment(templates), "page.jinja", {"a": None}, more_style="/* own */", name=""
    )
    assert page.index("color-scheme") < page.index("/* own */")


def test_a_template_that_lacks_a_value_is_refused(templates: Path) -> None:
    with pytest.raises(jinja2.UndefinedError):
        render_page(page_environment(templates), "page.jinja", {"a": None})


def test_a_share_is_read_in_percent() -> None:
    assert percent(0.125) == "12.5\u00a0%"
