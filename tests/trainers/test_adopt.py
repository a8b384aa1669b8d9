"""What every adopted model is given: one end, its own padding, the meta-action tokens, and nothing that a later stage trips over."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import processors
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase
from zoo import END, OTHER, byte_tokenizer, put

from factory.coat import grammar
from factory.engines.sampler import Sampler
from factory.errors import DataError
from factory.language import tokens
from factory.language.conversation import said
from trainers import adopt, run, tokenizer

CHATML = "{% for turn in messages %}<|im_start|>{{ turn.role }}\n{{ turn.content }}<|im_end|>\n{% endfor %}"
PHI = "{% for turn in messages %}<|{{ turn.role }}|>\n{{ turn.content }}<|end|>\n{% endfor %}"


def take(hub_id: str = "hub", target: str = "base") -> tuple[Any, Any]:
    adopt.adopt(hub_id, grammar.ACTIONS.values(), sampling=Sampler, target=Path(target))
    return AutoModelForCausalLM.from_pretrained(target), AutoTokenizer.from_pretrained(target)


def declare(ends: Any, words: PreTrainedTokenizerBase | None = None, **generation: Any) -> PreTrainedTokenizerBase:
    """The folder `hub`, with these ends in its generation config."""
    words = words or byte_tokenizer()
    put(Path("hub"), "llama", words)
    Path("hub/generation_config.json").write_text(json.dumps({"eos_token_id": ends, **generation}), encoding="utf-8")
    return words


def chat_tokenizer(template: str, *others: str, **changes: Any) -> PreTrainedTokenizerBase:
    words = byte_tokenizer(extra_special_tokens=list(others), **changes)
    words.chat_template = template
    return words


def only_end(model: Any, words: Any, end: str) -> None:
    assert words.eos_token == end
    assert model.generation_config.eos_token_id == model.config.eos_token_id == words.eos_token_id
    assert Sampler(model, words).ends == [words.eos_token_id]


def test_of_several_ends_the_tokenizers_stays_and_the_others_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    words = byte_tokenizer(extra_special_tokens=["<|eom|>"])
    ids = words.convert_tokens_to_ids([OTHER, "<|eom|>", END])
    declare(ids, words)
    only_end(*take(), END)
    assert f"the end is {END} alone; {OTHER}, <|eom|> ended texts too" in capsys.readouterr().out


def test_a_chat_model_ends_with_its_turn(capsys: pytest.CaptureFixture[str]) -> None:
    """Phi-3: the tokenizer's end is <|endoftext|>, a turn ends with <|end|>; only the latter is what it writes behind an answer."""
    words = chat_tokenizer(PHI, "<|end|>", "<|user|>", "<|assistant|>", eos_token=OTHER)
    declare(words.convert_tokens_to_ids([OTHER, "<|assistant|>", "<|end|>"]), words)
    only_end(*take(), "<|end|>")
    assert "<|end|> alone; <|endoftext|>, <|assistant|>" in capsys.readouterr().out


def test_a_chat_model_whose_turn_ends_with_the_tokenizers_end_keeps_it() -> None:
    words = chat_tokenizer(CHATML, "<|im_start|>")
    declare(words.convert_tokens_to_ids([END, OTHER]), words)
    only_end(*take(), END)


def test_a_template_that_writes_no_end_leaves_the_tokenizers() -> None:
    declare([256], chat_tokenizer("{% for turn in messages %}{{ turn.content }}{% endfor %}"))
    only_end(*take(), END)


@pytest.mark.parametrize("template", ["{{ raise_exception('no') }}", "{{", "{# nothing #}", CHATML.replace("im_end|>\n", "im_end|><pad>")])
def test_a_template_that_takes_no_question_is_refused_in_one_line(template: str) -> None:
    declare([256], chat_tokenizer(template, pad_token="<pad>"))
    with pytest.raises(DataError, match=r"^hub: .*chat template .*choose another") as caught:
        take()
    assert "\n" not in str(caught.value)
    assert not Path("base").exists()


