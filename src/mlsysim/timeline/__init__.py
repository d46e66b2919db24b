"""Traces of profilers: each instant of a step given to one cause, so that the causes sum to what was measured."""
