"""What every dataset is held to, in one table: expectations on columns, checks of what a row means, measures of the whole.

    check(checks.prefix_of_parent, "restarts", "the prefix is …", shows="prefix", needs="problems: solution; rollouts: completion")
    plain("expect_column_values_to_be_between", "restarts", "the backtrack is not negative", column="backtrack", min_value=0)
    measure(measures.plus_share, "restarts", "D+ and D- are balanced", reads="buffer", min_value=0.25, max_value=0.75)

Great Expectations judges all three: a check's answers are a column that has to be true, a measure is the one row of a table of its own.
`kinds`: the tables that it holds for; `needs`: what a check reads of other tables, besides the row itself (`pass_rates` and `sides` are
made of all rollouts and problems). A critical entry that fails closes the gate, any other one is a warning. Another engine can run the
table: `document("restarts")` is it as JSON, and is published beside the data.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from factory.errors import DataError
from factory.gate import adjusted, checks, measures, provenance, stepwise, template_checks
from factory.gate.background import Background
from factory.gate.measures import Columns, Measured
from factory.schemas import Row
from factory.tables import DrawnRollout

Check = Callable[[Any, Background], bool | float]

IN_SET, BETWEEN, UNIQUE = "expect_column_values_to_be_in_set", "expect_column_values_to_be_between", "expect_column_values_to_be_unique"
LENGTHS, DISTINCT = "expect_column_value_lengths_to_be_between", "expect_column_unique_value_count_to_be_between"
TOGETHER, CONTAINS = "expect_compound_columns_to_be_unique", "expect_column_distinct_values_to_contain_set"

COAT = "demonstrations cot_demonstrations distillation"
ROLLED = "rollouts restarts orm_pairs"
PLANNED = "plans trajectories trajectory_pairs adjustments"
OF_PROBLEM = f"{COAT} {ROLLED} {PLANNED}"
LIBRARY = "templates structure"
STEPS = "process_rewards"
MADE = f"{OF_PROBLEM} {LIBRARY} {STEPS}"
EVERY = f"{MADE} problems corpus"
PAIRS = "orm_pairs trajectory_pairs"
MODEL = f"{COAT} rollouts {PLANNED} {LIBRARY} {STEPS}"  # rows that a model helped to make


@dataclass(frozen=True)
class Entry:
    """`column`: what Great Expectations reads, of a check or measure its name; `shows`: the column that a report shows of a bad row."""

    type: str
    kinds: frozenset[str]
    says: str
    critical: bool
    kwargs: Mapping[str, Any]
    shows: str = ""
    purposes: tuple[str, ...] = ("train", "audit")
    check: Check | None = None
    measure: Callable[[Columns], Measured] | None = None
    needs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    reads: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        return [self.kwargs["column"]] if "column" in self.kwargs else list(self.kwargs.get("column_list", []))

    @property
    def function(self) -> str:
        made = self.check or self.measure
        return f"{made.__module__}:{made.__name__}" if made else ""

    def document(self) -> dict[str, Any]:
        meta = {"critical": self.critical, "says": self.says, "shows": self.shows, "python": self.function, "reads": list(self.reads),
                "needs": {table: sorted(columns) for table, columns in sorted(self.needs.items())}}  # fmt: skip
        return {
            "type": self.type,
            "kwargs": dict(self.kwargs),
            "meta": {key: value for key, value in meta.items() if value not in ("", [], {})},
        }


def check(function: Check, kinds: str, says: str, *, shows: str = "", needs: str = "", critical: bool = True, mostly: float = 1.0,
          purposes: tuple[str, ...] = ("train", "audit")) -> Entry:  # fmt: skip
    """Every row (`mostly`: that share of them) passes."""
    kwargs = {"column": function.__name__, "value_set": [True], **({"mostly": mostly} if mostly < 1 else {})}
    parts = (part.partition(":") for part in needs.split(";") if part.strip())
    read = {table.strip(): frozenset(columns.split()) for table, _, columns in parts}
    return Entry(IN_SET, frozenset(kinds.split()), says, critical, kwargs, shows, purposes, check=function, needs=read)


def number(function: Check, kinds: str, says: str, *, shows: str = "", **bounds: float) -> Entry:
    """A check whose answer is a number within bounds."""
    return Entry(BETWEEN, frozenset(kinds.split()), says, True, {"column": function.__name__, **bounds}, shows, check=function)


def plain(kind: str, kinds: str, says: str, *, critical: bool = True, **kwargs: Any) -> Entry:
    """An expectation on the table's own columns."""
    return Entry(kind, frozenset(kinds.split()), says, critical, kwargs)


