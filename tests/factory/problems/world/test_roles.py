"""Pretraining text: every role, disjoint from every split, honest arithmetic, within the world's conventions."""

import re
from collections import Counter

import pytest

from factory.coat.demonstrations.lead_ins import CRITIQUE, EXPLORE, LEAD_INS, VERIFY
from factory.errors import ParamsError
from factory.params import Corpus, World
from factory.problems.world import FAMILIES, STRATEGIES, draw_problems, role_texts
from factory.problems.world.arithmetic import EQUATION, execute, parse_equation
from factory.problems.world.model import WAYS
from factory.problems.world.roles import ROLES
from factory.problems.world.strategies import operations
from factory.schemas import CorpusText, Problem

WORLD = World(train=1200, dev=120, heldout=480, unseen=200, max_steps=4, max_number=99)
CORPUS = Corpus(texts=500 * len(ROLES), roles=dict.fromkeys(ROLES, 1.0))


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    return draw_problems(WORLD, seed=1)


@pytest.fixture(scope="module")
def texts(problems: list[Problem]) -> list[CorpusText]:
    return role_texts(CORPUS, WORLD, {problem.instance for problem in problems}, seed=1)


def of(texts: list[CorpusText], role: str) -> list[CorpusText]:
    return [text for text in texts if text.role == role]


def whole(text: CorpusText) -> str:
    return text.prompt + text.completion


@pytest.mark.slow
def test_disjoint_from_every_split(texts: list[CorpusText], problems: list[Problem]) -> None:
    splits = {problem.instance for problem in problems}
    assert not splits & {text.instance for text in texts}
    wordings = {problem.problem for problem in problems}
    assert not any(whole(text).split("\n")[0] in wordings for text in texts)
    unseen = {name for name, family in FAMILIES.items() if family.unseen}
    assert not unseen & {text.family for text in texts}


@pytest.mark.slow
def test_every_role_in_its_share_and_families_balanced(texts: list[CorpusText]) -> None:
    assert Counter(text.role for text in texts) == dict.fromkeys(ROLES, 500)
    assert len({text.id for text in texts}) == len(texts)
    families = Counter(text.family for text in of(texts, "solve"))
    assert max(families.values()) - min(families.values()) <= 1


def test_conventions(texts: list[CorpusText]) -> None:
    for text in texts:
        assert not re.search(r"  | \n|\n\n|\n ?$|\d \d| [.,?:;)]", whole(text)), whole(text)
        for piece in re.findall(r"\d+ ?[-+*/=] ?\d+", whole(text)):
            assert re.fullmatch(r"\d+ [-+*/=] \d+", piece), whole(text)


def test_vocabulary_is_small_and_covers_every_problem(texts: list[CorpusText], problems: list[Problem]) -> None:
    known = {word for text in texts for word in re.findall(r"[^\W\d_]+", whole(text))}
    assert len(known) <= 300
    asked = {word for problem in problems for word in re.findall(r"[^\W\d_]+", f"{problem.problem} {problem.solution}")}
    assert asked <= known


def test_solve_shows_right_steps_only(texts: list[CorpusText]) -> None:
    for text in of(texts, "solve"):
        assert all(equation.holds for line in whole(text).split("\n") if (equation := parse_equation(line)))


def test_read_gives_the_numbers_in_order(texts: list[CorpusText]) -> None:
    for text in of(texts, "read"):
        assert text.completion == ", ".join(re.findall(r"\d+", text.prompt))


def test_compute_is_honest(texts: list[CorpusText]) -> None:
    """A false equation is found at once and put right."""
    signs: Counter[str] = Counter()
    for text in of(texts, "compute"):
        lines = whole(text).split("\n")
        for place, equation in enumerate(map(parse_equation, lines)):
            if equation and equation.holds:
                signs[equation.sign] += 1
            elif equation:
                assert lines[place + 1].endswith(f"{equation.term} is not {equation.value}.")
                assert lines[place + 3] == f"{equation.term} = {equation.true_value}"
    assert set(signs) == set("+-*/")


def test_reflections_begin_with_known_words(texts: list[CorpusText]) -> None:
    """The tokenizer knows the corpus only, and demonstrations are told in these words."""
    known = {word for text in texts for word in re.findall(r"[^\W\d_]+", whole(text))}
    assert {word for lead_in in LEAD_INS for word in re.findall(r"[^\W\d_]+", lead_in)} <= known