def test_a_chat_models_turn_ends_even_where_no_config_ends_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Qwen2.5's base: its configs and tokenizer end texts with <|endoftext|>, its template ends answers with <|im_end|>."""
    words = chat_tokenizer(CHATML, "<|im_start|>", "<|im_end|>", eos_token=OTHER, pad_token="<pad>")
    declare(words.convert_tokens_to_ids(OTHER), words)
    model, adopted = take()
    only_end(model, adopted, END)
    assert tokens.turn_end(adopted) == adopted.eos_token_id
    assert adopted.chat_template == CHATML
    assert f"the end is {END} alone; {OTHER} ended texts too" in capsys.readouterr().out


@pytest.mark.parametrize("lead", [(), ("<s>",), ("[CLS]",)])
def test_a_base_without_a_template_gets_the_plain_one_and_says_so(lead: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    words = byte_tokenizer(bos_token="<s>", extra_special_tokens=["[CLS]"])
    if lead:
        pieces = [*lead, "$A"]
        words.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=" ".join(pieces), special_tokens=[(token, words.convert_tokens_to_ids(token)) for token in lead]
        )
    declare([256], words)
    model, adopted = take()
    only_end(model, adopted, END)
    assert "base: hub has no chat template; it gets the plain one" in capsys.readouterr().out
    ((prompt, answer),) = tokens.sequence_ids(adopted, [said("user", "12 + 7?\n")], ["19"])
    assert adopted.convert_ids_to_tokens(prompt[: len(lead)]) == list(lead)
    assert (prompt, answer) == tokens.plain_sequence_ids(adopted, ["12 + 7?\n"], ["19"])[0]
    assert prompt == adopted("12 + 7?\n")["input_ids"]
    assert tokens.pair_ids(adopted, [(said("user", "12 + 7?\n"), "19")]) == [(prompt + answer, "")]


@pytest.mark.parametrize("ends", [257, [257, 9999], [9999, 257]])
@pytest.mark.slow
def test_a_tokenizer_without_an_end_takes_the_configs(ends: Any) -> None:
    declare(ends, byte_tokenizer(eos_token=None, pad_token="<pad>", unk_token="<unk>", extra_special_tokens=["</s>"]))
    assert AutoTokenizer.from_pretrained("hub").convert_ids_to_tokens(257) is not None
    config = json.loads(Path("hub/config.json").read_text(encoding="utf-8"))
    Path("hub/config.json").write_text(json.dumps({**config, "eos_token_id": None}), encoding="utf-8")
    model, words = take()
    only_end(model, words, AutoTokenizer.from_pretrained("hub").convert_ids_to_tokens(257))


@pytest.mark.parametrize("ends", [None, 9999, [-1, 5000]])
def test_no_end_anywhere_is_refused_with_what_to_do(ends: Any) -> None:
    declare(ends, byte_tokenizer(eos_token=None))
    config = json.loads(Path("hub/config.json").read_text(encoding="utf-8"))
    Path("hub/config.json").write_text(json.dumps({**config, "eos_token_id": ends}), encoding="utf-8")
    with pytest.raises(DataError, match=r"hub has no end of sequence.*copy it to a folder"):
        take()


@pytest.mark.parametrize(
    "values",
    [{"do_sample": False, "temperature": 0.6, "top_p": 0.9}, {"top_k": 20, "do_sample": False}, {"max_length": 20, "penalty_alpha": 0.6}],
)
@pytest.mark.slow
def test_sampling_values_that_could_not_be_saved_are_dropped(values: dict[str, Any]) -> None:
    words = declare([256], **values)
    model, _ = take()
    plain = GenerationConfig(eos_token_id=256, pad_token_id=words.pad_token_id)
    assert model.generation_config.to_diff_dict().keys() == plain.to_diff_dict().keys()
    model.save_pretrained("again")  # raised for the first two as they came


@pytest.mark.parametrize(
    ("changes", "own"),
    [
        ({"pad_token": END}, True),
        ({"pad_token": None}, True),
        ({"pad_token": "<unk>", "unk_token": "<unk>"}, True),
        ({"bos_token": "<|im_start|>", "pad_token": "<|im_start|>"}, True),
        ({"bos_token": "<|im_start|>", "pad_token": END}, True),  # SmolLM2
        ({"bos_token": END, "pad_token": END}, True),  # GPT-2
        ({"pad_token": "[PAD]"}, False),
    ],
)
@pytest.mark.slow
def test_padding_is_a_token_of_its_own(changes: dict[str, Any], own: bool) -> None:
    """An outcome reward model looks for the last token that is no padding: with pad = eos it would miss the eos."""
    put(Path("hub"), "llama", byte_tokenizer(**changes))
    model, words = take()
    assert words.pad_token == ("<|pad|>" if own else "[PAD]")
    assert words.pad_token_id not in {words.eos_token_id, words.bos_token_id, words.unk_token_id}
    assert model.config.pad_token_id == model.generation_config.pad_token_id == words.pad_token_id
    only_end(model, words, END)


