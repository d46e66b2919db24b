"""Predictions held against measurements: without their own rows, without their group, or after a few of them."""
