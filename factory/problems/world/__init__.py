"""The laptop's procedural world: word problems in a small vocabulary with gold solutions, gold strategies and text of every role.

This is its door: the rest of the project imports what is named here, and in few places (tests/architecture/test_world.py).

problems = draw_problems(params.problems.world, seed=1)
texts = role_texts(params.corpus, params.problems.world, {problem.instance for problem in problems}, seed=1)
"""

from factory.problems.world.claims import CLAIMS
from factory.problems.world.draw import draw_problems, spaces
from factory.problems.world.families import FAMILIES, Family
from factory.problems.world.manners import MANNERS
from factory.problems.world.model import WRONG
from factory.problems.world.roles import role_texts
from factory.problems.world.strategies import STRATEGIES, Strategy

__all__ = ["CLAIMS", "FAMILIES", "MANNERS", "STRATEGIES", "WRONG", "Family", "Strategy", "draw_problems", "role_texts", "spaces"]
