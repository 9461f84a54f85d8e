"""A prompt to the token ids of both text encoders."""

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sdxl_engine.checkpoint.config import SdxlConfig
from sdxl_engine.checkpoint.embeddings import LearntWord
from sdxl_engine.checkpoint.json_reader import plain
from sdxl_engine.checkpoint.safetensors_file import Array
from sdxl_engine.errors import InvalidRequestError
from sdxl_engine.prompt import BREAK, Piece, pieces
from sdxl_engine.sentence import say, sentences
from sdxl_engine.vocabulary import Vocabulary

TOKENIZER_FOLDERS: Final = ("tokenizer", "tokenizer_2")

_ENDS: Final = 2  # of what the encoders read one token is the beginning, one the end
_BACK_TO_COMMA: Final = 20  # A1111's `comma_padding_backtrack`
_MOST_WEIGHT: Final = 10.0  # beyond it no model here leaves a picture

TokenIds = npt.NDArray[np.int32]


class Chunks(NamedTuple):
    """A prompt as text encoders read it, in chunks, each with a beginning and an end of its own.

    token_ids  i32[2 encoders, chunks, max_tokens]
    weights    f32[2 encoders, chunks, max_tokens], 1 at beginning, end and padding
    """

    token_ids: TokenIds
    weights: npt.NDArray[np.float32]


class PromptTokenizer:
    """Both tokenizers of a checkpoint, with its own vocabularies, merges and padding.

    folder  the model folder
    config  its JSON: every chunk is padded to the length that its encoders read, and every token
            has a row in their tables
    learnt  words that are not the checkpoint's own, and need rows there

    max_tokens  of a chunk, with its beginning and its end
    rows        for each encoder the vectors of the learnt words, by token
    unfit       why some of them are not read as words, a sentence each

    Raises CheckpointError.
    """

    def __init__(self, folder: Path, config: SdxlConfig, learnt: Sequence[LearntWord] = ()) -> None:
        self.max_tokens = config.text_encoder.max_position_embeddings
        encoders = (config.text_encoder, config.text_encoder_2)
        self._tokenizers = [
            Vocabulary.load(folder / name, encoder)
            for name, encoder in zip(TOKENIZER_FOLDERS, encoders, strict=True)
        ]
        fitting, self.unfit = _fitting(self._tokenizers, learnt)
        self.rows = [_add(each, row, fitting) for row, each in enumerate(self._tokenizers)]
        self._vectors = [_vectors(each) for each in self._tokenizers]
        self._commas = [_comma(each) for each in self._tokenizers]
        # A fast tokenizer refuses to be used by two threads at once ("Already borrowed").
        self._lock = threading.Lock()

    def chunks(self, text: str, limit: int) -> Chunks:
        """A text, read as `prompt.pieces` says, in chunks; as many of either encoder.

        Each piece is a text of its own to the tokenizers. A chunk that is full ends after a comma,
        if there is one among its last 20 tokens, and never within a learnt word: as A1111 has it.

        Raises InvalidRequestError for more chunks than `limit`, and for weights too far from 1.
        """
        read = pieces(text)
        _check_weights(read)
        with self._lock:
            both = [self._split(row, read) for row in range(len(self._tokenizers))]
            for row, own in enumerate(both):
                if len(own) > limit:
                    raise InvalidRequestError(self._too_long(row, own, limit))
        most = max(map(len, both))
        token_ids = np.broadcast_to(self.empty()[:, None], (len(both), most, self.max_tokens))
        chunks = Chunks(token_ids.copy(), np.ones(token_ids.shape, np.float32))
        for row, own in enumerate(both):
            for place, chunk in enumerate(own):
                inside = slice(1, 1 + len(chunk))
                chunks.token_ids[row, place] = self._framed(row, [token for token, _ in chunk])
                chunks.weights[row, place, inside] = [weight for _, weight in chunk]
        return chunks

    def empty(self) -> TokenIds:
        """A chunk without words, i32[2, max_tokens]."""
        return np.stack([self._framed(row, []) for row in range(len(self._tokenizers))])

    def cut(self, prompt: str) -> TokenIds:
        """As much of a text as one chunk holds, i32[2, max_tokens], whatever signs are in it."""
        with self._lock:
            rows = [self._words(row, prompt)[: self.max_tokens - _ENDS] for row in range(2)]
        return np.stack([self._framed(row, tokens) for row, tokens in enumerate(rows)])

    def spelled(self, row: int, token: int) -> tuple[str, int, bool]:
        """A token of encoder `row` as text, itself, and whether it ends a word."""
        spelled = self._tokenizers[row].spelled(token)
        text = self.read(row, [token]).strip() or spelled
        # Learnt words and signs of the vocabulary's own are whole.
        own = token in self._tokenizers[row].added().values()
        return text, token, own or spelled.endswith("</w>")

    def read(self, row: int, tokens: Sequence[int]) -> str:
        """The text of tokens of encoder `row`."""
        return self._tokenizers[row].text(tokens)

    def _words(self, row: int, text: str) -> list[int]:
        """The tokens of a text alone, learnt words as all of their vectors."""
        tokens = self._tokenizers[row].ids(text)
        return [each for token in tokens for each in self._vectors[row].get(token, (token,))]

    def _framed(self, row: int, tokens: Sequence[int]) -> TokenIds:
        """Between their beginning and their end, padded; i32[max_tokens]."""
        tokenizer = self._tokenizers[row]
        padding = [tokenizer.pad] * (self.max_tokens - _ENDS - len(tokens))
        framed = [tokenizer.bos, *tokens, tokenizer.eos, *padding]
        return np.array(framed, np.int32)

    def _split(self, row: int, read: Iterable[Piece]) -> list[list[tuple[int, float]]]:
        """Chunks of tokens with their weights, one at least."""
        room, vectors = self.max_tokens - _ENDS, self._vectors[row]
        comma = self._commas[row]
        chunks: list[list[tuple[int, float]]] = [[]]
        after_comma = 0  # where the chunk being filled would be split; 0: nowhere
        for piece in read:
            if piece is BREAK:
                chunks.append([])
                after_comma = 0
                continue
            for token in self._tokenizers[row].ids(piece.text):
                own = vectors.get(token, [token])
                begun = False
                if len(chunks[-1]) == room:
                    near = after_comma and room - after_comma < _BACK_TO_COMMA
                    # What comes after the comma goes on in the next; not so before another comma.
                    split = after_comma if near and token != comma else room
                    chunks[-1:] = [chunks[-1][:split], chunks[-1][split:]]
                    after_comma, begun = 0, True
                if len(chunks[-1]) + len(own) > room:
                    chunks.append([])
                    after_comma, begun = 0, True
                chunks[-1] += [(each, piece.weight) for each in own]
                if token == comma and not begun:
                    after_comma = len(chunks[-1])
        # A BREAK at the end begins nothing.
        return chunks if len(chunks) == 1 or chunks[-1] else chunks[:-1]

    def _too_long(self, row: int, chunks: list[list[tuple[int, float]]], limit: int) -> str:
        tokens = sum(map(len, chunks))
        heard = [token for chunk in chunks[:limit] for token, _ in chunk]
        room = limit * (self.max_tokens - _ENDS)
        if tokens > room:
            much = say(
                "The text is {tokens} tokens long; this model reads {room} here.",
                tokens=tokens,
                room=room,
            )
        else:
            much = say(
                "The text has {parts} parts; this model reads {limit} here.",
                parts=len(chunks),
                limit=limit,
            )
        if not heard:
            return sentences(much, say("Shorten it."))
        end = self.read(row, heard)[-40:].strip()
        where = say("Shorten it: it would stop reading after “…{end}”.", end=end)
        return sentences(much, where)


