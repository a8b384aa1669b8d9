"""A prompt and the beginning of its answer as one text, as the line's engines would send it to a model.

renderer = Renderer(Path("models/Qwen2.5-7B-Instruct"))
renderer.texts([([{"role": "user", "content": "12 + 7?"}], "12")])
→ ["<|im_start|>user\\n12 + 7?<|im_end|>\\n<|im_start|>assistant\\n12"]
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from factory.engines.sent import sent
from factory.errors import DataError, EngineError
from factory.params import Role
from factory.schemas import Message


class Renderer:
    def __init__(self, folder: Path) -> None:
        """A model's folder, with its tokenizer. Raises DataError where it has none, or no chat template."""
        if not folder.is_dir():
            raise DataError(f"--tokenizer {folder} is no folder: name the folder of the model that will be trained")
        if not any(any(folder.glob(pattern)) for pattern in ("tokenizer*", "vocab*", "*.model")):
            raise DataError(f"--tokenizer {folder} holds no tokenizer (tokenizer.json): name the folder of the model that will be trained")
        self.folder, self.role = folder, Role(engine="transformers", model=str(folder))
        self.texts([([{"role": "user", "content": "12 + 7?"}], "12")])
        self.mark = _put_before(folder / "tokenizer.json")

    def texts(self, begun: Sequence[tuple[list[dict[str, Any]], str]]) -> list[str]:
        """Of (turns, beginning of the answer): up to where the model goes on, the beginning to the letter. Raises DataError for turns that
        the model cannot be sent."""
        conversations = [tuple(Message(turn["role"], turn["content"]) for turn in prompt) for prompt, _ in begun]
        try:
            found = sent(self.role, conversations)
        except EngineError as error:
            raise DataError(f"--tokenizer: {error}") from None
        if refused := next((item.refused for item in found if item.refused), ""):
            raise DataError(f"--tokenizer {self.folder}: {refused}")
        return ["".join(piece.text for piece in item.pieces) + prefix for item, (_, prefix) in zip(found, begun)]

    def unmarked(self, text: str) -> str:
        """Without the token that the tokenizer itself puts before every text: a trainer that tokenizes it would have two."""
        return text.removeprefix(self.mark) if self.mark else text


def _put_before(path: Path) -> str:
    """The token that a tokenizer's post-processor puts before a text (a begin of sequence), "" without one."""
    try:
        processor = json.loads(path.read_text(encoding="utf-8")).get("post_processor") or {}
    except (OSError, ValueError):
        return ""
    for item in [processor, *processor.get("processors", [])]:
        for piece in item.get("single", [])[:1]:
            return str(piece.get("SpecialToken", {}).get("id", ""))
    return ""
