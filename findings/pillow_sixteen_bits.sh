#!/usr/bin/env bash
# Pillow 13.0.0: a grey PNG of 16 bits a level opens in mode "I;16", and convert("L") or convert("RGB") cuts its
# levels off at 255 instead of scaling them: all that is not nearly black turns white, without a warning. Of
# colour PNGs of 16 bits the high byte is taken, as one would expect of both.
#
# Seen: I;16 0 255 256 32768 65535 -> L 0 255 255 255 255
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "pillow==13.0.0" "numpy==2.4.3"
"$folder/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
from PIL import Image

levels = [0, 255, 256, 32768, 65535]
file = io.BytesIO()
Image.fromarray(np.array([levels], np.uint16)).save(file, "PNG")
image = Image.open(file)
shown = np.asarray(image.convert("L"))[0].tolist()
print(image.mode, *levels, "-> L", *shown)
assert image.mode == "I;16"
assert shown == [0, 255, 255, 255, 255], "this has changed"
assert np.asarray(image.convert("RGB"))[0, :, 0].tolist() == shown
PYTHON
