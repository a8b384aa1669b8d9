"""The command `factory`, a file a command group."""
