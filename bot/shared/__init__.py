"""What any room may use: the standard library alone, and no room of ours."""