def test_verify_recomputes(texts: list[CorpusText]) -> None:
    verdicts: Counter[str] = Counter()
    for text in of(texts, "verify"):
        *_, last, _, verdict = whole(text).split("\n")
        if right := re.fullmatch(r"(\d+ [-+*/] \d+) is (\d+)\. Right\.", verdict):
            equation = parse_equation(f"{right[1]} = {right[2]}")
            assert equation
            assert equation.holds
            verdicts["right"] += 1
        elif wrong := re.fullmatch(r"(\d+ [-+*/] \d+) is not (\d+)\.", verdict):
            equation = parse_equation(f"{wrong[1]} = {wrong[2]}")
            assert equation
            assert not equation.holds
            verdicts["wrong"] += 1
        else:
            missed = re.fullmatch(r"(\d+) is not (\d+)\.", verdict)
            assert missed, verdict
            assert missed[1] != missed[2]
            verdicts["missed"] += 1
        if (equation := parse_equation(last)) and not equation.holds:
            assert verdict == f"{equation.term} is not {equation.value}."
    assert min(verdicts.values()) > 30
    assert len(verdicts) == 3


@pytest.mark.slow
def test_continue_never_writes_a_false_equation(problems: list[Problem]) -> None:
    guesses, twice = 0, 0
    corpus = Corpus(texts=3000, roles={"continue": 1.0})  # given guesses are its rarest kind
    for text in role_texts(corpus, WORLD, {problem.instance for problem in problems}, seed=1):
        prompt, completion = text.prompt, text.completion
        assert all(equation.holds for line in completion.split("\n") if (equation := parse_equation(line)))
        assert completion.split("\n")[-1].startswith("\\boxed{")
        if "Try" in completion and any(lead_in in prompt for lead_in in EXPLORE) and "check it again" not in prompt:
            last, following = (re.findall(r"Try (.+)\.", part) for part in (prompt, completion))
            assert (WAYS.index(following[0]) - WAYS.index(last[-1])) % len(WAYS) == 1, whole(text)
        guesses += FAMILIES[text.family].group == "search" and prompt.count("Try") == 1 and not completion.startswith("Try")
        twice += prompt.count("Try") == 2
        last = prompt.split("\n")[-2]
        assert last.startswith(EXPLORE if any(lead_in in prompt for lead_in in CRITIQUE) else VERIFY), prompt
    assert guesses > 50  # given guesses that go on honestly
    assert twice > 100  # a second wrong attempt behind the critique of the first


def test_check_takes_the_given_guess_as_it_is(texts: list[CorpusText]) -> None:
    """Its arithmetic is true, also where it misses the target; the box is the guess's own."""
    missed = 0
    for text in of(texts, "check"):
        assert FAMILIES[text.family].group == "search"
        question, (make, guess) = text.prompt.split("\nSolve:\n")[0], text.prompt.splitlines()[-2:]
        *lines, outcome, box = text.completion.split("\n")
        equations = [parse_equation(line) for line in lines]
        wanted = make.removeprefix("Make ").removesuffix(".")
        assert wanted in re.findall(r"\d+", question)
        off = equations[-1]
        assert off
        assert int(wanted) in (off.left, off.right)
        assert outcome == ("Right." if off.value == 0 else "Wrong.")
        assert re.fullmatch(r"Try [^\n]+\.", guess)
        assert equations
        assert all(equation and equation.holds for equation in equations), whole(text)
        *_, first, second, third = [equation.sign for equation in equations[:-1] if equation]
        gone = WAYS[1:].index(guess[4:-1]) if guess != "Try none." else None
        assert [place for place, sign in enumerate((first, second, third)) if sign == "-"] == ([] if gone is None else [gone]), whole(text)
        assert box.removeprefix("\\boxed{").removesuffix("}") in guess
        missed += outcome == "Wrong."
    assert 0.6 < missed / 500 <= 0.95  # mostly wrong guesses, so that the target is no clue to the result


