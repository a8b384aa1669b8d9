import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from served import asked
from transformers import AutoTokenizer, LlamaForCausalLM

from factory.engines.protocol import Request, SamplingParams
from factory.engines.requests import StoredEngine
from factory.engines.store import Store
from factory.engines.thinking import split
from factory.engines.transformers_engine import TransformersEngine, TransformersScorer
from factory.errors import EngineError
from factory.language.conversation import begun
from factory.schemas import Message

HOT = SamplingParams(max_tokens=12, temperature=1.0)


@pytest.fixture(scope="module")
def engine(model_folder: Path) -> TransformersEngine:
    return TransformersEngine(str(model_folder), "base@1", batch=8)


def test_text_ids_and_reasons(engine: TransformersEngine, tokenizer: Any) -> None:
    found = engine.generate([Request(asked("a b c"), HOT, seed=seed) for seed in range(20)])
    for completion in found:
        assert completion.text == tokenizer.decode(completion.token_ids)
        assert "<eos>" not in completion.text
        assert completion.prompt_tokens == 3
        assert completion.finish_reason == ("length" if completion.tokens == 12 else "stop")
        assert completion.logprobs is None
    assert {completion.finish_reason for completion in found} == {"stop", "length"}
    assert any("<|reflect|>" in completion.text for completion in found), "special tokens stay in the text"
    by_ids = engine.generate([Request(tuple(tokenizer("a b c").input_ids), HOT, seed=4)])[0]
    assert by_ids == found[4]


def test_mixed_sampling_keeps_the_order(engine: TransformersEngine) -> None:
    greedy = SamplingParams(max_tokens=5, logprobs=True)
    mixed = engine.generate(
        [Request(asked("a"), HOT, seed=1), Request(asked("b"), greedy), Request(asked("c d"), HOT, seed=2), Request(asked("e"), greedy)]
    )
    assert [completion.logprobs is None for completion in mixed] == [True, False, True, False]
    assert [len(completion.logprobs or ()) for completion in mixed[1::2]] == [completion.tokens for completion in mixed[1::2]]
    assert mixed[2] == engine.generate([Request(asked("c d"), HOT, seed=2)])[0]
    assert mixed[3].token_ids == engine.generate([Request(asked("e"), greedy)])[0].token_ids


def test_a_stop_string_is_cut_from_the_text(engine: TransformersEngine) -> None:
    free = engine.generate([Request(asked("a b c"), HOT, seed=3)])[0]
    words = free.text.split()
    assert words[2] not in words[:2]
    held = engine.generate([Request(asked("a b c"), SamplingParams(12, 1.0, stop=(words[2],)), seed=3)])[0]
    assert held.finish_reason == "stop"
    assert held.text == free.text[: free.text.index(words[2])]
    assert held.token_ids == free.token_ids[:3], "what was sampled, the stop string included"


def test_one_bad_request_kills_nothing(engine: TransformersEngine) -> None:
    long, schema, empty, strange, below, good = engine.generate(
        [
            Request(asked("a " * 60), HOT), Request(asked("a"), HOT, schema="{}"), Request(asked(""), HOT),
            Request((5, 9999), HOT), Request((5, -1), HOT), Request(asked("a b c"), HOT, seed=4),
        ]
    )  # fmt: skip
    assert (long.finish_reason, long.error, long.prompt_tokens) == ("error", "the prompt has 60 tokens, the model's context holds 48", 60)
    assert schema.error == "answers that follow a schema need the engine vllm or openai"
    assert empty.error == "the prompt is empty"
    assert strange.error == "token id 9999 is outside of the vocabulary of 24"
    assert below.error == "token id -1 is outside of the vocabulary of 24"
    assert good == engine.generate([Request(asked("a b c"), HOT, seed=4)])[0]


def templated(folder: Path, target: Path, template: str) -> TransformersEngine:
    shutil.copytree(folder, target)
    (target / "chat_template.jinja").write_text(template)
    return TransformersEngine(str(target), "chat@1")


