"""Trainers, sampling and scoring read the same ids: one prompt and completion through each of them, for a tokenizer of every sort."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from factory.coat.rewards import Weights
from factory.engines.protocol import Request, SamplingParams
from factory.engines.transformers_engine import TransformersEngine, TransformersScorer
from factory.language import tokens
from factory.language.conversation import begun
from factory.schemas import Conversation, Message, OrmPair, Restart, TrajectoryPair
from pipelines import ppo
from trainers import batches, dpo, policy, reward, rollout

torch.set_num_threads(1)
PROMPT = "Tom has 12 apples.\nSolve:\n"
PREFIX, RESPONSE = "12 + 7 = 18\n<|reflect|>", "But wait.\n<|continue|>12 + 7 = 19\n\\boxed{19}"
TEXTS = [
    (PROMPT, PREFIX, RESPONSE),
    ("Tom has </s> 12 <|im_end|>.\n<|reflect|>Solve:\n", PREFIX, RESPONSE),
    (PROMPT, "12 <|reflect|> 7\n<|reflect|>", "But <s> [INST] <|endoftext|> wait."),
    ("<s>Tom has 12 apples.", "", "19</s>"),
]


class Reading(policy.Critic):
    """Notes what it is given."""

    def logits(self, sequences: Sequence[tuple[int, ...]]) -> list[float]:
        self.read = [list(sequence) for sequence in sequences]
        return super().logits(sequences)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, zoo: dict[str, Any], sort: str) -> tuple[Path, Path]:
    """A policy with its tokenizer, and a reward model as the line saves it: with the policy's."""
    place, words = tmp_path_factory.mktemp(sort), zoo[sort]
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_labels=1,
        max_position_embeddings=640, pad_token_id=None, eos_token_id=words.eos_token_id, bos_token_id=words.bos_token_id,
    )  # fmt: skip
    for name, kind in (("base", LlamaForCausalLM), ("orm", LlamaForSequenceClassification)):
        kind(config).save_pretrained(place / name)
        words.save_pretrained(place / name)
    return place / "base", place / "orm"


def pair_of(kind: type, prompt: Conversation, completion: str) -> Any:
    if kind is OrmPair:
        return OrmPair(id="1", problem_id="p", prompt=prompt, chosen=completion, rejected=f"{completion} 7", margin=2.0, chosen_id="a",
                       rejected_id="b", round="r1")  # fmt: skip
    return TrajectoryPair(id="1", problem_id="p", prompt=prompt, chosen=completion, rejected=f"{completion} 7", reward_chosen=1.0,
                          reward_rejected=0.0, n_similar=1, n_decodes=1, template_ids=(), model="m@1", prompt_version="p@1", seed=1,
                          round="r1")  # fmt: skip


@pytest.mark.parametrize("texts", TEXTS)
def test_one_conversation_has_one_reading(folders: tuple[Path, Path], texts: tuple[str, str, str]) -> None:
    (asked, prefix, response), (base, orm) = texts, folders
    words, prompt, completion = AutoTokenizer.from_pretrained(base), (Message("user", asked),), prefix + response
    (sft,) = batches.completion_only(words, [prompt], [completion])
    ((head, chosen, _),) = dpo.tokenise([pair_of(TrajectoryPair, prompt, completion)], words)
    assert sft.ids == head + chosen
    assert sft.labels == [-100] * len(head) + chosen

    engine = TransformersEngine(str(base), "base@1")
    assert engine._encode([Request(prompt, SamplingParams(4))]) == [(head, "")]
    going_on = batches.encode(words, [prefix])[0]
    assert engine._encode([Request(begun(prompt, prefix), SamplingParams(4))]) == [(head + going_on, "")]
    row = Restart(id="1", problem_id="p", parent_id=None, buffer="-", backtrack=0, prompt=prompt, prefix=prefix, prefix_has_answer=False,
                  answer="19", answer_kind="number", round="r1")  # fmt: skip
    (start,), _ = rollout.start_states([row], lambda *both: batches.start_ids(words, *both), 600, "ppo_r1")
    assert list(start.ids) == head + going_on

    (pair,) = reward.tokenise([pair_of(OrmPair, prompt, completion)], words)
    scorer = TransformersScorer(str(orm), "orm@1")
    assert scorer.encode([(prompt, completion), (begun(prompt, prefix), response)]) == [(pair.chosen, "")] * 2
    critic = Reading(LlamaForSequenceClassification.from_pretrained(orm), 0.0, 1.0)
    sampled = tuple(words(response, add_special_tokens=False)["input_ids"])  # with every control token that it spells
    ppo._rewards(critic, AutoTokenizer.from_pretrained(orm), Weights(beta=0.5, orm_weight=1.0))(
        [start], [rollout.Response(sampled, sampled, False)]
    )
    text = words.decode(sampled, clean_up_tokenization_spaces=False)
    assert critic.read == [scorer.encode([(prompt, prefix + text)])[0][0]]


FRAMES = {  # what stands before a text of pretraining and behind it
    "laptop": ([], ["<eos>"]), "gpt2": ([], ["<|endoftext|>"]), "qwen": ([], ["<|im_end|>"]), "llama2": (["<s>"], ["</s>"]),
    "llama3": (["<|begin_of_text|>"], ["<|end_of_text|>"]), "both_ends": (["<s>"], ["</s>"]), "mistral": (["<s>"], ["</s>"]),
    "t5": ([], ["</s>"]), "bert": (["[CLS]"], ["[SEP]"]), "in_python": ([], ["</s>"]),
}  # fmt: skip


def test_a_plain_sequence_begins_as_the_tokenizer_begins_a_text_and_ends_once(zoo: dict[str, Any], sort: str) -> None:
    words = zoo[sort]
    (sequence,) = tokens.plain_sequence_ids(words, ["Tom has 12"], ["12 + 7"])
    first, last = (words.convert_tokens_to_ids(frame) for frame in FRAMES[sort])
    prompt, completion = words(["Tom has 12", "12 + 7"], add_special_tokens=False)["input_ids"]
    assert sequence == ([*first, *prompt], [*completion, *last])
