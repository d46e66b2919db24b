"""Tables, plots and pages of answers."""
