"""The weights of one network as they are stored, in whatever files, under today's names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sdxl_engine.checkpoint.folder import part_files
from sdxl_engine.checkpoint.names import OLD_NAMES, family, rename
from sdxl_engine.checkpoint.original import of_part
from sdxl_engine.checkpoint.safetensors_file import StoredTensor, read_header
from sdxl_engine.checkpoint.scales import scaled


@dataclass(frozen=True, slots=True)
class Part:
    """The stored weights of one network.

    name       "unet", "vae", "text_encoder" or "text_encoder_2"
    where      the file or folder that holds them
    wanted     whose they should be, for a person
    tensors    by today's names; a list longer than one was set twice
    """

    name: str
    where: Path
    wanted: str
    tensors: Mapping[str, list[StoredTensor]]

    @classmethod
    def of_folder(cls, folder: Path, name: str, *, half: bool, alone: bool = False) -> Self:
        """That of a model's folder, or of a folder that holds nothing else; raises CheckpointError.

        half  prefer the smaller fp16 files
        """
        files = part_files(folder, name, half=half, alone=alone)
        pairs = [pair for path in files for pair in scaled(read_header(path)).items()]
        where = folder if alone else folder / name
        return cls(name, where, "those that its config.json describes", _collected(name, pairs))

    @classmethod
    def of_file(cls, path: Path, name: str, tensors: Mapping[str, StoredTensor]) -> Self:
        """That in a file with the original's names, or today's; raises CheckpointError."""
        pairs = of_part(name, scaled(tensors))
        return cls(name, path, f"those of an SDXL {name}", _collected(name, pairs))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Those of its tensors."""
        return {name: found[0].shape for name, found in self.tensors.items()}

    @property
    def size_bytes(self) -> int:
        """Of all of its tensors."""
        return sum(tensor.size for found in self.tensors.values() for tensor in found)

    @property
    def files(self) -> set[Path]:
        """Those that hold a tensor of it."""
        return {tensor.path for found in self.tensors.values() for tensor in found}


def _collected(
    part: str, pairs: Iterable[tuple[str, StoredTensor]]
) -> dict[str, list[StoredTensor]]:
    stored: dict[str, list[StoredTensor]] = {}
    for name, tensor in pairs:
        today = rename(name, OLD_NAMES.get(family(part), ()))
        stored.setdefault(today, []).append(tensor)
    return stored
