"""Pure functions, SI in and SI out, for floats and for numpy arrays alike.

One function, one equation, one citation. Nothing here knows a model, a device or a unit by name.
"""
