"""Reasons not to believe a number, found by measuring the model itself."""