@pytest.mark.slow
def test_a_tokenizer_with_more_tokens_than_the_embedding_has_rows() -> None:
    words = byte_tokenizer()
    model = put(Path("hub"), "gpt_neox", words, tie_word_embeddings=False)
    words.add_tokens(["<extra>", "<more>"])
    words.save_pretrained("hub")
    adopted, words = take()
    known = model.get_input_embeddings().weight
    weight = adopted.get_input_embeddings().weight
    assert len(weight) == len(words) > len(known)
    assert torch.equal(weight[: len(known)], known)
    assert torch.allclose(weight[len(known) :], known.mean(dim=0).expand_as(weight[len(known) :]), atol=1e-6)


@pytest.mark.slow
def test_the_bias_of_a_head_begins_at_the_mean_too() -> None:
    model = put(Path("hub"), "phi")
    with torch.no_grad():
        model.lm_head.bias += torch.arange(len(model.lm_head.bias)) % 3.0
    model.save_pretrained("hub")
    adopted, words = take()
    reflect = words.convert_tokens_to_ids("<|reflect|>")
    assert adopted.lm_head.bias[reflect].item() == pytest.approx(model.lm_head.bias.mean().item(), abs=1e-5)


@pytest.mark.parametrize("pad", [258, -1, 32000])
@pytest.mark.slow
def test_a_padding_id_outside_of_the_vocabulary_is_replaced(pad: int) -> None:
    put(Path("hub"), "llama")
    config = json.loads(Path("hub/config.json").read_text(encoding="utf-8"))
    Path("hub/config.json").write_text(json.dumps({**config, "pad_token_id": pad}), encoding="utf-8")
    model, words = take()
    assert model.config.pad_token_id == words.pad_token_id == 257


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.slow
def test_a_saved_base_is_loaded_and_saved_again_unchanged(kind: str) -> None:
    put(Path("hub"), kind)
    take()
    model, words = run.load(Path("base"))
    run.save_model(model, words, Path("again"))
    assert Path("base/generation_config.json").read_bytes() == Path("again/generation_config.json").read_bytes()


def hub_model(folder: Path, tied: bool) -> tuple[LlamaForCausalLM, int]:
    """A model without meta-action tokens, whose embedding matrix is longer than its vocabulary by two unused rows."""
    words = tokenizer.build(["Tom has 12 apples.\nSolve:\n12 + 7 = 19"], [], 64)
    torch.manual_seed(2)
    config = LlamaConfig(vocab_size=len(words) + 2, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
                         tie_word_embeddings=tied, pad_token_id=0, eos_token_id=1, bos_token_id=None)  # fmt: skip
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return model, len(words)


@pytest.mark.parametrize("tied", [True, False])
def test_a_hub_model_gets_the_three_tokens_with_mean_embeddings(tied: bool) -> None:
    model, known = hub_model(Path("hub"), tied)
    adopted, words = take()
    ids = words("<|continue|><|reflect|><|explore|>")["input_ids"]
    assert ids == [known, known + 1, known + 2]  # the first two take the unused rows, the third a new one
    assert words.decode(ids) == "<|continue|><|reflect|><|explore|>"
    for before, after in (
        (model.get_input_embeddings().weight, adopted.get_input_embeddings().weight),
        (model.get_output_embeddings().weight, adopted.get_output_embeddings().weight),
    ):
        assert after.shape == (known + 3, 16)
        assert torch.equal(after[:known], before[:known])
        for row in ids:
            assert torch.allclose(after[row], before[:known].mean(dim=0), atol=1e-7)


@pytest.mark.slow
def test_adopting_twice_adds_nothing() -> None:
    hub_model(Path("hub"), True)
    take("hub", "one")
    take("one", "two")
    assert Path("one/model.safetensors").read_bytes() == Path("two/model.safetensors").read_bytes()
    assert len(AutoTokenizer.from_pretrained("two")) == len(AutoTokenizer.from_pretrained("one"))