def _check_weights(read: Iterable[Piece]) -> None:
    for piece in read:
        if piece is not BREAK and not abs(piece.weight) <= _MOST_WEIGHT:
            raise InvalidRequestError(
                say(
                    "{text} has a weight of {weight:.3g}; from -{most:g} to {most:g} a picture "
                    "stands. Take brackets away, or write \\( for one that is only text.",
                    text=repr(piece.text.strip()[:40]),
                    weight=piece.weight,
                    most=_MOST_WEIGHT,
                )
            )


def _comma(tokenizer: Vocabulary) -> int | None:
    """The token of a comma, of a vocabulary that has one."""
    token = tokenizer.token(",</w>")
    return None if token == tokenizer.unk else token


def _fitting(
    tokenizers: Sequence[Vocabulary], learnt: Iterable[LearntWord]
) -> tuple[list[LearntWord], list[str]]:
    """The words that are none yet, and why others are left out. Capitals are read as small."""
    taken = [{name.lower() for name in tokenizer.by_text()} for tokenizer in tokenizers]
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


def _add(tokenizer: Vocabulary, row: int, learnt: Iterable[LearntWord]) -> dict[int, Array]:
    """Have a tokenizer know these words; their vectors of encoder `row` by token."""
    added: dict[int, Array] = {}
    for word in learnt:
        tokens = tokenizer.add(word.names(row))
        added |= dict(zip(tokens, word.vectors[row], strict=True))
    return added


def _vectors(tokenizer: Vocabulary) -> dict[int, list[int]]:
    """All tokens of each word that was learnt as several vectors, by the first of them.

    A word of three vectors is three tokens, `word`, `word_1` and `word_2`, and all are meant where
    the first is written, as diffusers has it (`maybe_convert_prompt`).
    """
    added = tokenizer.added()
    several = {}
    for word in added:
        tokens = [added[word]]
        while (vector := f"{word}_{len(tokens)}") in added:
            tokens.append(added[vector])
        if len(tokens) > 1:
            several[added[word]] = tokens
    return several
