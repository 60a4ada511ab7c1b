"""The two calls that most people need: `attack` a batch, `evaluate` a model."""
