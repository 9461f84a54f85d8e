"""What the rules of a place find in a prompt: readings of a text, lists of terms, one automaton."""
