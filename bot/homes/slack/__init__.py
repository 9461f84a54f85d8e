"""Slack: commands, shortcuts, cards, dialogs, over Socket Mode."""
