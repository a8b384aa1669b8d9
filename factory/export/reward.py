"""The Python files that stand beside exported data: our grader as the reward function that each trainer calls.

They import `factory`, which must be installed where the trainer runs. Only the response is graded: a prefix may hold a boxed answer. Right
is 1, everything else 0, and what the grader could not read or decide in time is reported beside it.

    reward_file("verl", Limits(("box",), 5.0, 1024, 2))   → a module with compute_score(data_source, solution_str, …)
"""

from dataclasses import dataclass
from pathlib import Path

from factory.grading.grader import MEMORY_MB, SECONDS, WORKERS
from factory.grading.protocol import BOX


@dataclass(frozen=True)
class Limits:
    """How the line grades: the section `grading` of its params."""

    rules: tuple[str, ...]
    seconds: float
    memory_mb: int
    workers: int

    @classmethod
    def of_line(cls) -> "Limits":
        """Of the params here, else the usual ones."""
        if not Path("params.yaml").exists():
            return cls(BOX, SECONDS, MEMORY_MB, WORKERS)
        from factory.params import load

        params = load().grading
        return cls(tuple(params.rules), params.seconds, params.memory_mb, params.workers)


HEAD = '''"""The reward of this data: the grader of COAT factory, which must be installed here (`pip install -e` of its folder).

Only the response is graded, by these rules and limits: those of the line that made the data. Right is 1.0, everything else 0.0.
"""
{imports}
from factory.grading import Grader

GRADER = Grader(rules={rules!r}, seconds={seconds!r}, memory_mb={memory_mb!r}, workers={workers!r})
'''

TRL = '''

def reward_func(completions, answer, answer_kind, decimals, **kwargs):
    """For `GRPOTrainer(reward_funcs=reward_func)`. A grader's timeout is None: TRL leaves such a completion out."""
    texts = [text if isinstance(text, str) else text[-1]["content"] for text in completions]
    grades = [GRADER.grade(*item) for item in zip(texts, answer, answer_kind, decimals, strict=True)]
    return [None if grade.verdict == "timeout" else float(grade.correct) for grade in grades]
'''

VERL = '''

def compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
    """For `reward.custom_reward_function.path`. Everything beside `score` is logged by verl."""
    told = extra_info or {}
    decimals = told.get("decimals")
    grade = GRADER.grade(solution_str, ground_truth, told.get("answer_kind", "math"), None if decimals is None else int(decimals))
    return {
        "score": float(grade.correct), "acc": float(grade.correct), "unparsable": float(grade.verdict == "unparsable"),
        "timeout": float(grade.verdict == "timeout"),
    }
'''

OPENRLHF = '''

def reward_func(queries, prompts, labels):
    """For `--reward.remote_url reward.py`. A query is a prompt and its response, a label the answer, its kind and tolerance as JSON."""
    grades = []
    for query, prompt, label in zip(queries, prompts, labels, strict=True):
        told = json.loads(label)
        grades.append(GRADER.grade(response(query, prompt), told["answer"], told["answer_kind"], told["decimals"]))
    rewards = torch.tensor([float(grade.correct) for grade in grades])
    unparsable = torch.tensor([float(grade.verdict == "unparsable") for grade in grades])
    return {"rewards": rewards, "scores": rewards, "extra_logs": {"unparsable": unparsable}}


def response(query, prompt):
    """What stands behind the prompt; OpenRLHF may have cut a long one from the left. Never the prompt itself: it may hold an answer."""
    if query.startswith(prompt):
        return query[len(prompt) :]
    end = prompt[-200:]
    place = query.find(end)
    if place < 0:
        raise ValueError("the query does not hold the end of its prompt: the tokenizer does not give the text back as it was")
    return query[place + len(end) :]
'''

IMPORTS = {"trl": "", "verl": "", "openrlhf": "\nimport json\n\nimport torch\n"}
BODIES = {"trl": TRL, "verl": VERL, "openrlhf": OPENRLHF}

TASKSET = '''"""{title}: prompts of COAT factory whose answers its grader checks, as an environment of verifiers.

verifiers 0.4 and later (`verifiers.v1`): the taskset `{dashed}`. Earlier ones: `load_environment()`. COAT factory must be installed here.
With `prefixed`, tasks whose prompt ends in an assistant's begun turn; the server must be told to go on with it.
"""

import json
from pathlib import Path

from factory.grading import Grader

GRADER = Grader(rules={rules!r}, seconds={seconds!r}, memory_mb={memory_mb!r}, workers={workers!r})


def rows(prefixed=False):
    """{{"prompt": [turns], "question": …, "answer": …, "info": {{"answer_kind": …, "decimals": …, "prefixed": …, …}}}}"""
    with (Path(__file__).parent / "train.jsonl").open(encoding="utf-8") as stream:
        for line in stream:
            row = json.loads(line)
            if row["info"]["prefixed"] == prefixed:
                yield row


def score(response, answer, info):
    """1.0 for a right response, 0.0 for every other."""
    return float(GRADER.grade(response, answer, info["answer_kind"], info["decimals"]).correct)


def load_environment(prefixed=False, **kwargs):
    """For verifiers before 0.4."""
    import verifiers
    from datasets import Dataset

    if not hasattr(verifiers, "SingleTurnEnv"):
        raise ImportError("this verifiers has tasksets: run `vf-eval {dashed}`, which loads {camel}Taskset")

    def correct(completion, answer, info, **_):
        text = completion if isinstance(completion, str) else completion[-1]["content"]
        return score(text, answer, json.loads(info) if isinstance(info, str) else info)

    data = Dataset.from_list([{{**row, "info": json.dumps(row["info"])}} for row in rows(prefixed)])
    return verifiers.SingleTurnEnv(dataset=data, rubric=verifiers.Rubric(funcs=[correct]), **kwargs)


try:
    import verifiers.v1 as vf
except ImportError:
    pass
else:

    class {camel}Config(vf.TasksetConfig):
        prefixed: bool = False

    class {camel}Data(vf.TaskData):
        answer: str
        info: dict

    class {camel}Task(vf.Task[{camel}Data, vf.State, vf.TaskConfig]):
        @vf.reward
        async def correct(self, trace: vf.Trace) -> float:
            return score(trace.last_reply, self.data.answer, self.data.info)

    class {camel}Taskset(vf.Taskset[{camel}Task, {camel}Config]):
        def load(self):
            for row in rows(self.config.prefixed):
                data = {camel}Data(id=row["info"]["id"], prompt=row["prompt"], answer=row["answer"], info=row["info"])
                yield {camel}Task(data, self.config.task)

    __all__ = ["{camel}Taskset"]
'''


def reward_file(target: str, limits: Limits) -> str:
    """`reward.py` of trl, verl or openrlhf."""
    return HEAD.format(imports=IMPORTS[target], **vars(limits)) + BODIES[target]


def package_of(dataset: str) -> str:
    return f"coat_{dataset}"


def taskset_file(dataset: str, limits: Limits) -> str:
    package = package_of(dataset)
    camel = "".join(part.capitalize() for part in package.split("_"))
    return TASKSET.format(title=dataset, dashed=package.replace("_", "-"), camel=camel, **vars(limits))


def pyproject(dataset: str) -> str:
    """Of the package that verifiers imports."""
    package = package_of(dataset)
    return f"""[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{package.replace("_", "-")}"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["coat-factory", "verifiers"]

[tool.setuptools]
packages = ["{package}"]

[tool.setuptools.package-data]
{package} = ["train.jsonl"]
"""
