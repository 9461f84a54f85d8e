"""Draw a picture with the engine alone, without a bot.

python examples/draw.py "a red circle on a blue background" circle.png
"""

import sys
from pathlib import Path

from PIL import Image

from sdxl_engine import ImageRequest, SdxlPipeline


def draw(prompt: str, path: Path) -> None:
    """Write one picture to `path`, in the size that the model was trained for."""
    pipeline = SdxlPipeline.load("doodle")  # or a folder in diffusers format, or "owner/name"
    width_px, height_px = pipeline.native_size
    compile_s = pipeline.warm_up(num_images=1)  # afterwards no request compiles anything
    print(f"Compiled for {pipeline.device} in {compile_s:.1f} s")

    request = ImageRequest(prompt, seed=7, width_px=width_px, height_px=height_px, num_images=1)
    for progress in pipeline.generate(request):
        print(f"Step {progress.step} of {progress.num_inference_steps}")
        if progress.fetch is not None:  # the last one
            [image] = progress.fetch()
            Image.frombytes("RGB", (image.width_px, image.height_px), image.rgb).save(path)
            print(path)


if __name__ == "__main__":
    draw(sys.argv[1], Path(sys.argv[2]))
