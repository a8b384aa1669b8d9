"""Compact trainers. Each reads as its paper; of `factory` they know the row schemas and the errors, nothing else."""