def measure(function: Callable[[Columns], Measured], kinds: str, says: str, *, reads: str, **bounds: float) -> Entry:
    """A warning when the value lies outside of the bounds."""
    kwargs = {"column": function.__name__, **bounds}
    return Entry(BETWEEN, frozenset(kinds.split()), says, False, kwargs, measure=function, reads=tuple(reads.split()))


TABLE: tuple[Entry, ...] = (
    # -- which problems, which side of the split
    check(checks.problem_known, f"{OF_PROBLEM} {STEPS}", "the row's problem stands in the problems table", shows="problem_id",
          needs="problems: split"),
    check(checks.split_is_train, MADE, "every problem behind the row is of the train split", shows="problem_id", purposes=("train",),
          needs="problems: split; templates: parents model"),
    check(checks.marked_audit, EVERY, "the row is marked as audit data (release.notice)", purposes=("audit",)),
    check(checks.on_one_side, MADE, "no problem behind the row stands (by id, instance or text) on both sides of the split",
          shows="problem_id", needs="problems: split; templates: parents"),
    check(checks.on_one_side, "problems", "no problem stands (by id, instance or text) on both sides of the split", shows="problem"),
    check(checks.control_tokens_in_place, EVERY, "no text spells a control token, but for meta-actions where a step begins (what is "
          "spelled is read as text, never as the token)", shows="completion", critical=False),
    check(checks.prompt_of_problem, OF_PROBLEM, "the prompt holds the problem's text", shows="prompt", needs="problems: problem"),
    # -- COAT texts
    check(checks.tokens_known, f"{COAT} corpus", "the completion has no token but the meta-actions", shows="completion"),
    check(checks.coat_valid, COAT, "the completion is a COAT trajectory: tokens at step starts, a box in the last step",
          shows="completion"),
    check(checks.explore_then_continue, COAT, "every explore is followed by a continue", shows="completion"),
    check(checks.is_right, COAT, "the completion is graded correct against the problem's answer", shows="completion",
          needs="problems: answer answer_kind decimals"),
    number(checks.words, COAT, "the completion has words", shows="completion", min_value=1),
    check(checks.token_free, "cot_demonstrations", "a plain solution has no meta-action token", shows="completion"),
    plain(IN_SET, "cot_demonstrations", "every row is of type I", column="type", value_set=["I"]),
    check(checks.type_fits, "demonstrations", "reflections and explorations are those of the row's type", shows="completion"),
    check(checks.spans_inside, "demonstrations", "wrong spans are offsets in rising order within the completion", shows="wrong_spans"),
    plain(CONTAINS, "demonstrations", "all five types occur", critical=False, column="type",
          value_set=["I", "II-I", "II-II", "III-I", "III-II"]),
    number(checks.depth, "demonstrations", "reflections and explorations can be counted", min_value=0),
    measure(measures.type_share, "demonstrations", "no type of demonstration outweighs the others", reads="type", max_value=0.8),
    measure(measures.depth_share, "demonstrations", "no depth (reflections and explorations) outweighs the others", reads="depth",
            max_value=0.8),
    # -- rollouts and their pass rates
    check(checks.verdict_true, "rollouts", "the verdict is what the grader says of the completion", shows="completion",
          needs="problems: answer answer_kind decimals"),
    plain(BETWEEN, "rollouts", "tokens are counted", column="tokens", min_value=0),
    plain(BETWEEN, "rollouts", "a problem has samples", column="samples", min_value=1),
    plain(BETWEEN, "rollouts restarts", "the pass rate is a share", column="pass_rate", min_value=0, max_value=1),
    check(checks.rate_of_counts, "rollouts", "the pass rate is right of samples, and lies in its own interval", shows="pass_rate"),
    check(checks.rate_of_verdict, "rollouts", "the pass rate agrees with the verdict", shows="pass_rate"),
    measure(measures.never_solved, "rollouts restarts", "problems that are never solved do not outweigh", reads="pass_rate", max_value=0.5),
    measure(measures.always_solved, "rollouts restarts", "problems that are always solved do not outweigh", reads="pass_rate",
            max_value=0.5),
    check(checks.tokens_told, "drawn_rollouts", "every token drawn has its log-probability", shows="token_logprobs"),
    check(checks.tokens_counted, "drawn_rollouts", "the tokens drawn are those that were counted, and the one that ended them",
          shows="token_ids"),
    check(checks.logprobs_are_ones, "drawn_rollouts", "log-probabilities of tokens are finite and not above 0", shows="token_logprobs"),
    check(checks.logprob_of_tokens, "drawn_rollouts", "logprob is the sum of the tokens' log-probabilities", shows="logprob"),
    # -- restarts
    check(checks.prefix_of_parent, "restarts", "the prefix is a prefix of its parent's completion (a teacher's: of the gold solution), on "
          "the same problem, by whole steps", shows="prefix", needs="problems: solution; rollouts: problem_id completion"),
    check(checks.ends_in_reflect, "restarts", "a prefix of D+ or D- ends in a reflect token at the start of a line, a teacher's at the end "
          "of one", shows="prefix"),
    check(checks.sign_of_parent, "restarts", "D+ comes from right parents, D- from wrong ones, a teacher's from problems that no rollout "
          "solved", shows="prefix", needs="rollouts: verdict; pass_rates: pass_rate"),
    check(checks.box_marked, "restarts", "prefix_has_answer says whether the prefix holds a box", shows="prefix"),
    check(checks.answer_of_problem, "restarts", "the answer is the problem's own", shows="answer",
          needs="problems: answer answer_kind decimals"),
    check(checks.rate_of_rollouts, "restarts", "the pass rate is that of the problem's rollouts", shows="pass_rate",
          needs="pass_rates: pass_rate"),
    plain(BETWEEN, "restarts", "the backtrack is not negative", column="backtrack", min_value=0),
    plain(TOGETHER, "restarts", "no two rows say the same", critical=False, column_list=["prompt", "prefix"], mostly=0.95),
    measure(measures.plus_share, "restarts", "D+ and D- are balanced", reads="buffer", min_value=0.25, max_value=0.75),
    measure(measures.plain_share, "restarts", "plain problems do not outweigh the restarts", reads="buffer", max_value=0.9),
    measure(measures.teacher_share, "restarts", "a teacher's beginnings do not outweigh the policy's own", reads="buffer", max_value=0.5),
    # -- pairs
    check(checks.chosen_differs, PAIRS, "chosen and rejected are two texts", shows="chosen"),
    check(checks.signs_differ, "orm_pairs", "chosen is graded correct, rejected is not", shows="rejected",
          needs="problems: answer answer_kind decimals"),
    check(checks.pair_of_parents, "orm_pairs", "both completions are the rollouts whose ids the pair carries", shows="chosen",
          needs="rollouts: problem_id completion"),
    plain(BETWEEN, "orm_pairs", "the margin is not negative", column="margin", min_value=0),
    check(checks.rewards_differ, "trajectory_pairs", "the chosen plan has the higher reward", shows="chosen"),
    check(checks.rewards_of_parents, "trajectory_pairs", "both plans and rewards are those of the pair's trajectories", shows="chosen",
          needs="trajectories: problem_id plan reward"),
    check(checks.interval_of_difference, "trajectory_pairs", "the difference of the rewards has its interval, and clear is what lies above "
          "0", shows="chosen"),
    check(template_checks.plans_readable, "trajectory_pairs", "both are plans: name (tag, tag) a line", shows="rejected"),
    plain(BETWEEN, "trajectory_pairs", "rewards are accuracies", column="reward_chosen", min_value=0, max_value=1),
    plain(BETWEEN, "trajectory_pairs", "rewards are accuracies", column="reward_rejected", min_value=0, max_value=1),
    plain(BETWEEN, "trajectory_pairs", "the rewards were measured on at least one problem", column="n_similar", min_value=1),
    plain(TOGETHER, PAIRS, "no two rows say the same", critical=False, column_list=["prompt", "chosen", "rejected"], mostly=0.95),
    measure(measures.length_auc, PAIRS, "length alone does not tell chosen from rejected (AUC)", min_value=0.35, max_value=0.65,
            reads="chosen.length rejected.length problem_id.hash"),
    measure(measures.longer_chosen, PAIRS, "of two texts of a pair the longer one is chosen about as often as the shorter one",
            reads="chosen.length rejected.length", min_value=0.3, max_value=0.7),
    measure(measures.repeated_pairs, PAIRS, "pairs of one problem have texts of their own", max_value=0.75,
            reads="problem_id.hash chosen.hash rejected.hash"),
    # -- templates, plans
    check(template_checks.has_steps, "templates", "a template has application steps, none empty", shows="name"),
    check(template_checks.has_tags, "templates", "a template has tags, none empty", shows="name"),
    check(template_checks.example_right, "templates", "the worked example reaches its answer", shows="name"),
    check(template_checks.example_from_train, "templates", "the worked example is no problem of dev, heldout or unseen",
          shows="example_problem", needs="sides: text"),
    check(template_checks.proven, "templates", "an accepted template has solved a source problem again", shows="name"),
    plain(LENGTHS, "templates", "every template has a licence", column="licence", min_value=1),
    plain(LENGTHS, "templates", "every template says where it comes from", column="source", min_value=1),
    plain(CONTAINS, "templates", "the library has an accepted template", column="status", value_set=["accepted"]),
    plain(BETWEEN, "templates", "solve rates are shares", column="solve_rate", min_value=0, max_value=1),
    plain(UNIQUE, "templates", "no two templates have one name", critical=False, column="name"),
    check(template_checks.describes_template, "structure", "the row describes an accepted template of the library", shows="prompt",
          needs="templates: name description scope status"),
    plain(UNIQUE, "structure", "no template is described twice", critical=False, column="prompt"),
    check(template_checks.plan_readable, "plans", "the completion is a plan: name (tag, tag) a line", shows="completion"),
    check(template_checks.plan_in_library, "plans", "every line names an accepted template", shows="completion",
          needs="templates: name status"),
    plain(DISTINCT, "plans", "more than one plan occurs", critical=False, column="completion", min_value=2),
    plain(BETWEEN, "trajectories", "rewards are accuracies", column="reward", min_value=0, max_value=1),
    plain(BETWEEN, "trajectories", "the reward was measured on at least one problem", column="n_similar", min_value=1),
    check(adjusted.state_of_parent, "adjustments", "plan and steps are those of the first parent, a trajectory of this problem, and stand "
          "in the prompt", shows="prompt", needs="trajectories: problem_id template_ids instantiations plan"),
    check(adjusted.answer_not_given, "adjustments", "no step has the final answer", shows="steps"),
    check(adjusted.values_of_parents, "adjustments", "values, gain and interval are those of the recorded decodes of the parents",
          shows="gain", needs="trajectories: problem_id template_ids similar_ids instantiations decodes n_decodes"),
    check(adjusted.choice_of_values, "adjustments", "the choice is the one that gains the margin, else keep", shows="choice"),
    check(adjusted.choice_said, "adjustments", "the completion says the choice, as the loop reads it", shows="completion"),
    check(adjusted.interval_holds_gain, "adjustments", "an interval of two ends holds the gain", shows="interval"),
    plain(BETWEEN, "adjustments", "the value of the plan was measured on at least one decode", column="n_keep", min_value=1),
    plain(DISTINCT, "adjustments", "more than one choice occurs", critical=False, column="choice", min_value=2),
    # -- steps with labels
    check(stepwise.asks_problem, STEPS, "the prompt holds the problem's text", shows="prompt", needs="problems: problem"),
    check(stepwise.label_a_step, STEPS, "there is a label for every step, and no step is blank", shows="completions"),
    check(stepwise.false_from_first_wrong, STEPS, "labels are true before the first wrong step and false from it on", shows="labels"),
    check(stepwise.last_of_verdict, STEPS, "the last label is true where the answer is right, and nowhere else", shows="verdict"),
    check(stepwise.steps_of_parent, STEPS, "the steps joined are the completion of the first parent, a rollout of this problem and verdict",
          shows="completions", needs="rollouts: problem_id verdict completion reasoning"),
    check(stepwise.exact_again, STEPS, "the exact check, asked again, names the same first wrong step", shows="exact_step",
          needs="problems: source family problem solution answer answer_kind decimals"),
    check(stepwise.first_wrong_of_source, STEPS, "the first wrong step is what the source that the row names said; a critic's judgement is "
          "a parent", shows="first_wrong"),
    plain(DISTINCT, STEPS, "right and wrong solutions occur", critical=False, column="verdict", min_value=2),
    measure(stepwise.critic_agrees, STEPS, "the critic names the exact check's first wrong step, in rows on which both tell", min_value=0.8,
            reads="labels.length compared judged exact_step critic_step"),
    measure(stepwise.critic_accepts, STEPS, "of the steps that the exact check calls wrong the critic accepts few, in rows on which "
            "both tell",
            max_value=0.2, reads="labels.length compared judged exact_step critic_step"),
    measure(stepwise.critic_refuses, STEPS, "of the steps that the exact check calls right the critic refuses few, in rows on which "
            "both tell",
            max_value=0.2, reads="labels.length compared judged exact_step critic_step"),
    # -- problems, corpus
    plain(LENGTHS, "problems", "every problem has an answer", column="answer", min_value=1),
    plain(UNIQUE, "problems", "no two problems have the same text", column="problem"),
    plain(BETWEEN, "problems", "the weight is positive", column="weight", min_value=0, strict_min=True),
    check(checks.instance_disjoint, "corpus", "the text's instance stands in no split, train included", shows="instance",
          needs="sides: instance"),
    check(checks.text_disjoint, "corpus", "the text does not open with a problem of any split", shows="prompt", needs="sides: text"),
    plain(LENGTHS, "corpus", "no completion is empty", column="completion", min_value=1),
    plain(DISTINCT, "corpus", "more than one role is covered", critical=False, column="role", min_value=2),
    plain(UNIQUE, "corpus", "half of the completions stand once", critical=False, column="completion", mostly=0.5),
    # -- of every kind: doubles, language, origin
    plain(TOGETHER, COAT, "no two rows say the same", critical=False, column_list=["prompt", "completion"], mostly=0.95),
    measure(measures.repeated, f"{COAT} rollouts plans", "samples of one problem differ", reads="problem_id.hash completion.hash",
            max_value=0.5),
    measure(measures.repeated_plans, "trajectories", "plans of one problem differ", reads="problem_id.hash plan.hash", max_value=0.75),
    check(provenance.in_script, f"{OF_PROBLEM} structure", "the text is written in a script of its prompt (Latin, Cyrillic, Chinese, …)",
          critical=False, mostly=0.99, shows="completion"),
    check(provenance.lineage_named, MODEL, "model with revision, version of the prompt and round are named", critical=False, shows="model"),
    check(provenance.origin_named, "restarts orm_pairs", "the round and the parents are named", critical=False, shows="round"),
    check(provenance.licensed, "structure plans", "every template behind the row has a licence", critical=False, shows="parents",
          needs="templates: licence"),
)  # fmt: skip


