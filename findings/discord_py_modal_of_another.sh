#!/usr/bin/env bash
# discord.py 2.7.1: dialogs (`discord.ui.Modal`) are kept by their custom_id alone, one a client. When one is over, whatever
# dialog has that custom_id by then is forgotten, another person's too: it is open before them, it is not finished,
# and what they submit is dropped with a line at "debug". One would expect a dialog to take away itself.
#
# What it means for a bot: a fixed custom_id in the class loses the submissions of people who opened the dialog while
# somebody else's on_submit still ran. Give each one an id of its own, or answer submissions without the store.
#
# Seen: the second dialog is kept; after stop() of the first it is not, and is_finished() of the second is False
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "discord.py==2.7.1"
cat >"$folder/dialogs.py" <<'PYTHON'
import asyncio

from discord.ui import Modal
from discord.ui.view import ViewStore


async def main() -> None:
    store = ViewStore(None)
    of_ann = Modal(title="Report", custom_id="report")
    of_bob = Modal(title="Report", custom_id="report")
    store.add_view(of_ann)
    store.add_view(of_bob)  # which is all that is kept now
    assert store._modals == {"report": of_bob}
    of_ann.stop()  # as at the end of on_submit
    print("kept:", store._modals, "finished:", of_bob.is_finished())
    assert store._modals == {} and not of_bob.is_finished()


asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/dialogs.py"
