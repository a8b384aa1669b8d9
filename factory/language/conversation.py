"""Conversations: what a model is asked, turn by turn, and the words that it is to go on with.

asked = (Message("user", "Tom has 12 apples. …\\nSolve:\\n"),)
begun(asked, "12 + 7 = 19\\n")     → (Message("user", …), Message("assistant", "12 + 7 = 19\\n"))
split(begun(asked, "12 + 7"))     → ((Message("user", …),), "12 + 7")
flat(begun(asked, "12 + 7"))      → "Tom has 12 apples. …\\nSolve:\\n12 + 7"
"""

from factory.schemas import Conversation, Message


def said(role: str, content: str) -> Conversation:
    return (Message(role, content),)


def begun(asked: Conversation, words: str) -> Conversation:
    """The assistant's turn with `words` behind what it holds already."""
    turns, before = split(asked)
    return (*turns, Message("assistant", before + words)) if before + words else turns


def split(asked: Conversation) -> tuple[Conversation, str]:
    """(the turns up to the answer, the words with which the answer begins: "" where the model begins)."""
    if asked and asked[-1].role == "assistant":
        return asked[:-1], asked[-1].content
    return asked, ""


def flat(asked: Conversation) -> str:
    """All that is said, one after the other: what a model without turns reads."""
    return "".join(message.content for message in asked)
