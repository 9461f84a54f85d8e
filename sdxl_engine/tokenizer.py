"""A prompt to the token ids of both text encoders."""

import os
import threading
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sdxl_engine.errors import CheckpointError, InvalidRequestError

TOKENIZER_FOLDERS: Final = ("tokenizer", "tokenizer_2")

TokenIds = npt.NDArray[np.int32]


class PromptTokenizer:
    """Both tokenizers of a checkpoint, with its own vocabularies, merges and padding.

    folder      the model folder
    max_tokens  the length that every prompt is padded to, its start and end token included

    Raises CheckpointError.
    """

    def __init__(self, folder: Path, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self._tokenizers = [_load(folder, name) for name in TOKENIZER_FOLDERS]
        # A fast tokenizer refuses to be used by two threads at once ("Already borrowed").
        self._lock = threading.Lock()

    def __call__(self, prompt: str) -> TokenIds:
        """Token ids, i32[2, max_tokens]: the first encoder's row, then the second's.

        Raises InvalidRequestError for a prompt with more tokens than the model reads.
        """
        with self._lock:
            return np.stack([self._encode(tokenizer, prompt) for tokenizer in self._tokenizers])

    def _encode(self, tokenizer: Any, prompt: str) -> TokenIds:  # noqa: ANN401 - transformers is untyped
        ids = tokenizer(prompt, truncation=False)["input_ids"]
        if len(ids) > self.max_tokens:
            # One place is the start token, one the end token.
            read = tokenizer.decode(ids[1 : self.max_tokens - 1])
            raise InvalidRequestError(
                f"The text is {len(ids) - 2} tokens long; this model reads {self.max_tokens - 2}. "
                f"Shorten it: it would stop reading after “…{read[-40:].strip()}”."
            )
        padding = [tokenizer.pad_token_id] * (self.max_tokens - len(ids))
        return np.array(ids + padding, np.int32)


def _load(folder: Path, name: str) -> Any:  # noqa: ANN401 - transformers is untyped
    # It advises to install PyTorch; tokenizers do without.
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    # Late: the import takes a quarter of a second, and a folder's JSON is checked before it.
    from transformers import CLIPTokenizer  # noqa: PLC0415

    if not (folder / name).is_dir():
        raise CheckpointError(
            f"{name}/ is missing in {folder}. Fetch the model again, or point to a folder in "
            "diffusers format."
        )
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder / name, local_files_only=True)
    except Exception as error:
        raise CheckpointError(
            f"The tokenizer in {folder / name} cannot be read: {error}. Fetch the model again."
        ) from error
    if tokenizer.pad_token_id is None:
        raise CheckpointError(f"The tokenizer in {folder / name} has no padding token.")
    return tokenizer
