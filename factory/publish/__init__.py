"""From an audited table to a Hugging Face dataset folder."""
