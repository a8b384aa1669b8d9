"""The audit of demonstrations, on rows that are counted by hand."""

import xml.etree.ElementTree as ET
from collections import Counter
from math import log
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory import storage
from factory.coat.grammar import ACTIONS, action_counts, split_steps
from factory.language.conversation import said
from factory.reports.agreement import Share
from factory.reports.demonstration_counts import LeadIns, Tally, lead_ins, tallies
from factory.reports.demonstrations import demonstrations, grouped, records, rejected, yield_of
from factory.reports.page import Figure, Prose, Table
from factory.reports.scan import Scan
from factory.schemas import CriticJudgement, Demonstration, Problem, Reject

PLAIN = "12 + 7 = 19\n\\boxed{19}"
VERIFIED = "12 + 7 = 19\n<|reflect|>Let me check. 12 + 7 is 19. Right.\n<|continue|>\\boxed{19}"
CORRECTED = "12 + 7 = 18\n<|reflect|>But wait: 12 + 7 is not 18.\n<|explore|>This time, add 7.\n<|continue|>12 + 7 = 19\n\\boxed{19}"


def row(number: int, kind: str, completion: str, critic: str = "none") -> Demonstration:
    return Demonstration(
        id=str(number), problem_id="p", type=kind, prompt=said("user", "…"), completion=completion, score=0.0, critic=critic, model="m@1",
        prompt_version="solve@1", seed=1, round="base",
    )  # fmt: skip


def reject(number: int, reason: str, parent: str) -> Reject:
    return Reject(id=str(number), stage="demonstrations", parent_id=parent, reason=reason, row="{}")


def problem() -> Problem:
    return Problem(
        id="p", source="world", family="tally", group="procedures", split="train", instance="i", problem="Tom has 12 and finds 7.",
        answer="19", answer_kind="number", solution=PLAIN,
    )  # fmt: skip


def table(blocks: list, caption: str) -> Table:
    return next(block for block in blocks if isinstance(block, Table) and block.caption.startswith(caption))


def counted(path: Path, rows: list[Demonstration]) -> tuple[dict[str, Tally], list[LeadIns]]:
    storage.write_rows(path / "demonstrations.parquet", Demonstration, rows)
    with Scan.of(path / "demonstrations.parquet") as scan:
        return tallies(scan), lead_ins(scan)


BLANKS = ("\n", "\n\n", " ", "\t", "\u00a0", "\u2003", "\x85", "\x1c", "\r")
PIECES = st.sampled_from([*ACTIONS.values(), *BLANKS, "é", "12 + 7", "But wait:", "This time,", "Let me check.", "<|", "'", "\\boxed{19}"])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(PIECES, max_size=12).map("".join), min_size=1, max_size=20))
def test_sql_counts_words_steps_and_actions_as_the_grammar_does(tmp_path: Path, texts: list[str]) -> None:
    found, _ = counted(tmp_path, [row(number, "I", text) for number, text in enumerate(texts)])

    def words(text: str) -> int:
        for token in ACTIONS.values():
            text = text.replace(token, f" {token} ")
        return len(text.split())

    assert found["I"].words == Counter(map(words, texts))
    assert found["I"].steps == Counter(len(split_steps(text)) for text in texts)
    totals = Counter[str]()
    for text in texts:
        totals.update(action_counts(text))
    assert +found["I"].actions == +totals


def test_types_with_lengths_and_actions(tmp_path: Path) -> None:
    rows = [row(1, "I", PLAIN), row(2, "I", "a b\n" + PLAIN), row(3, "III-I", CORRECTED, "reference")]
    plain, corrected = records(counted(tmp_path, rows)[0])
    assert (plain.type, plain.rows, plain.of, plain.by_reference, plain.reflect) == ("I", 2, 3, 0, 0.0)
    assert (plain.words_median, plain.words_p90, plain.steps_median) == (7, 8, 2.5)  # 6 and 8 words; 2 and 3 lines
    assert (corrected.reflect, corrected.explore, corrected.go_on, corrected.by_reference) == (1.0, 1.0, 1.0, 1)


def test_a_rank_is_the_smallest_value_that_nine_tenths_do_not_exceed(tmp_path: Path) -> None:
    rows = [row(number, "I", "word " * number) for number in range(1, 11)]
    (found,) = records(counted(tmp_path, rows)[0])
    assert (found.words_p90, found.words_median) == (9, 5.5)


