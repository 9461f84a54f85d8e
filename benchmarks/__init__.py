"""One script a question, or a package for a long one; each prints a table."""
