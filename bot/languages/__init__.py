"""What the bot says, in the languages of those who read it."""
