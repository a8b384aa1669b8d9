"""The laptop's procedural world: word problems in a small vocabulary with gold solutions, gold strategies and text of every role.

problems = draw_problems(params.problems.world, seed=1)
texts = role_texts(params.corpus, params.problems.world, {problem.instance for problem in problems}, seed=1)
"""

from factory.problems.world.draw import draw_problems, spaces
from factory.problems.world.families import FAMILIES, Family
from factory.problems.world.roles import role_texts
from factory.problems.world.strategies import STRATEGIES, Strategy

__all__ = ["FAMILIES", "STRATEGIES", "Family", "Strategy", "draw_problems", "role_texts", "spaces"]
