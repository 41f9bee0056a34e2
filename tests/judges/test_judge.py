"""What of a judge is part of its votes' keys, and what is not."""

import pytest

from judges.judge import RULE_SETTING, Judge, settings_of
from judges.layout import PAIR_OPTIONS, YES_NO_OPTIONS
from judges.models.fake import FakeModel, FakeSettings


def judge(floor: float = 0.01, **planted: float) -> Judge:
    return Judge("j", FakeModel(FakeSettings.model_validate(planted)), floor)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param(judge(), True, id="the same judge"),
        pytest.param(judge(latency_s=1), True, id="a slower server"),
        pytest.param(judge(seed=1), False, id="another model"),
        pytest.param(judge(floor=0.5), False, id="another floor of label mass"),
    ],
)
def test_settings_are_shared_exactly_when_answers_would_be(other: Judge, same: bool) -> None:
    assert (settings_of([judge()]) == settings_of([other])) is same


def test_pairs_scopes_and_rules_never_share_a_key() -> None:
    settings = settings_of([judge()])
    assert len({*settings.pair, *settings.applies, settings.rule}) == 3
    assert settings.rule == RULE_SETTING.digest
    assert judge().setting("pair").options == PAIR_OPTIONS
    assert judge().setting("applies").options == YES_NO_OPTIONS
