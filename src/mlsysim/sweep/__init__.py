"""Many points at once: every combination of what the fields of a question hold."""