def test_conversations_go_through_the_chat_template(engine: TransformersEngine, model_folder: Path, tmp_path: Path) -> None:
    chat = templated(
        model_folder, tmp_path / "chat",
        "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools\nplease') }}{% endif %}{{ m.content }} "
        "{% endfor %}{% if add_generation_prompt %}t{% endif %}",
    )  # fmt: skip
    assert chat.generate([Request(asked("a b"), HOT, seed=1)]) == engine.generate([Request(asked("a b t"), HOT, seed=1)])
    begun_there, begun_here = Request(begun(asked("a b"), "c d"), HOT, seed=1), Request(asked("a b t c d"), HOT, seed=1)
    assert chat.generate([begun_there]) == engine.generate([begun_here])
    refused, fine = chat.generate([Request((Message("tool", "a"),), HOT), Request(asked("a b"), HOT, seed=1)])
    assert refused.error == "the chat template of chat@1 refuses these messages: no tools"
    assert fine.error is None


def test_without_a_chat_template_the_remedy_is_named(model_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder, tmp_path / "bare")
    (folder / "chat_template.jinja").unlink()
    (answer,) = TransformersEngine(str(folder), "bare@1").generate([Request(asked("a"), HOT)])
    assert (answer.error or "").startswith("bare@1 has no chat template: adopt it as a base")


def test_generation_stops_at_the_end_of_turn(model_folder: Path, tmp_path: Path) -> None:
    turn = "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}<|reflect|>{% endif %}{% endfor %}"
    chat = templated(model_folder, tmp_path / "chat", turn)
    found = chat.generate([Request(asked("a b c"), HOT, seed=seed) for seed in range(20)])
    plain = TransformersEngine(str(model_folder), "base@1").generate([Request(asked("a b c"), HOT, seed=seed) for seed in range(20)])
    assert any("<|reflect|>" in completion.text for completion in plain)
    for ended, free in zip(found, plain, strict=True):
        assert ended.text.strip() == free.text.partition("<|reflect|>")[0].strip()
        assert ended.finish_reason == ("stop" if "<|reflect|>" in free.text else free.finish_reason)


def test_a_thought_that_the_template_opens_begins_the_text(model_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder, tmp_path / "thinks")
    words = AutoTokenizer.from_pretrained(folder)
    words.add_tokens(["<think>", "</think>"])
    words.chat_template = "{% for m in messages %}{{ m.content }} {% endfor %}{% if add_generation_prompt %}<think>\n{% endif %}"
    words.save_pretrained(folder)
    model = LlamaForCausalLM.from_pretrained(folder)
    with torch.random.fork_rng(), torch.no_grad():  # new rows are random: a thought must neither end at once nor never
        torch.manual_seed(0)
        model.resize_token_embeddings(len(words), mean_resizing=False)
        model.get_output_embeddings().weight[-2:] = 0
    model.save_pretrained(folder)
    engine = StoredEngine(TransformersEngine(str(folder), "t@1"), Store(tmp_path / "requests.sqlite"), "rollouts")
    *thought, answered = engine.generate(
        [*(Request(asked("a b"), HOT, seed=seed) for seed in range(60)), Request(begun(asked("a b"), "c </think> d"), HOT)]
    )
    for one in thought:
        assert (one.reasoning, one.text) == split("<think>" + words.decode(one.token_ids))
    assert any(one.reasoning and not one.text for one in thought), "cut off while it thought"
    assert any(one.reasoning and one.text for one in thought)
    assert (answered.reasoning, answered.text) == (None, words.decode(answered.token_ids)), "its thought stands in the words begun"


def test_replay_from_the_store_loads_no_model(engine: TransformersEngine, tmp_path: Path) -> None:
    requests = [Request(asked("a b c"), SamplingParams(12, 1.0, logprobs=True), seed=seed, ordinal=seed) for seed in range(6)]
    first = StoredEngine(engine, Store(tmp_path / "requests.sqlite"), "rollouts", chunk=4).generate(requests)
    gone = TransformersEngine(str(tmp_path / "no such folder"), "base@1")
    assert StoredEngine(gone, Store(tmp_path / "requests.sqlite"), "rollouts").generate(requests) == first
    with pytest.raises(EngineError, match="no such folder cannot be loaded"):
        gone.generate(requests)


def test_a_broken_folder_is_one_line(model_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder, tmp_path / "broken")
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(EngineError, match="broken cannot be loaded") as caught:
        TransformersEngine(str(folder), "broken@1").generate([Request(asked("a"), HOT)])
    assert "\n" not in str(caught.value)


