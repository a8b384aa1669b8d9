"""Models with chat templates of every sort, as they would lie on the Hub, and token by token what the line trains on with them.

A line is a run of tokens: `+` with loss (of PPO: the policy's actions), `-` without. ␣ is a space, ⏎ a newline. The conversations:

    INSTRUCTED   system "Count.", user "3 + 4?"   QUESTION   user "3 + 4?"      answers "3 + 4 = 8\\n<|reflect|>But wait.\\n7", "7", "8"
"""

from dataclasses import dataclass, replace

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers import trainers as bpe
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from factory.language.conversation import said
from factory.schemas import Message
from trainers import run, tokenizer

WRONG, MENDED = "3 + 4 = 8", "\n<|reflect|>But wait.\n7"
QUESTION = said("user", "3 + 4?")
INSTRUCTED = (Message("system", "Count."), *QUESTION)
CHATML = (
    "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system\nBe brief.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
INST = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content | trim }} [/INST]{% elif m.role == 'assistant' %}"
    " {{ m.content | trim }}{{ eos_token }}{% else %}{{ raise_exception('only user and assistant') }}{% endif %}{% endfor %}"
)
TURNS = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


@dataclass(frozen=True)
class Sort:
    """A model as it would lie on the Hub, and what comes of it."""

    template: str
    special: dict[str, str | None]
    begun: str  # what the tokenizer puts before every text by itself
    bos: int  # how many a question of one turn holds
    end: str
    closing: str
    sft: list[str]  # of INSTRUCTED
    orm: list[str]  # of QUESTION: chosen, rejected
    dpo: list[str]  # of QUESTION: prompt, chosen, rejected
    ppo: list[str]  # of QUESTION


