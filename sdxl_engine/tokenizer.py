"""A prompt to the token ids of both text encoders."""

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sdxl_engine.checkpoint.config import LEGACY_EOS, SdxlConfig, TextEncoderConfig
from sdxl_engine.checkpoint.embeddings import LearntWord
from sdxl_engine.checkpoint.files import read_file, reason
from sdxl_engine.checkpoint.json_reader import parse_json, plain
from sdxl_engine.checkpoint.safetensors_file import Array
from sdxl_engine.errors import CheckpointError, InvalidRequestError

TOKENIZER_FOLDERS: Final = ("tokenizer", "tokenizer_2")
# With these a tokenizer's JSON names files that transformers opens, wherever they are.
_FILE_KEYS: Final = frozenset({"fast_tokenizer_files", "gguf_file"})

TokenIds = npt.NDArray[np.int32]


class PromptTokenizer:
    """Both tokenizers of a checkpoint, with its own vocabularies, merges and padding.

    folder  the model folder
    config  its JSON: every prompt is padded to the length that its encoders read, and every token
            has a row in their tables
    learnt  words that are not the checkpoint's own, and need rows there

    rows    for each encoder the vectors of these words, by token
    unfit   why some of them are not read as words, a sentence each

    Raises CheckpointError.
    """

    def __init__(self, folder: Path, config: SdxlConfig, learnt: Sequence[LearntWord] = ()) -> None:
        self.max_tokens = config.text_encoder.max_position_embeddings
        encoders = (config.text_encoder, config.text_encoder_2)
        self._tokenizers = [
            _load(folder / name, encoder)
            for name, encoder in zip(TOKENIZER_FOLDERS, encoders, strict=True)
        ]
        fitting, self.unfit = _fitting(self._tokenizers, learnt)
        self.rows = [_add(each, row, fitting) for row, each in enumerate(self._tokenizers)]
        self._vectors = [_vectors(each) for each in self._tokenizers]
        # A fast tokenizer refuses to be used by two threads at once ("Already borrowed").
        self._lock = threading.Lock()

    def __call__(self, prompt: str) -> TokenIds:
        """Token ids, i32[2, max_tokens]: the first encoder's row, then the second's.

        Raises InvalidRequestError for a prompt with more tokens than the model reads.
        """
        return self._encode(prompt, cut=False)

    def cut(self, prompt: str) -> TokenIds:
        """The same, of as much of the prompt as the model reads."""
        return self._encode(prompt, cut=True)

    def _encode(self, prompt: str, *, cut: bool) -> TokenIds:
        with self._lock:
            return np.stack([self._row(row, prompt, cut=cut) for row in range(2)])

    def _row(self, row: int, prompt: str, *, cut: bool) -> TokenIds:
        tokenizer = self._tokenizers[row]
        tokens = tokenizer(prompt, truncation=False, verbose=False)["input_ids"]
        ids = [each for token in tokens for each in self._vectors[row].get(token, (token,))]
        if cut and len(ids) > self.max_tokens:
            ids = [*ids[: self.max_tokens - 1], ids[-1]]  # with the end token
        if len(ids) > self.max_tokens:
            # One place is the start token, one the end token.
            read = tokenizer.decode(
                ids[1 : self.max_tokens - 1], clean_up_tokenization_spaces=False
            )
            raise InvalidRequestError(
                f"The text is {len(ids) - 2} tokens long; this model reads {self.max_tokens - 2}. "
                f"Shorten it: it would stop reading after “…{read[-40:].strip()}”."
            )
        padding = [tokenizer.pad_token_id] * (self.max_tokens - len(ids))
        return np.array(ids + padding, np.int32)


def _fitting(
    tokenizers: Sequence[Any], learnt: Iterable[LearntWord]
) -> tuple[list[LearntWord], list[str]]:
    """The words that are none yet, and why others are left out. Capitals are read as small."""
    taken = [{name.lower() for name in tokenizer.get_vocab()} for tokenizer in tokenizers]
    fitting, unfit = [], []
    for word in learnt:
        # The name after the last is nobody's, either: it would be read as one more of its vectors.
        own = [
            {name.lower() for name in (*names, f"{word.word}_{len(names)}")}
            for names in map(word.names, range(len(tokenizers)))
        ]
        if twice := sorted(set().union(*map(set.intersection, own, taken))):
            unfit.append(
                f"{word.path} cannot be called so: {plain(twice[0])!r} is a word of the model or "
                "of another embedding. Rename the file."
            )
            continue
        for names, others in zip(own, taken, strict=True):
            others.update(names)
        fitting.append(word)
    return fitting, unfit


