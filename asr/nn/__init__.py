"""Features, encoder, CTC model and losses."""
