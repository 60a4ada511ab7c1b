"""Plans, identities, rows, the store and the runner."""
