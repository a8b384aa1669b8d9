"""Stage `templates`: the labeller's analyses of solved train problems, merged and tried; imported libraries, tried on their own examples.

Run: python -m pipelines.templates
"""

from factory.engines.select import Engines
from factory.params import Params
from factory.rejects import write_rejects
from factory.schemas import Problem, Rollout, Template
from factory.storage import TABLES, read_rows, write_rows
from factory.templates.doubts import doubts
from factory.templates.evidence import best_supported
from factory.templates.induce import choose_solved, induce
from factory.templates.lint import lint_library
from factory.templates.merges import counted, write_merges
from factory.templates.proving import imported, proven
from pipelines import stage


def main(params: Params) -> None:
    problems = read_rows(TABLES / "problems.parquet", Problem)
    rollouts = read_rows(TABLES / "rollouts_base.parquet", Rollout)
    library, refused = imported(params, problems)
    section = params.require("templates")
    sources = choose_solved(problems, rollouts, section.problems, params.seed, section.solutions)
    with Engines(params.requests, "templates", params.budget) as engines:
        labeller, inference = engines.engine(params.roles["labeller"], "labeller"), engines.engine(params.roles["inference"], "inference")
        templates, rejects, merges = induce(sources, labeller, inference, params, library)
        templates += proven(library, templates, inference, params)
        templates = best_supported(templates, {problem.id for problem in problems}, params.require("templates").most)
        for finding in lint_library(templates):
            print(f"{'blocking' if finding.blocking else 'warning'}: {finding.name}: {finding.problem}")
        write_rows(TABLES / "templates.parquet", Template, templates)
        write_rejects("templates", [*rejects, *refused])
        write_merges(merges)
    accepted = sum(template.status == "accepted" for template in templates)
    print(f"templates: {accepted} accepted of {len(templates)}, from {len(sources)} solved problems; {len(rejects)} analyses rejected")
    print(f"templates: {counted(merges)}: factory templates merges")
    for doubt in doubts(merges):
        print(f"warning: {doubt}")


if __name__ == "__main__":
    stage.run("templates", main)