LAPTOP = Sort(
    template=tokenizer.CHAT_TEMPLATE, special={}, begun="", bos=0, end="<eos>", closing="<eos>",
    sft=["- Count . 3 + 4 ? 3 + 4 = 8", "+ ⏎ <|reflect|> But wait . ⏎ 7 <eos>"],
    orm=["3 + 4 ? 7 <eos>", "3 + 4 ? 8 <eos>"],
    dpo=["3 + 4 ?", "7 <eos>", "8 <eos>"],
    ppo=["- 3 + 4 ? 3 + 4 = 8 ⏎ <|reflect|>", "+ But wait . ⏎ 7 <eos>"],
)  # fmt: skip
SMOLLM2 = Sort(  # bos opens turns, eos ends them and is the padding too
    template=CHATML, begun="", bos=3, end="<|im_end|>", closing="<|im_end|> ⏎",
    special={"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "unk_token": "<|endoftext|>", "pad_token": "<|im_end|>"},
    sft=[
        "- <|im_start|> system ⏎ Count . <|im_end|> ⏎ <|im_start|> user ⏎ 3 ␣+ ␣4 ? <|im_end|> ⏎ <|im_start|> assistant ⏎ 3 ␣+ ␣4 ␣= ␣8",
        "+ ⏎ <|reflect|> But ␣wait . ⏎ 7 <|im_end|>",
    ],
    orm=[
        "<|im_start|> system ⏎ Be ␣brief . <|im_end|> ⏎ <|im_start|> user ⏎ 3 ␣+ ␣4 ? <|im_end|> ⏎ <|im_start|> assistant ⏎ 7 <|im_end|> ⏎",
        "<|im_start|> system ⏎ Be ␣brief . <|im_end|> ⏎ <|im_start|> user ⏎ 3 ␣+ ␣4 ? <|im_end|> ⏎ <|im_start|> assistant ⏎ 8 <|im_end|> ⏎",
    ],
    dpo=[
        "<|im_start|> system ⏎ Be ␣brief . <|im_end|> ⏎ <|im_start|> user ⏎ 3 ␣+ ␣4 ? <|im_end|> ⏎ <|im_start|> assistant ⏎",
        "7 <|im_end|>",
        "8 <|im_end|>",
    ],
    ppo=[
        "- <|im_start|> system ⏎ Be ␣brief . <|im_end|> ⏎ <|im_start|> user ⏎ 3 ␣+ ␣4 ? <|im_end|> ⏎ <|im_start|> assistant ⏎ "
        "3 ␣+ ␣4 ␣= ␣8 ⏎ <|reflect|>",
        "+ But ␣wait . ⏎ 7 <|im_end|>",
    ],
)  # fmt: skip
QWEN2 = replace(SMOLLM2, bos=0, special={"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"})
QWEN2_BASE = replace(QWEN2, special={"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"})  # no config ends where its turns end
MISTRAL = Sort(  # refuses a system turn; writes a BOS, which the tokenizer puts before every text, too; strips contents
    template=INST, special={"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}, begun="<s>", bos=1, end="</s>", closing="</s>",
    sft=["- <s> [INST] ␣ Count . ⏎ ⏎ 3 ␣+ ␣4 ? ␣ [/INST] 3 ␣+ ␣4 ␣= ␣8", "+ ⏎ <|reflect|> But ␣wait . ⏎ 7 </s>"],
    orm=["<s> [INST] ␣ 3 ␣+ ␣4 ? ␣ [/INST] ␣7 </s>", "<s> [INST] ␣ 3 ␣+ ␣4 ? ␣ [/INST] ␣8 </s>"],
    dpo=["<s> [INST] ␣ 3 ␣+ ␣4 ? ␣ [/INST]", "7 </s>", "8 </s>"],
    ppo=["- <s> [INST] ␣ 3 ␣+ ␣4 ? ␣ [/INST] 3 ␣+ ␣4 ␣= ␣8 ⏎ <|reflect|>", "+ But ␣wait . ⏎ 7 </s>"],
)  # fmt: skip
GEMMA = Sort(  # its turns do not end with the tokenizer's eos; refuses a system turn; BOS as above
    template=TURNS, special={"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}, begun="<bos>", bos=1, end="<end_of_turn>",
    closing="<end_of_turn> ⏎",
    sft=[
        "- <bos> <start_of_turn> user ⏎ Count . ⏎ ⏎ 3 ␣+ ␣4 ? <end_of_turn> ⏎ <start_of_turn> model ⏎ 3 ␣+ ␣4 ␣= ␣8",
        "+ ⏎ <|reflect|> But ␣wait . ⏎ 7 <end_of_turn>",
    ],
    orm=[
        "<bos> <start_of_turn> user ⏎ 3 ␣+ ␣4 ? <end_of_turn> ⏎ <start_of_turn> model ⏎ 7 <end_of_turn> ⏎",
        "<bos> <start_of_turn> user ⏎ 3 ␣+ ␣4 ? <end_of_turn> ⏎ <start_of_turn> model ⏎ 8 <end_of_turn> ⏎",
    ],
    dpo=["<bos> <start_of_turn> user ⏎ 3 ␣+ ␣4 ? <end_of_turn> ⏎ <start_of_turn> model ⏎", "7 <end_of_turn>", "8 <end_of_turn>"],
    ppo=[
        "- <bos> <start_of_turn> user ⏎ 3 ␣+ ␣4 ? <end_of_turn> ⏎ <start_of_turn> model ⏎ 3 ␣+ ␣4 ␣= ␣8 ⏎ <|reflect|>",
        "+ But ␣wait . ⏎ 7 <end_of_turn>",
    ],
)  # fmt: skip
SORTS = {"laptop": LAPTOP, "smollm2": SMOLLM2, "qwen2": QWEN2, "qwen2 base": QWEN2_BASE, "mistral": MISTRAL, "gemma": GEMMA}


def from_the_hub(sort: Sort) -> PreTrainedTokenizerBase:
    """Byte-level BPE in which the words of these tests are tokens."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    text = [sort.template, run.PROBE, WRONG + MENDED, "Count.\nsystem\nuser\nassistant\nmodel"]
    special = [
        token for token in ("<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]") if token in sort.template
    ]
    core.train_from_iterator(text * 9, bpe.BpeTrainer(vocab_size=900, initial_alphabet=letters, show_progress=False))
    words = PreTrainedTokenizerFast(tokenizer_object=core, extra_special_tokens=special, chat_template=sort.template, **sort.special)
    if sort.begun:
        first = (sort.begun, words.convert_tokens_to_ids(sort.begun))
        words.backend_tokenizer.post_processor = processors.TemplateProcessing(single=f"{sort.begun} $A", special_tokens=[first])
    return words
