"""The world's gold thought templates: atomic, each applies one operation with the next number of the problem.

    Strategy(name="undo loss", tags=("add", "back"), description="Put back what went out.",
             scope="The end is known and there was a loss.", operation="add", steps=("Add the next number.",))

Several share an operation and differ in scope, and several look applicable to any one problem: only one of them is right.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Strategy:
    """`operation` is a key of STEPS; `guess` ones belong to search families and solve the whole problem in one attempt."""

    name: str
    tags: tuple[str, ...]
    description: str
    scope: str
    operation: str
    steps: tuple[str, ...]

    @property
    def line(self) -> str:
        """As a plan names it: `undo loss (add, back)`."""
        return f"{self.name} ({', '.join(self.tags)})"


STEPS = {
    "add": ("Add the next number.",),
    "subtract": ("Take away the next number.",),
    "multiply": ("Multiply by the next number.",),
    "divide": ("Divide by the next number.",),
    "more": ("Add the next number.", "Add both."),
    "fewer": ("Take away the next number.", "Add both."),
}

_PROCEDURES = (
    ("put together", ("add", "gain"), "Add what comes in.", "The start is known and there is a gain.", "add"),
    ("take away", ("subtract", "loss"), "Take away what goes out.", "The start is known and there is a loss.", "subtract"),
    ("undo gain", ("subtract", "back"), "Take away what came in.", "The end is known and there was a gain.", "subtract"),
    ("undo loss", ("add", "back"), "Put back what went out.", "The end is known and there was a loss.", "add"),
    ("equal groups", ("multiply", "groups"), "Multiply the groups by their size.", "There are groups of one size.", "multiply"),
    ("cost of many", ("multiply", "price"), "Multiply the price of one.", "The price of one is known.", "multiply"),
    ("cost of one", ("divide", "price"), "Divide the price of many.", "The price of many is known.", "divide"),
    ("share equally", ("divide", "share"), "Divide among all.", "All get the same number.", "divide"),
    ("full bags", ("divide", "groups"), "Divide by the size of a bag.", "The number of full bags is asked.", "divide"),
    ("compare up", ("more", "both"), "Find the larger one and add both.", "The other has more and both are asked.", "more"),
    ("compare down", ("fewer", "both"), "Find the smaller one and add both.", "The other has fewer and both are asked.", "fewer"),
)

_SEARCHES = (
    ("try each one", ("try", "each"), "Take away one in turn and check the end.", "One of some went and the end is known.",
     ("Try one.", "Check the end.")),
    ("multiply and try", ("try", "groups"), "Multiply first and take away one in turn.", "Groups change and the end is known.",
     ("Try one.", "Multiply.", "Check the end.")),
    ("add and try", ("try", "both"), "Add first and take away one in turn.", "Two change and the end is known.",
     ("Try one.", "Add both.", "Check the end.")),
)  # fmt: skip

STRATEGIES: dict[str, Strategy] = {
    **{name: Strategy(name, tags, text, scope, operation, STEPS[operation]) for name, tags, text, scope, operation in _PROCEDURES},
    **{name: Strategy(name, tags, text, scope, "guess", steps) for name, tags, text, scope, steps in _SEARCHES},
}
PROCEDURES = tuple(name for name, strategy in STRATEGIES.items() if strategy.operation != "guess")

# What looks applicable on the same surface: a wrong plan is drawn from here.
RIVALS: dict[str, tuple[str, ...]] = {
    "put together": ("take away", "undo gain", "compare up"),
    "take away": ("put together", "undo loss", "compare down"),
    "undo gain": ("put together", "undo loss", "take away"),
    "undo loss": ("take away", "undo gain", "put together"),
    "equal groups": ("put together", "share equally", "cost of many"),
    "cost of many": ("cost of one", "equal groups", "put together"),
    "cost of one": ("cost of many", "take away", "share equally"),
    "share equally": ("equal groups", "take away"),
    "full bags": ("take away", "equal groups"),
    "compare up": ("compare down", "put together"),
    "compare down": ("compare up", "take away"),
    "try each one": ("multiply and try", "add and try", "put together"),
    "multiply and try": ("try each one", "add and try", "equal groups"),
    "add and try": ("try each one", "multiply and try", "put together"),
}


def operations(strategy: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(STRATEGIES[name].operation for name in strategy)
