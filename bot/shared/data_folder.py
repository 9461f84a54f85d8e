"""What lies in the storage folder, by name: whoever reads or writes there takes the names here."""

from typing import Final

LEDGER: Final = "ledger.sqlite3"
LEDGER_LOCK: Final = "ledger.lock"  # held by the one bot that works there
BOT_LOCK: Final = "bot.lock"  # held by that bot too, where its ledger is elsewhere
IMAGES: Final = "images"  # a folder a job
PROGRAMS: Final = "programs"  # what was compiled
COMMANDS: Final = "commands.json"  # what Discord was told last
SLACK_TOKEN: Final = "slack_token.json"  # noqa: S105 - the file that holds what Slack gave last