def test_scores_are_the_models_own_whatever_the_company(reward_folder: Path, tokenizer: Any) -> None:
    from transformers import AutoModelForSequenceClassification

    scorer = TransformersScorer(str(reward_folder), "orm_base@1")
    texts = [("a b ", "c"), ("a b c d e f g ", "h i j\n<|reflect|> k"), ("t", ""), ("a b ", "d")]
    pairs = [(asked(prompt), completion) for prompt, completion in texts]
    scores = scorer.score(pairs)
    model = AutoModelForSequenceClassification.from_pretrained(reward_folder, dtype=torch.float32)
    for pair, text, score in zip(pairs, texts, scores, strict=True):
        ids = [*tokenizer(text[0]).input_ids, *tokenizer(text[1]).input_ids, tokenizer.eos_token_id]
        with torch.inference_mode():
            assert score == pytest.approx(float(model(input_ids=torch.tensor([ids])).logits[0, 0]), abs=1e-4)
        assert scorer.score([pair]) == pytest.approx([score], abs=1e-4)
    assert len({round(score, 4) for score in scores}) == 4
    assert scorer.score([]) == []


def test_a_pair_beyond_the_context_has_no_score(reward_folder: Path) -> None:
    scorer = TransformersScorer(str(reward_folder), "orm_base@1")
    long, short, edge = scorer.score([(asked("a " * 30), "b " * 30), (asked("a"), "b"), (asked("a " * 27), "b " * 20)])
    assert math.isnan(long)
    assert not math.isnan(short)
    assert not math.isnan(edge), "27 + 20 + end of sequence are the 48 that fit"


def test_a_reward_model_with_a_chat_template_reads_a_conversation(reward_folder: Path, tmp_path: Path, tokenizer: Any) -> None:
    folder = shutil.copytree(reward_folder, tmp_path / "chat")
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ 'p' if m.role == 'user' else 'q' }} {{ m.content }} {% endfor %}"
    )
    scorer = TransformersScorer(str(folder), "chat@1")
    assert scorer.encode([(asked("a b"), "c"), (begun(asked("a b"), "c"), " d")]) == [
        (tokenizer("p a b q c").input_ids, ""), (tokenizer("p a b q c d").input_ids, ""),
    ]  # fmt: skip


def test_a_conversation_that_cannot_be_read_has_no_score_and_says_why(
    reward_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(reward_folder, tmp_path / "chat")
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content | replace('a', 'b') }} {% endfor %}")
    none, some = TransformersScorer(str(folder), "chat@1").score([(asked("a <|reflect|> b"), "c"), (asked("a b"), "c")])
    assert math.isnan(none)
    assert not math.isnan(some)
    assert "chat@1: a pair without a score: the chat template of chat@1 rewrites the messages" in capsys.readouterr().err


@pytest.mark.parametrize("prompt", ["a <|reflect|> b", "a <eos> b", "a\n<|reflect|> b", "<pad> a b"])
def test_a_prompt_that_spells_a_control_token_is_read_as_text(engine: TransformersEngine, tokenizer: Any, prompt: str) -> None:
    ((ids, why),) = engine._encode([Request(asked(prompt), HOT)])
    assert why == ""
    assert set(ids) <= {*tokenizer("a b").input_ids, tokenizer.unk_token_id}
    assert len(ids) == 3


def test_a_language_model_is_no_reward_model(model_folder: Path) -> None:
    with pytest.raises(EngineError, match=r"lacks the weights score\.weight: it is no model for this role"):
        TransformersScorer(str(model_folder), "base@1").score([(asked("a"), "b")])


@pytest.mark.parametrize(
    ("tied", "says"), [(True, r"is a classifier or reward model \(LlamaForSeq"), (False, r"lacks the weights lm_head\.weight")]
)
def test_a_reward_model_is_no_language_model(tokenizer: Any, tmp_path: Path, tied: bool, says: str) -> None:
    """With tied weights nothing is missing: it would write what its embeddings say of a body that was trained for scores."""
    from transformers import LlamaConfig, LlamaForSequenceClassification

    small = LlamaConfig(
        vocab_size=24, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_labels=1,
        max_position_embeddings=64, tie_word_embeddings=tied,
    )  # fmt: skip
    LlamaForSequenceClassification(small).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(EngineError, match=says):
        TransformersEngine(str(tmp_path), "orm_base@1").generate([Request(asked("a"), SamplingParams(max_tokens=2))])


def test_a_classifier_with_two_labels_is_no_reward_model(tokenizer: Any, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForSequenceClassification

    small = LlamaConfig(vocab_size=24, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_labels=2)
    LlamaForSequenceClassification(small).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(EngineError, match="has 2 labels, a reward model has 1"):
        TransformersScorer(str(tmp_path), "classifier@1").score([(asked("a"), "b")])
