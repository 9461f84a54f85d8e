"""Words that were learnt by textual inversion (Gal et al. 2022), from a folder of their files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.checkpoint.files import check_file, reason
from sdxl_engine.checkpoint.folder import listed
from sdxl_engine.checkpoint.safetensors_file import DTYPES, Array, StoredTensor, read_header
from sdxl_engine.errors import CheckpointError

_ENDING: Final = ".safetensors"
_PICKLES: Final = (".bin", ".pt", ".pth")
# What files call the vectors of the first encoder and of the second; the latter is what diffusers'
# own trainer wrote at first.
NAMES: Final = (("clip_l", "clip_g"), ("text_encoders_0", "text_encoders_1"))
_ENDS: Final = 2  # of what a model reads one token is the start, one the end


@dataclass(frozen=True, slots=True)
class LearntWord:
    """A word that stands for vectors instead of rows of the encoders' tables.

    word     as prompts have it: the name of its file without the ending
    path     of the file
    vectors  of each encoder, float[1 or more, hidden_size]
    """

    word: str
    path: Path
    vectors: tuple[Array, Array]

    def names(self, encoder: int) -> list[str]:
        """The tokens of its vectors, as diffusers names them: `word`, `word_1`, `word_2`, ..."""
        others = range(1, len(self.vectors[encoder]))
        return [self.word, *(f"{self.word}_{number}" for number in others)]


def read_embeddings(folder: Path, config: SdxlConfig) -> tuple[list[LearntWord], list[str]]:
    """The words of a folder's files, by name, and why others are none: a sentence each.

    Raises CheckpointError where there is no folder.
    """
    if not folder.is_dir():
        raise CheckpointError(
            f"There is no folder {folder} for embeddings. Make it, or name another."
        )
    learnt, unfit = [], []
    for path in sorted(folder.glob("[!.]*")):
        if path.suffix in _PICKLES:
            unfit.append(
                f"{path} is pickled, and such a file can run code when it is opened. This engine "
                "reads safetensors only: convert it, or take it out of the folder."
            )
        elif path.suffix.lower() == _ENDING:
            try:
                learnt.append(_read(folder, path, config))
            except CheckpointError as error:
                unfit.append(str(error))
    return learnt, unfit


def with_rows(table: Array, rows: Mapping[int, Array]) -> Array:
    """A table of vectors, [tokens, hidden_size], with others in the rows of these tokens."""
    grown = np.zeros((max(len(table), *(token + 1 for token in rows)), table.shape[1]), table.dtype)
    grown[: len(table)] = table
    for token, vector in rows.items():
        grown[token] = vector
    return grown


def _read(folder: Path, path: Path, config: SdxlConfig) -> LearntWord:
    try:
        check_file(folder, path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {reason(error)}.") from error
    stored = read_header(path)
    widths = config.text_encoder.hidden_size, config.text_encoder_2.hidden_size
    names = next((names for names in NAMES if set(names) == set(stored)), None)
    if names is None:
        raise CheckpointError(
            f"{path} holds {listed(sorted(stored)) or 'nothing'}; an embedding for this model "
            "holds clip_l and clip_g. Choose one that was made for SDXL, or take this one out."
        )
    most = config.text_encoder.max_position_embeddings - _ENDS
    first, second = (
        _vectors(path, name, stored[name], width, most)
        for name, width in zip(names, widths, strict=True)
    )
    return LearntWord(path.stem, path, (first, second))


def _vectors(path: Path, name: str, tensor: StoredTensor, width: int, most: int) -> Array:
    shape = (1, *tensor.shape) if len(tensor.shape) == 1 else tensor.shape  # one vector alone
    if len(shape) != 2 or shape[1] != width or not 1 <= shape[0] <= most:  # noqa: PLR2004 - a matrix
        raise CheckpointError(
            f"{path}: {name} is {list(tensor.shape)}; for this model it is [1 to {most}, {width}]. "
            "Choose an embedding that was made for it."
        )
    if tensor.dtype not in DTYPES:
        raise CheckpointError(
            f"{path}: {name} is of type {tensor.dtype} instead of {', '.join(DTYPES)}. Convert it."
        )
    vectors = tensor.read().reshape(shape)
    if not np.isfinite(vectors.astype(np.float32)).all():
        raise CheckpointError(
            f"{path}: {name} holds numbers that are none (NaN or infinite). Fetch it again, or "
            "choose another embedding."
        )
    return vectors
