"""Runs timed while they run: a loop of one's own, a trainer's, a program's, an ONNX network on this machine."""
