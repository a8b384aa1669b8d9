"""Problems: where they come from, which are doubles or contaminated, and on which side of the split each stands."""