def test_lead_ins_by_what_they_are_for(tmp_path: Path) -> None:
    rows = [row(1, "II-I", VERIFIED), row(2, "II-I", VERIFIED.replace("Let me check.", "Is this right?")), row(3, "III-I", CORRECTED)]
    rows += [row(4, "III-I", CORRECTED.replace("But wait:", "Hm.")), row(5, "I", PLAIN)]
    verify, criticise, explore = counted(tmp_path, rows)[1]
    assert verify.counts == {"Let me check.": 1, "Let me stop here and check.": 0, "Is this right?": 1}
    assert verify.entropy == pytest.approx(log(2) / log(3))  # two of three phrases, alike
    assert (criticise.situation, criticise.counts["But wait:"], criticise.other, criticise.entropy) == ("criticise", 1, 1, 0.0)
    assert explore.counts["This time,"] == 2
    assert LeadIns("verify", {"a": 5, "b": 5, "c": 5}, 0).entropy == pytest.approx(1.0)
    assert LeadIns("verify", {"a": 0}, 3).entropy == 0.0


def test_yield_is_of_candidates_and_rollouts_are_apart(tmp_path: Path) -> None:
    rejects = [reject(1, "the same text", "p"), reject(2, "still wrong", "rollout"), reject(3, "still wrong", "other")]
    storage.write_rows(tmp_path / "rejects.parquet", Reject, rejects)
    storage.write_rows(tmp_path / "problems.parquet", Problem, [problem()])
    found = yield_of(2, *rejected(tmp_path / "rejects.parquet", tmp_path / "problems.parquet"))
    assert found.refused == (("the same text", 1),)
    assert found.accepted == Share(2, 4)
    assert found.rejects == (("still wrong", 2),)


def test_a_long_tail_of_reasons_is_one_line() -> None:
    rejects = {f"no COAT trajectory: step {n}": 1 for n in range(3)} | {"still wrong": 1, "leaks": 1}
    assert grouped(rejects, most=2) == (("no COAT trajectory", 3), ("leaks", 1), ("1 other reasons", 1))
    assert len(grouped(rejects, most=5)) == 5  # few reasons stay as they are


def test_the_section_has_every_table(small_line) -> None:
    small_line.write("problems", Problem, [problem()])
    small_line.write("demonstrations", Demonstration, [row(1, "I", PLAIN), row(2, "III-I", CORRECTED, "llm")])
    judged = CriticJudgement(
        id="j", critic="llm", kind="critique", problem_id="p", parent_id="r", request_id="q", parsed=True, leaks=True, said_step=1,
        text="In Step 1: 12 + 7 is not 18.\nAlternatively: it is 19.", reference_step=1, compared=True, accepted=False,
        reason="the hint leaks the answer", verdict="wrong",
    )  # fmt: skip
    small_line.write("critic_judgements", CriticJudgement, [judged])
    storage.write_rows(storage.REJECTS / "demonstrations.parquet", Reject, [reject(1, "the hint leaks the answer", "r")])
    storage.LOGS.mkdir(parents=True, exist_ok=True)
    (storage.LOGS / "demonstrations_usage.csv").write_text(
        "role,model,requests,failed,prompt_tokens,completion_tokens,dollars\ncritic,m@1,4,1,300,100,0.5\ngenerator,base@1,2,0,60,40,\n"
    )
    blocks = list(demonstrations())
    assert [len(list(ET.fromstring(block.svg).iter())) > 5 for block in blocks if isinstance(block, Figure)] == [True, True]
    assert table(blocks, "Types").rows[0][:5] == ("I", "1", "50.0 %", "0", "6")
    assert next(block.text for block in blocks if isinstance(block, Prose)).startswith("Yield: 2 of 3 (66.7 %) of the candidates")
    assert table(blocks, "Hints").rows == (
        ("llm, all asked", "1", "1 of 1 (100.0 %)", "0", "1 of 1 (100.0 %)", ""),
        ("in accepted rows", "1", "0 of 1 (0.0 %)", "0", "0 of 1 (0.0 %)", "0 of 1 (0.0 %)"),
    )
    assert table(blocks, "Tokens and cost").rows == (
        ("critic", "m@1", "4", "1", "300", "100", "200", "0.50", "0.2500"),  # 400 tokens and half a dollar over 2 rows
        ("generator", "base@1", "2", "0", "60", "40", "50", "", ""),
    )


def test_nothing_is_said_without_demonstrations(small_line) -> None:
    (storage.TABLES / "demonstrations.parquet").unlink()
    assert list(demonstrations()) == []
