"""Training: data, collation, objective, trainer."""
