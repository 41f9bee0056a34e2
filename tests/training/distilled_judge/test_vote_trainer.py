"""The loss, and that a tree is answered as its prompts are one by one."""

from pathlib import Path

import pytest

from tests.training.distilled_judge.made_questions import MIXTURE, pair
from tests.training.tiny_policy import make_policy
from training.distilled_judge.questions import questions_of_people
from training.distilled_judge.vote_encoder import VoteEncoder

pytestmark = pytest.mark.slow


def test_loss_is_the_labels_cross_entropy_over_the_whole_vocabulary() -> None:
    import torch

    from training.distilled_judge.vote_trainer import vote_loss

    logits_AV = torch.tensor([[1.0, 2.0, 0.5, -1.0], [0.0, 0.0, 3.0, 0.0]])
    p_A = torch.tensor([0.8, 0.1])
    logp = logits_AV.log_softmax(-1)
    expected = -(0.8 * logp[0, 1] + 0.2 * logp[0, 2] + 0.1 * logp[1, 1] + 0.9 * logp[1, 2]) / 2
    found = vote_loss(logits_AV, (1, 2), p_A, torch.ones(2))
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)
    one = vote_loss(logits_AV, (1, 2), p_A, torch.tensor([0.5, 0.0]))
    assert one.item() == pytest.approx(-(0.8 * logp[0, 1] + 0.2 * logp[0, 2]).item(), abs=1e-6)


def test_a_tree_is_answered_as_its_prompts_alone(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from training.distilled_judge.lower_layers import answers

    folder = make_policy(tmp_path / "model")
    encoder = VoteEncoder(str(folder))
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()
    made = [questions_of_people([pair(n)], MIXTURE, "made")[0] for n in (0, 1)]
    for questions in made:
        ids, _ = encoder.encode(questions)
        with torch.no_grad():
            together_AV = answers(model, encoder.tree(questions)[0])
            alone_AV = torch.stack([model(torch.tensor([one])).logits[0, -1] for one in ids])
        assert torch.allclose(together_AV, alone_AV, atol=1e-5)
        assert not torch.allclose(together_AV[0], together_AV[1], atol=1e-4)
