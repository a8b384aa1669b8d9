"""How a model is asked, and how text becomes tokens."""
