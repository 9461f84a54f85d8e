"""What people read where the records are in trouble, whichever database they are in."""

from typing import Final

from sdxl_engine.sentence import say

LOCKED: Final = say(
    "Another program holds the bot's records locked. Tell the bot's owner, and "
    "ask again in a minute."
)
DAMAGED: Final = say(
    "The bot's records are damaged. Tell the bot's owner: a copy of them must be restored."
)
