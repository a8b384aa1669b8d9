"""Where a row comes from and what was made of it, from the files of a line alone: `factory trace`."""
