"""Chat systems of one's own on this machine. They know nothing of the bot that talks to them."""
