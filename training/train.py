"""Make the embedded model from nothing.

    python training/train.py RUN [--model FOLDER]

RUN keeps what was drawn and the checkpoints: the same command again goes on where it was stopped.
Where anything about the recipe has changed since, it begins anew.
"""

import argparse
import hashlib
import shutil
from pathlib import Path
from typing import Final

from architecture import write_architecture
from autoencoder import train_autoencoder
from captions import vocabulary
from denoiser import train_denoiser
from latents import Album

_SCENES: Final = 60_000
_AUTOENCODER_STEPS: Final = 2_600
_DENOISER_STEPS: Final = 4_500
_ONLY_LOOKING: Final = (
    "adherence",
    "check_agreement",
    "contact_sheet",
    "judge",
    "judged",
    "lora",
    "lora_adherence",
    "parity",
    "picture_check",
    "preview_colours",
)  # at what came out, or beginning from it


def main() -> None:
    """Every stage, in order; a finished one loads its checkpoint and writes its weights again."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", type=Path, default=Path("sdxl_engine/doodle"))
    arguments = parser.parse_args()
    if arguments.model.exists() and not (arguments.model / "model_index.json").is_file():
        parser.error(f"{arguments.model} is no model folder: it would be replaced")
    run = arguments.run / f"recipe-{_recipe()}"
    model = run / "model"
    write_architecture(model, vocabulary())
    album = Album(arguments.run, _SCENES)
    train_denoiser(model, run, album, steps=_DENOISER_STEPS)
    train_autoencoder(model, run, album, steps=_AUTOENCODER_STEPS)
    fresh = arguments.model.with_name(f"{arguments.model.name}.new")
    shutil.copytree(model, fresh, dirs_exist_ok=True)
    if arguments.model.exists():
        shutil.rmtree(arguments.model)
    fresh.rename(arguments.model)


def _recipe() -> str:
    """Names everything that a checkpoint depends on: it must not go on under another recipe."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    trained = [path for path in sources if path.stem not in _ONLY_LOOKING]
    return hashlib.sha256(b"".join(path.read_bytes() for path in trained)).hexdigest()[:12]


if __name__ == "__main__":
    main()
