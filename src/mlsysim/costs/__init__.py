"""What an answer costs: rent or ownership, power and energy, carbon and water."""
