"""What a model's answers are worth: arms to sample, intervals, and the metrics file."""
