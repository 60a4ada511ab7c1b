"""Tensors in, tensors out: the mathematics of the norms, and the random bits. Imports torch and nothing of brittle."""
