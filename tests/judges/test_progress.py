"""In a log, progress is a line now and then; it never goes to stdout."""

import pytest

from judges.progress import progress, say


def test_a_log_gets_the_first_and_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("ranking", "prompts") as report:
        for done in range(1, 101):
            report(done, 100)
    seen = capsys.readouterr()
    assert seen.out == ""
    first, last = seen.err.splitlines()
    assert first.startswith("ranking: 1/100 prompts, 0 s")
    assert last.startswith("ranking: 100/100 prompts")


def test_what_is_said_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("nine scored")
    assert capsys.readouterr() == ("", "nine scored\n")
