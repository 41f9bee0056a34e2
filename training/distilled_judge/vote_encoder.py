"""Training questions as the very token ids that the transport `token_ids` sends to a judge."""

from judges.layout import PAD_TO, PAIR_OPTIONS, PREFILL
from judges.models.chat_template import PromptEncoder
from judges.policies import model_folder
from training.distilled_judge.questions import PairQuestions, prompts_of
from training.distilled_judge.token_tree import TokenTree, merge_prompts


class VoteEncoder:
    """Encodes for one model."""

    def __init__(self, model: str) -> None:
        """Raises: ConfigError when the model's tokenizer or template cannot be used."""
        self.encoder = PromptEncoder(model_folder(model))
        self.options = self.encoder.option_ids(PREFILL, PAIR_OPTIONS)

    def encode(self, pair: PairQuestions) -> tuple[list[list[int]], list[float]]:
        """Each prompt's ids, both orders of each question, and the label of option A."""
        asked = list(prompts_of(pair))
        return [self.encoder.encode(prompt, PAD_TO) for prompt, _ in asked], [p for _, p in asked]

    def tree(self, pair: PairQuestions) -> tuple[TokenTree, list[float]]:
        """All of a pair's prompts merged, and their labels."""
        prompts, labels = self.encode(pair)
        return merge_prompts(prompts), labels

    def fits(self, pair: PairQuestions, max_length: int) -> bool:
        """Whether no prompt is longer: one that is cut off would be another question."""
        return max(map(len, self.encode(pair)[0])) <= max_length
