"""Features, encoder, CTC model, losses, and model files."""
