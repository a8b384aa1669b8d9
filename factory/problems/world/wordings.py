"""How problems are worded, one sentence a line. Fields are those of `words.Cast.say` and the family's numbers."""

TALLY_START = (
    "{name} had {n} {thing}.",
    "At first {name} had {n} {thing}.",
    "This morning there were {n} {thing} in the box of {name}.",
)
NOW = (
    "How many {thing} does {name} have now?",
    "How many {thing} does {he} have in the end?",
    "How many {thing} are there now?",
)
BACKWARDS_START = (
    "{name} has {n} {thing} now.",
    "In the end {name} has {n} {thing}.",
    "Now there are {n} {thing} in the box of {name}.",
)
AT_FIRST = (
    "How many {thing} did {name} have at first?",
    "How many {thing} did {he} have this morning?",
    "How many {thing} were there at first?",
)
SCALE_START = (
    "{name} had {a} {pack} of {b} {thing}.",
    "{name} got {a} {pack} with {b} {thing} in each.",
    "There were {a} {pack} of {b} {thing} in the house of {name}.",
)
SAVES = (
    "{name} saves {a} coins each week for {b} weeks.",
    "{name} got {a} coins each week for {b} weeks.",
    "Each week {name} saves {a} coins for {b} weeks.",
)
COMPARE_START = (
    "{name} has {a} {thing}. {other} has {b} {word} than {name}.",
    "{name} found {a} {thing}. {other} found {b} {word}.",
    "There are {a} {thing} in the box of {name}. In the box of {other} there are {b} {word}.",
)
COMPARE_GAIN, COMPARE_LOSS = "Then they found {n}.", "Then they lost {n}."
TOGETHER = (
    "How many {thing} do they have together?",
    "How many {thing} do both have in all?",
    "How many {thing} are there in all?",
)
PRICE_START = (
    "{a} coins buy {b} {thing}.",
    "{name} pays {a} coins for {b} {thing}.",
    "For {a} coins {name} gets {b} {thing}.",
)
PRICE_WANTED = (
    "{other} wants {c} {thing}.",
    "{other} buys {c} {thing}.",
    "Now {name} buys {c} {thing}.",
)
PRICE_GAIN, PRICE_LOSS = "A bag costs {n} coins more.", "The shop takes {n} coins off."
COST = (
    "What is the cost?",
    "How many coins is that?",
    "How many coins do they cost?",
)
PARTED_START = (
    "{name} had {n} {thing}.",
    "At first {name} had {n} {thing}.",
    "There were {n} {thing} in the box of {name}.",
)
PARTED_END = {
    "share equally": (
        "{n} friends share all {thing} equally. How many {thing} does each friend get?",
        "All {thing} are put equally into {n} {pack}. How many {thing} are in each?",
        "{He} shares all {thing} equally among {n} friends. How many does each get?",
    ),
    "full bags": (
        "All {thing} are put in bags of {n}. How many bags are full?",
        "{He} packs all {thing} in bags of {n}. How many bags does {he} need?",
        "Now each bag holds {n} {thing}. How many bags are there?",
    ),
}
GUESTS = (
    "There were {n} friends in the house of {name}.",
    "{name} had {n} friends in the house.",
    "At first {n} friends were in the house of {name}.",
)
BOTH_START = (
    "{name} had {a} {thing} and {other} had {b}.",
    "There were {a} {thing} in one box and {b} in the other.",
    "At first there were {a} {thing} from {name} and {b} from {other}.",
)
MOVED = (
    "Then came {c}, {d} and {e}, or one of them went. Now there are {t}.",
    "Then {c}, {d} and {e} were found, or one of them lost. In the end there are {t}.",
    "First {c}, then {d} and {e} came in, or one of them went out. That makes {t}.",
)
WHICH_WENT = ("Which one went?", "Which one was it?", "Was it one of them?")
