"""The command line: a face, no physics."""
