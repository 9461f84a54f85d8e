"""What the bot is. No chat, no database, no device, no files: those are behind `ports`."""
