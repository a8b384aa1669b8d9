"""A prompt and the beginning of its answer as one text, by a model's own chat template.

renderer = Renderer(Path("models/Qwen2.5-7B-Instruct"))
renderer.text([{"role": "user", "content": "12 + 7?"}], "12")   → "<|im_start|>user\\n12 + 7?<|im_end|>\\n<|im_start|>assistant\\n12"
"""

from pathlib import Path
from typing import Any

from factory.errors import DataError


class Renderer:
    def __init__(self, folder: Path) -> None:
        """A model's folder, with its tokenizer. Raises DataError where it has none, or no chat template."""
        from transformers import AutoTokenizer

        if not folder.is_dir():
            raise DataError(f"--tokenizer {folder} is no folder: name the folder of the model that will be trained")
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise DataError(f"--tokenizer {folder} holds no tokenizer ({str(error).splitlines()[0][:120]})") from None
        if not self.tokenizer.chat_template:
            raise DataError(f"--tokenizer {folder} has no chat template: name the folder of an instruct model, or of one of this line")
        first = self.tokenizer.bos_token
        ids = self.tokenizer("a")["input_ids"]
        self.mark = first if first and ids and ids[0] == self.tokenizer.bos_token_id else ""

    def text(self, prompt: list[dict[str, Any]], prefix: str) -> str:
        """Up to where the model goes on."""
        return str(self.tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)) + prefix

    def unmarked(self, text: str) -> str:
        """Without the begin-of-sequence token that the tokenizer itself puts before a text: a trainer that tokenizes it would have two."""
        return text.removeprefix(self.mark) if self.mark else text
