"""How reflections and explorations begin: short, varied, in words that a small vocabulary can hold (Satori App. C, step 5).

<|reflect|>Let me check. 12 + 7 is 19. That is right.
<|reflect|>But wait: 19 - 4 is not 14.
<|explore|>This time, take away 4.
"""

VERIFY: tuple[str, ...] = ("Let me check.", "Let me stop here and check.", "Is this right?")
CRITIQUE: tuple[str, ...] = ("But wait:", "This is not right:", "Let me look again:")
EXPLORE: tuple[str, ...] = ("This time,", "Now let me try again:", "Another way:")

LEAD_INS: tuple[str, ...] = (*VERIFY, *CRITIQUE, *EXPLORE)
