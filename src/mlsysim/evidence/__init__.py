"""Published measurements: read from their tables, repaired or refused with a reason, and kept with their place."""
