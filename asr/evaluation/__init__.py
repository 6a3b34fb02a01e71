"""Score hypotheses and report the results."""
