"""What a judge is trained to answer: pairs, each asked under several principles in both orders.

Labels come from people, or from a larger judge whose votes stand in rankings. Every question has
its label as a probability, and its opposite the opposite label.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from random import Random
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from judges.cards.labelled import LabelledPair
from judges.constitutions.constitution import Constitution
from judges.errors import DataError
from judges.layout import pair_prompt
from judges.model import ModelPrompt
from judges.records import Message
from training.distilled_judge.contrasts import draw_contrast, say_again, turn_round
from training.distilled_judge.splitting import opening

Floats = NDArray[np.float64]
Kind = Literal["plain", "opposite", "contrast"]
ORDERS = 2
"""A pair as it stands, and turned round: so often each question is asked."""


class Asked(NamedTuple):
    """One principle on a pair."""

    principle: str
    """What the judge reads."""
    p_first: float
    """Probability that the first completion follows it better."""
    kind: Kind
    """The principle itself, its opposite, or another one."""


class PairQuestions(NamedTuple):
    """All that is asked of one pair; each question in both orders."""

    place: str
    """File and line, for messages."""
    conversation: tuple[Message, ...]
    """What both completions answer."""
    first: str
    """One completion."""
    second: str
    """The other."""
    asked: tuple[Asked, ...]
    """The principles, with their labels."""


class Mixture(NamedTuple):
    """How many questions of each kind a pair gets."""

    wordings: Sequence[str]
    """The principle that people labelled by, in several wordings, one of which is drawn."""
    certainty: float
    """Probability given to what one person says."""
    opposites: int
    """Questions turned round."""
    contrasts: int
    """Questions under principles whose answer code knows."""
    seed: int
    """Draws wordings and contrasts, for each pair by itself."""
    opposite_wordings: Sequence[str] = ()
    """The opposite of the principle in plain words, said in half of the questions turned round."""

    def plain(self, random: Random) -> str:
        """The principle in a wording drawn. Where opposites are asked too, half of them are spoken
        of as one to obey, for the frame alone shall not tell the two apart."""
        text = random.choice(self.wordings)
        return say_again(text, random) if self.opposites and random.random() < 0.5 else text

    def opposite(self, random: Random) -> str:
        """Its opposite: half in plain words, where the mixture has them."""
        if self.opposite_wordings and random.random() < 0.5:
            return random.choice(self.opposite_wordings)
        return turn_round(random.choice(self.wordings), random)


def questions_of_people(
    pairs: Sequence[LabelledPair], mixture: Mixture, source: str
) -> list[PairQuestions]:
    """People's pairs as questions; where several people said something, their mean counts."""
    return [_of_people(pair, mixture, f"{source}: {pair.item.id}") for pair in pairs]


def _of_people(pair: LabelledPair, mixture: Mixture, place: str) -> PairQuestions:
    random = Random(f"{mixture.seed}\n{pair.item.id}")
    said = pair.annotations or (pair.preferred,)
    p_first = 0.5 + (2 * mixture.certainty - 1) * (sum(said) / len(said) - 0.5)
    first, second = (completion.text for completion in pair.item.completions)
    asked = _of_the_principle(p_first, mixture, random)
    asked += _contrasts(first, second, mixture, random)
    return PairQuestions(place, pair.item.prompt, first, second, tuple(asked))


def _of_the_principle(p_first: float, mixture: Mixture, random: Random) -> list[Asked]:
    asked = [Asked(mixture.plain(random), p_first, "plain")]
    for _ in range(mixture.opposites):
        asked.append(Asked(mixture.opposite(random), 1 - p_first, "opposite"))
    return asked


def labelled_by(
    pairs: Sequence[PairQuestions], logit_B: Floats, share: float, spread: float | None
) -> list[PairQuestions]:
    """The pairs with labels of which a share is a teacher's; contrasts keep theirs.

    `logit_B`: its log-odds that the first completion follows the principle better. `spread`: the
    standard deviation, in nats, that they are scaled to; absent: their own.
    """
    scale = spread / max(float(logit_B.std()), 1e-9) if spread else 1.0
    p_B = 1 / (1 + np.exp(-scale * logit_B))
    return [_taught(pair, p, share) for pair, p in zip(pairs, p_B.tolist(), strict=True)]