def test_retry_goes_round_once(texts: list[CorpusText]) -> None:
    """Each wrong way once in the order of the ring, then the right one; what is said of a miss is true of it."""
    for text in of(texts, "retry"):
        lines = text.completion.split("\n")
        tried = [WAYS.index(line[4:-1]) for line in lines if line.startswith("Try ")]
        assert [(way - tried[0]) % len(WAYS) for way in tried] == list(range(len(WAYS)))
        assert [line for line in lines if line in ("Right.", "Wrong.")] == ["Wrong."] * 3 + ["Right."]
        assert text.completion.endswith(f"Right.\n\\boxed{{{WAYS[tried[-1]]}}}")
        wanted = lines[0].removeprefix("Make ").removesuffix(".")
        said = [match for line in lines if (match := re.search(r"(\d+) is not (\d+)\.", line))]
        assert [match[2] for match in said] == [wanted] * 3
        assert all(match[1] != wanted for match in said)
        assert [line.split(" not ")[1] for line in lines if line.startswith(EXPLORE)] == [f"{WAYS[way]}." for way in tried[:-1]]


def test_check_has_no_loss_on_its_guess(texts: list[CorpusText]) -> None:
    """The guess belongs to the prompt, and the base learns completions only: it is never taught to make wrong guesses."""
    guesses = 0
    for text in of(texts, "check"):
        assert "Try" not in text.completion
        guesses += text.prompt.count("Try")
    assert guesses == 500


def test_critique_names_a_line_of_the_attempt(texts: list[CorpusText]) -> None:
    again = 0
    for text in of(texts, "critique"):
        finding, hint = whole(text).split("\n")[-2:]
        found = re.fullmatch(r"In Step (\d+): (.+\.)", finding)
        assert found, whole(text)
        assert re.fullmatch(r"Alternatively: .+\.", hint), whole(text)
        body = whole(text).split("Find the first wrong step:")[0]
        mark = "Second attempt:\n" if "Second attempt:\n" in body else "Attempt:\n"
        again += mark.startswith("Second")
        attempt = body.split(mark)[1].strip().split("\n")
        line = attempt[int(found[1]) - 1]
        if claim := re.fullmatch(r"(\d+ [-+*/] \d+) is not (\d+)\.", found[2]):
            assert line == f"{claim[1]} = {claim[2]}"
        elif missed := re.fullmatch(r"(\d+) is not (\d+)\.", found[2]):
            high, low = sorted(map(int, missed.groups()), reverse=True)
            assert (line, attempt[int(found[1]) - 2]) == ("Wrong.", f"{high} - {low} = {high - low}")
    assert again > 50


def test_follow_executes_the_listed_plan(texts: list[CorpusText]) -> None:
    other = 0
    for text in of(texts, "follow"):
        completion = text.completion
        question, templates = text.prompt.removesuffix("\nSolve:\n").split("\nTemplates:\n")
        names = [line.split(":")[0] for line in templates.split("\n")]
        if any(STRATEGIES[name].operation == "guess" for name in names):
            continue
        other += FAMILIES[text.family].group == "search"
        equations = execute(tuple(map(int, re.findall(r"\d+", question))), operations(tuple(names)))
        assert equations, whole(text)
        assert completion == "\n".join((*map(str, equations), f"\\boxed{{{equations[-1].value}}}"))
    assert other > 30  # a procedure forced upon a search problem gives its own, wrong number


def test_plans_are_imperfect_on_purpose(problems: list[Problem], texts: list[CorpusText]) -> None:
    lines = [line for text in of(texts, "plan") for line in text.completion.split("\n")]
    known = {strategy.line for strategy in STRATEGIES.values()}
    assert set(lines) <= known
    pick = [text for text in of(texts, "plan") if text.family == "moves"]
    gold = sum(whole(text).endswith(STRATEGIES["try each one"].line) for text in pick) / len(pick)
    assert 0.4 < gold < 0.9


def test_analyse_fits_its_step(texts: list[CorpusText]) -> None:
    for text in of(texts, "analyse"):
        lines = whole(text).split("\n")
        step = int(re.search(r"Analyse step (\d+):", whole(text))[1])  # type: ignore[index]
        solution = lines[lines.index("Solution:") + 1 :]
        assert EQUATION.fullmatch(solution[step - 1])
        assert [line.split(":")[0] for line in lines[-5:]] == ["Name", "Tags", "Description", "Scope", "Steps"]


def test_unknown_role() -> None:
    with pytest.raises(ParamsError, match=r"corpus\.roles\.sing is no role"):
        role_texts(Corpus(texts=100, roles={"sing": 1.0}), WORLD, set(), seed=1)
