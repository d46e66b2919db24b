"""``python -m mlsysim``: the command line."""

from mlsysim.cli.app import main

main()
