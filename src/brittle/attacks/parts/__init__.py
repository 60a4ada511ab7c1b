"""What attacks are built of: ways to ask, to climb, to follow a boundary. Nothing here is an attack, and nothing but attacks uses it."""
