"""Make the embedded model from nothing.

    python training/train.py RUN [--model FOLDER]

RUN keeps what was drawn and the checkpoints: the same command again goes on where it was stopped.
"""

import argparse
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


def main() -> None:
    """Every stage, in order; a finished one loads its checkpoint and writes its weights again."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", type=Path, default=Path("sdxl_engine/doodle"))
    arguments = parser.parse_args()
    run, model = arguments.run, arguments.run / "model"
    write_architecture(model, vocabulary())
    album = Album(run, _SCENES)
    train_denoiser(model, run, album, steps=_DENOISER_STEPS)
    train_autoencoder(model, run, album, steps=_AUTOENCODER_STEPS)
    shutil.rmtree(arguments.model, ignore_errors=True)
    shutil.copytree(model, arguments.model)


if __name__ == "__main__":
    main()