def _add(tokenizer: Any, row: int, learnt: Iterable[LearntWord]) -> dict[int, Array]:  # noqa: ANN401 - transformers is untyped
    """Have a tokenizer know these words; their vectors of encoder `row` by token."""
    added: dict[int, Array] = {}
    for word in learnt:
        names = word.names(row)
        tokenizer.add_tokens(names)
        tokens = tokenizer.convert_tokens_to_ids(names)
        added |= dict(zip(tokens, word.vectors[row], strict=True))
    return added


def _vectors(tokenizer: Any) -> dict[int, list[int]]:  # noqa: ANN401 - transformers is untyped
    """All tokens of each word that was learnt as several vectors, by the first of them.

    A word of three vectors is three tokens, `word`, `word_1` and `word_2`, and all are meant where
    the first is written, as diffusers has it (`maybe_convert_prompt`).
    """
    added = tokenizer.added_tokens_encoder
    several = {}
    for word in added:
        tokens = [added[word]]
        while (vector := f"{word}_{len(tokens)}") in added:
            tokens.append(added[vector])
        if len(tokens) > 1:
            several[added[word]] = tokens
    return several


@contextmanager
def _without_advice() -> Iterator[None]:
    """Importing transformers, it advises to install PyTorch; tokenizers do without."""

    def is_no_advice(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("PyTorch was not found")

    logger = logging.getLogger("transformers")
    logger.addFilter(is_no_advice)
    try:
        yield
    finally:
        logger.removeFilter(is_no_advice)


def _check_files(folder: Path) -> None:
    """Raise ValueError for what transformers must not open: it takes whatever it finds."""
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        try:
            content = read_file(folder.parent, path)
            data = parse_json(content) if path.suffix == ".json" else {}
        except (OSError, ValueError) as error:
            raise ValueError(f"{path.name}: {reason(error)}") from error
        for key in _FILE_KEYS.intersection(data):
            raise ValueError(f"{path.name} names other files, with {key}")


def _unreadable(folder: Path, error: BaseException) -> CheckpointError:
    return CheckpointError(
        f"The tokenizer in {folder} cannot be read: {plain(str(error))}. Fetch the model again."
    )


def _load(folder: Path, encoder: TextEncoderConfig) -> Any:  # noqa: ANN401 - transformers is untyped
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder.name}/ is missing in {folder.parent}. Fetch the model again, or point to a "
            "folder in diffusers format."
        )
    try:
        _check_files(folder)
    except ValueError as error:
        raise _unreadable(folder, error) from error
    # Late: the import takes a quarter of a second, and a folder's JSON is checked before it.
    with _without_advice():
        from transformers import CLIPTokenizer  # noqa: PLC0415
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        tokenizer("any", truncation=False, verbose=False)  # some damage is found by using it
    except BaseException as error:
        # Its part in Rust panics at damage that it did not foresee: to Python, no Exception.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise _unreadable(folder, error) from error
        raise
    if tokenizer.pad_token_id is None:
        raise CheckpointError(f"The tokenizer in {folder} has no padding token.")
    # A token without a row is no error later on: it is NaN, and the picture black.
    tokens = max(tokenizer.get_vocab().values()) + 1
    if tokens > encoder.vocab_size:
        raise CheckpointError(
            f"The tokenizer in {folder} knows {tokens:,} tokens, but its text encoder's vocab_size "
            f"is {encoder.vocab_size:,}. The folder mixes two models."
        )
    # The encoder's summary of a prompt is read at its end token.
    if encoder.eos_token_id not in (LEGACY_EOS, tokenizer.eos_token_id):
        raise CheckpointError(
            f"The tokenizer in {folder} ends a text with token {tokenizer.eos_token_id}, but its "
            f"text encoder's eos_token_id is {encoder.eos_token_id}. The folder mixes two models."
        )
    return tokenizer
