"""The thought-template library (ReasonFlux §3.1): induce templates from solved problems, check, retrieve, and look them up."""
