"""Discord: the connection, its commands and buttons, and how a card looks there."""