ALSO = {"drawn_rollouts": "rollouts"}  # a table with further columns → the one that it is besides


def held_to(table: str, row_type: type[Row]) -> str:
    """The kind whose entries hold for a table of these rows."""
    return "drawn_rollouts" if row_type is DrawnRollout else table


def _holds(entry: Entry, kind: str) -> bool:
    return not entry.kinds.isdisjoint((kind, ALSO.get(kind, kind)))


def suite(kind: str, purpose: str) -> list[Entry]:
    """The entries of a table. Raises DataError for one without any: a gate that nobody wrote must not stand open."""
    found = [entry for entry in TABLE if _holds(entry, kind) and purpose in entry.purposes]
    if not found:
        raise DataError(f"the table {kind} is held to nothing: write what must hold in factory/gate/table.py, or take it off the datasets")
    return found


def checks_of(kind: str) -> dict[str, Check]:
    """Column name → check, {} for a table without any."""
    return {entry.check.__name__: entry.check for entry in TABLE if entry.check and _holds(entry, kind)}


def needs_of(kind: str) -> dict[str, frozenset[str]]:
    """Other table → the columns of it that the checks of `kind` read."""
    found: dict[str, frozenset[str]] = {}
    for entry in TABLE:
        for table, columns in entry.needs.items() if _holds(entry, kind) else ():
            found[table] = found.get(table, frozenset()) | columns
    return found


def document(kind: str, purposes: Sequence[str] = ("train",)) -> dict[str, Any]:
    """What a table is held to, as JSON."""
    found = [entry for entry in TABLE if _holds(entry, kind) and set(purposes) & set(entry.purposes)]
    return {"table": kind, "expectations": [entry.document() for entry in found]}
