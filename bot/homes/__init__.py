"""Where people are: a chat system each, and the cards that all of them show."""
