#!/usr/bin/env bash
# Babel 2.19.0: a new catalogue for French, Spanish, Portuguese, Italian or Catalan has three plural forms, not the
# two that gettext's own `msginit`, Django and most translation services give these languages. The second form is for
# whole millions alone ("1 000 000 de jours"); what stands for 2 is the third. A translator who fills two forms, as
# usual, has said nothing for nearly every count, and gettext shows an empty text. A file that brings a header of two
# forms keeps it.
#
# Seen: fr 3: 1 -> 0, 2 -> 2, 1000000 -> 1; es 3; pt 3; it 3; ca 3; de 2; a file of two forms keeps 2
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "babel==2.19.0"
"$folder/venv/bin/python" - <<'PYTHON'
import gettext
import io

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

forms = {name: Catalog(locale=name).num_plurals for name in ("fr", "es", "pt", "it", "ca", "de")}
index_of = gettext.c2py(Catalog(locale="fr").plural_expr)
seen = {count: index_of(count) for count in (1, 2, 1_000_000)}
two = b'msgid ""\nmsgstr ""\n"Language: fr\\n"\n"Plural-Forms: nplurals=2; plural=(n > 1);\\n"\n'
kept = read_po(io.BytesIO(two), locale="fr").num_plurals
print("fr", forms["fr"], seen, {name: n for name, n in forms.items() if name != "fr"}, "kept", kept)
assert forms == {"fr": 3, "es": 3, "pt": 3, "it": 3, "ca": 3, "de": 2}, "this has changed"
assert seen == {1: 0, 2: 2, 1_000_000: 1}, "this has changed"
assert kept == 2, "this has changed"
PYTHON
