"""A look has a number for each thing watched, with its n; what lacks a score has none."""

from pathlib import Path

from tests.training.guard.looks import look
from training.guard.observation import best_of
from training.guard.record_file import GuardFile


def test_each_number_has_its_n_and_interval() -> None:
    found = look(4, [0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0])
    assert found.proxy is not None and (found.proxy.value, found.proxy.n) == (0.5, 4)
    assert found.proxy.low < 0.5 < found.proxy.high
    assert found.kl is not None and found.kl.value == 1.0
    assert (found.words.value, found.sane.value, found.repeated.value) == (7.0, 1.0, 0.0)
    assert found.refused is not None and (found.refused.value, found.refused.n) == (0.5, 2)
    assert found.variance is not None and found.variance.value == 0.5
    assert found.falls == {}


def test_unscored_completions_are_counted_and_no_number_stands_for_them() -> None:
    found = look(0, [None, 1.0], [None, None])
    assert found.unscored == {"proxy": 1, "rules": 2}
    assert found.proxy is not None and (found.proxy.value, found.proxy.n) == (1.0, 1)
    assert found.held_out == {"rules": None}
    assert found.values["rules"] == (None, None)
    assert best_of([found]) is None


def test_a_held_out_reward_that_falls_is_told_and_the_best_look_is_named() -> None:
    first = look(0, [0.0] * 20, [0.5] * 20)
    second = look(2, [0.5] * 20, [0.9] * 20, [first])
    third = look(4, [1.0] * 20, [0.2] * 20, [first, second])
    assert not second.falls["rules"].shown
    fall = third.falls["rules"]
    assert fall.shown and fall.best == 1 and fall.level == 0.05 / 4
    assert best_of([first, second, third]) is second


def test_looks_after_the_checkpoint_and_half_a_line_leave_the_file(tmp_path: Path) -> None:
    file = GuardFile(tmp_path)
    assert file.read(9) == []
    looks = [look(step, [0.5] * 4, [0.5] * 4) for step in (0, 2, 4)]
    for one in looks:
        file.append(one)
    with file.path.open("ab") as stream:
        stream.write(b'{"step": 6, "compl')
    assert file.read(2) == looks[:2]
    assert GuardFile(tmp_path).read(9) == looks[:2]
