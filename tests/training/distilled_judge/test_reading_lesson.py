"""The lesson in reading: a direction of a middle layer's state says what is asked."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.distilled_judge.made_questions import MIXTURE, pair
from tests.training.tiny_policy import make_policy
from training.distilled_judge.questions import questions_of_people
from training.distilled_judge.vote_encoder import VoteEncoder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy(tmp_path_factory.mktemp("reading") / "model")


def load(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)


def test_the_lesson_is_a_cross_entropy_at_the_answers_of_two_kinds(folder: Path) -> None:
    import torch

    from training.distilled_judge.lower_layers import answers, lower_states
    from training.distilled_judge.reading_lesson import ReadingLesson

    encoder, model = VoteEncoder(str(folder)), load(folder)
    tree, _ = encoder.tree(questions_of_people([pair(0)], MIXTURE, "made")[0])
    (state_TD,) = lower_states(model, tree, [model.model.layers[1]])
    lesson = ReadingLesson(model, 0)
    model.train()
    answers(model, tree)
    kind_A = torch.tensor([0, 0, 1, 1] + [2] * (len(tree.last_A) - 4))
    loss, right = lesson.loss(tree.last_A, kind_A)
    at_AD = state_TD[torch.from_numpy(tree.last_A)][:4].float()
    logit_A = at_AD / at_AD.square().mean(1, keepdim=True).sqrt() @ lesson.direction_D
    sign_A = torch.tensor([-1.0, -1.0, 1.0, 1.0])
    assert loss.item() == pytest.approx(
        (1 + (-sign_A * logit_A).exp()).log().mean().item(), abs=0.02
    )
    assert right == pytest.approx((sign_A * logit_A > 0).float().mean().item())
    answers(model, tree)
    loss, right = lesson.loss(tree.last_A, torch.full((len(tree.last_A),), 2))
    assert (loss.item(), right) == (0, None)


def test_it_teaches_the_layers_below_it_and_no_other(folder: Path) -> None:
    """And what it teaches is whether the principle is turned round."""
    import torch

    from training.distilled_judge.lower_layers import answers
    from training.distilled_judge.reading_lesson import ReadingLesson
    from training.distilled_judge.token_tree import join_trees

    encoder, model = VoteEncoder(str(folder)), load(folder)
    made = questions_of_people([pair(n) for n in range(8)], MIXTURE._replace(contrasts=0), "made")
    tree = join_trees([encoder.tree(one)[0] for one in made])
    kind_A = torch.tensor(np.tile([0, 0, 1, 1], 8))
    lesson = ReadingLesson(model, 0)
    model.train()
    told = []
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(30):
        answers(model, tree)
        loss, right = lesson.loss(tree.last_A, kind_A)
        told.append(right or 0.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert model.model.layers[0].mlp.up_proj.weight.grad is not None
    assert model.model.layers[1].mlp.up_proj.weight.grad is None
    assert np.mean(told[:3]) < 0.7 < np.mean(told[-3:])
