"""Discord's side of the bot: the client, its command, and the card that tells of a job."""
