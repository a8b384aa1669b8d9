"""The planner's first supervised view, L_struct: a template's description and scope from its name and tags.

    "Name: put together\nTags: add, total\nDescribe:\n"   → "Description: Two amounts are joined.\nScope: Something joins …"

Source: papers/reasonflux, "Structure-based fine-tuning".
"""

from collections.abc import Sequence

from factory.identity import row_id
from factory.language.prompting import Prompts
from factory.schemas import Example, Template


def structure_examples(templates: Sequence[Template], prompts: Prompts) -> list[Example]:
    """One row an accepted template: name and tags in the prompt, description and scope to be learned."""
    return [
        Example(
            id=row_id("structure", template.id), model=template.model, request_ids=template.request_ids,
            prompt_version=prompts.version("describe"), seed=template.seed, round=template.round, parents=(template.id,), problem_id="",
            prompt=prompts.render("describe", name=template.name, tags=template.tags),
            completion=f"Description: {template.description}\nScope: {template.scope}",
        )
        for template in templates
        if template.status == "accepted"
    ]  # fmt: skip
