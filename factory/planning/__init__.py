"""A profile before it runs: whether it can (`checks`), and what it will ask and cost (`estimate`). No stage imports any of this."""