def _taught(pair: PairQuestions, p_first: float, share: float) -> PairQuestions:
    says = {"plain": p_first, "opposite": 1 - p_first}
    return pair._replace(
        asked=tuple(
            one._replace(p_first=(1 - share) * one.p_first + share * says[one.kind])
            if one.kind in says
            else one
            for one in pair.asked
        )
    )


def strangers_of(
    pairs: Sequence[PairQuestions], each: float, mixture: Mixture
) -> Iterator[PairQuestions]:
    """Pairs that nobody labelled: a completion of a pair's own, and one that answers another.

    So many for each pair on average, a few less, each drawn for it alone, asked under the principle
    and its opposite. All labels are 0.5, until a judge gives them others.
    """
    for pair in pairs:
        random = Random(f"{mixture.seed}\n{pair.place}")
        for _ in range(int(each + random.random())):
            (other,) = random.choices(pairs)
            if opening(other.conversation) != opening(pair.conversation):
                first = random.choice((pair.first, pair.second))
                second = random.choice((other.first, other.second))
                if random.random() < 0.5:
                    first, second = second, first
                asked = tuple(_of_the_principle(0.5, mixture, random))
                place = f"{pair.place}, beside a completion of {other.place}"
                yield PairQuestions(place, pair.conversation, first, second, asked)


def questions_of_ranking(
    place: str,
    line: Mapping[str, Any],
    constitution: Constitution,
    family: str,
    mixture: Mixture,
) -> list[PairQuestions]:
    """What a larger judge said under a family's principles of one ranking line's completions.

    Its probability is the label. None where the line is not scored, or has no such vote.
    Raises: DataError when the constitution has no judged principle of the family.
    """
    texts = {
        principle.id: principle.text
        for principle in constitution.principles
        if principle.text is not None and principle.family == family
    }
    if not texts:
        families = sorted({p.family for p in constitution.principles if p.text and p.family})
        raise DataError(
            f"{constitution.reference}: no judged principle of the family {family!r}; it has "
            f"{', '.join(families) or 'none'}"
        )
    return list(_of_ranking(place, line, texts, mixture)) if line["status"] == "scored" else []


def _of_ranking(
    place: str, line: Mapping[str, Any], texts: Mapping[str, str], mixture: Mixture
) -> Iterator[PairQuestions]:
    conversation = tuple(Message.model_validate(message) for message in line["prompt"])
    for i, j in combinations(range(len(line["completions"])), 2):
        first, second = line["completions"][i], line["completions"][j]
        random = Random(f"{mixture.seed}\n{line['id']}\n{i}\n{j}")
        asked: list[Asked] = []
        for name, text in texts.items():
            p = line["principles"][name]["p"][i][j] if name in line["principles"] else None
            if p is not None:
                of_it = mixture._replace(wordings=(text,), opposite_wordings=())
                asked += _of_the_principle(p, of_it, random)
        if asked:
            asked += _contrasts(first, second, mixture, random)
            yield PairQuestions(place, conversation, first, second, tuple(asked))


def _contrasts(first: str, second: str, mixture: Mixture, random: Random) -> list[Asked]:
    drawn = [draw_contrast(first, second, random) for _ in range(mixture.contrasts)]
    return [Asked(text, p, "contrast") for text, p in dict.fromkeys(filter(None, drawn))]


def prompts_of(pair: PairQuestions) -> Iterator[tuple[ModelPrompt, float]]:
    """Each question as the judge is asked it, in both orders, with the label of option A."""
    for asked in pair.asked:
        for first, second, label in (
            (pair.first, pair.second, asked.p_first),
            (pair.second, pair.first, 1 - asked.p_first),
        ):
            yield pair_prompt(pair.conversation, first, second, asked.principle), label
