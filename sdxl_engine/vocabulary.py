"""One text encoder's tokenizer, as the files of its folder say."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import RobertaProcessing

from sdxl_engine.checkpoint.config import LEGACY_EOS, TextEncoderConfig
from sdxl_engine.checkpoint.files import read_file, reason
from sdxl_engine.checkpoint.json_reader import parse_json, plain
from sdxl_engine.errors import CheckpointError

# With these a tokenizer's JSON names files that transformers opens, wherever they are.
_FILE_KEYS: Final = frozenset({"fast_tokenizer_files", "gguf_file"})
_CONFIG: Final = "tokenizer_config.json"
_VOCABULARY, _MERGES = "vocab.json", "merges.txt"
_FILES: Final = frozenset({_VOCABULARY, _MERGES, _CONFIG})
# With `added_tokens_decoder` in the configuration this says nothing, to transformers either.
_SPECIAL: Final = "special_tokens_map.json"
_NAMED: Final = ("bos_token", "eos_token", "unk_token", "pad_token")
# What the configuration of a CLIP tokenizer may say without meaning anything to its tokens.
_SAYS_NOTHING: Final[Mapping[str, Any]] = {
    "add_prefix_space": (False,),
    "clean_up_tokenization_spaces": (True, False),
    "do_lower_case": (True,),
    "errors": ("replace",),
    "tokenizer_class": ("CLIPTokenizer",),
}
_ADDED_KEYS: Final = frozenset({"lstrip", "normalized", "rstrip", "single_word", "special"})
_WORDS: Final = (  # CLIP's; the letters and numbers are Unicode's
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|"
    r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
_END_OF_WORD: Final = "</w>"


class Vocabulary:
    """Texts to tokens and back; made by `load`.

    bos, eos, pad, unk  the tokens that begin and end a text, fill it up, stand for what is unknown
    """

    def __init__(self, tokenizer: Tokenizer, bos: int, eos: int, pad: int, unk: int) -> None:
        self._tokenizer = tokenizer
        self.bos, self.eos, self.pad, self.unk = bos, eos, pad, unk

    @classmethod
    def load(cls, folder: Path, encoder: TextEncoderConfig) -> Self:
        """The tokenizer in a folder, of an encoder that reads its tokens; raises CheckpointError.

        Where the files are CLIP's own and say nothing else, they are read here; transformers, which
        knows all that such files may say, takes a quarter of a second to be imported.
        """
        if not folder.is_dir():
            raise CheckpointError(
                f"{folder.name}/ is missing in {folder.parent}. Fetch the model again, or point to "
                "a folder in diffusers format."
            )
        try:
            data = _checked(folder)
        except ValueError as error:
            raise _unreadable(folder, error) from error
        read = cls._of_clip(folder, data) or cls._of_transformers(folder)
        # A token without a row is no error later on: it is NaN, and the picture black.
        tokens = max(read.by_text().values()) + 1
        if tokens > encoder.vocab_size:
            raise CheckpointError(
                f"The tokenizer in {folder} knows {tokens:,} tokens, but its text encoder's "
                f"vocab_size is {encoder.vocab_size:,}. The folder mixes two models."
            )
        # The encoder's summary of a prompt is read at its end token.
        if encoder.eos_token_id not in (LEGACY_EOS, read.eos):
            raise CheckpointError(
                f"The tokenizer in {folder} ends a text with token {read.eos}, but its text "
                f"encoder's eos_token_id is {encoder.eos_token_id}. The folder mixes two models."
            )
        return read

    @classmethod
    def _of_clip(cls, folder: Path, data: Mapping[str, Mapping[str, Any]]) -> Self | None:
        """What the files say; None where they say what only transformers understands."""
        if not _FILES <= data.keys() <= _FILES | {_SPECIAL}:
            return None
        config = dict(data[_CONFIG])
        added = config.pop("added_tokens_decoder", None)
        length = config.pop("model_max_length", 0)  # ours is the encoder's
        named = [config.pop(name, None) for name in _NAMED]
        if type(length) is not int or not all(isinstance(name, str) for name in named):
            return None
        if any(value not in _SAYS_NOTHING.get(key, ()) for key, value in config.items()):
            return None
        tokens = _added_tokens(added)
        if tokens is None or not tokens.keys() >= set(named):
            return None
        return cls._of_files(folder, tokens, named)

    @classmethod
    def _of_files(
        cls, folder: Path, added: Mapping[str, tuple[int, AddedToken]], named: Sequence[str]
    ) -> Self | None:
        bos, eos, unk, pad = named
        vocabulary, merges = (str(folder / name) for name in (_VOCABULARY, _MERGES))
        try:
            model = BPE.from_file(
                vocabulary,
                merges,
                continuing_subword_prefix="",
                end_of_word_suffix=_END_OF_WORD,
                fuse_unk=False,
                unk_token=unk,
            )
        # Whatever is the matter with it, transformers says it, or knows better. Its part in Rust
        # panics at damage that it did not foresee: to Python, no Exception.
        except BaseException as error:
            if _is_damage(error):
                return None
            raise
        tokenizer = Tokenizer(model)
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        words = pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True)
        in_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, in_bytes])
        tokenizer.decoder = decoders.ByteLevel()
        ids = {content: token for content, (token, _) in added.items()}
        tokenizer.add_tokens([added[content][1] for content in sorted(ids, key=ids.__getitem__)])
        if any(tokenizer.token_to_id(content) != token for content, token in ids.items()):
            return None
        tokenizer.post_processor = RobertaProcessing(
            (eos, ids[eos]), (bos, ids[bos]), trim_offsets=False, add_prefix_space=False
        )
        return cls(tokenizer, ids[bos], ids[eos], ids[pad], ids[unk])

    @classmethod
    def _of_transformers(cls, folder: Path) -> Self:
        # Late: the import takes a quarter of a second, and a folder's JSON is checked before it.
        with _without_advice():
            from transformers import CLIPTokenizer  # noqa: PLC0415
        try:
            read: Any = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
            read("any", truncation=False, verbose=False)  # some damage is found by using it
        except BaseException as error:
            if _is_damage(error):
                raise _unreadable(folder, error) from error
            raise
        if read.pad_token_id is None:
            raise CheckpointError(f"The tokenizer in {folder} has no padding token.")
        tokenizer = read.backend_tokenizer
        return cls(
            tokenizer, read.bos_token_id, read.eos_token_id, read.pad_token_id, read.unk_token_id
        )

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, without a beginning and an end."""
        framed: list[int] = self._tokenizer.encode(text).ids
        return framed[1:-1]

    def text(self, tokens: Sequence[int]) -> str:
        """What tokens stand for."""
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=False)
        return text.replace(_END_OF_WORD, " ").strip()

    def spelled(self, token: int) -> str:
        """A token as the files spell it."""
        spelled = self._tokenizer.id_to_token(token)
        assert spelled is not None  # noqa: S101 - it came of this vocabulary
        return spelled

    def token(self, spelled: str) -> int | None:
        """The token that the files spell so."""
        return self._tokenizer.token_to_id(spelled)

    def by_text(self) -> dict[str, int]:
        """All tokens as the files spell them."""
        tokens: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        return tokens

    def added(self) -> dict[str, int]:
        """Those that are found in a text before it is read as words, in their order."""
        decoder = self._tokenizer.get_added_tokens_decoder()
        return {decoder[token].content: token for token in sorted(decoder)}

    def add(self, words: Iterable[str]) -> list[int]:
        """Have these found in texts from now on; their tokens."""
        names = list(words)
        self._tokenizer.add_tokens(names)
        added = self.added()
        return [added[name] for name in names]


def _added_tokens(said: object) -> dict[str, tuple[int, AddedToken]] | None:
    """Those of a configuration by their text; None if it says anything else."""
    if not isinstance(said, dict) or not said:
        return None
    added: dict[str, tuple[int, AddedToken]] = {}
    for token, facts in said.items():
        if not token.isdecimal() or not isinstance(facts, dict):
            return None
        facts = dict(facts)  # noqa: PLW2901 - without its text from here on
        content = facts.pop("content", None)
        flags = facts.keys() == _ADDED_KEYS and all(type(flag) is bool for flag in facts.values())
        if not isinstance(content, str) or not content or content in added or not flags:
            return None
        added[content] = int(token), AddedToken(content, **facts)
    return added


def _is_damage(error: BaseException) -> bool:
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


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


def _checked(folder: Path) -> dict[str, dict[str, Any]]:
    """What its files hold that are JSON, by name; of others nothing.

    Raises ValueError for what no library must open: it takes whatever it finds.
    """
    read = {}
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
        read[str(path.relative_to(folder))] = data
    return read


def _unreadable(folder: Path, error: BaseException) -> CheckpointError:
    return CheckpointError(
        f"The tokenizer in {folder} cannot be read: {plain(str(error))}. Fetch the model again."
    )
