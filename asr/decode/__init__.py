"""Decoders: from emissions to words with times and confidence."""
