"""The COAT factory: datasets, thought templates and preference pairs for reasoning models. Knows no trainer."""
