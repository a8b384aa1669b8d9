"""The gate: what a dataset must satisfy before anything may train on it, and the reports about it."""
