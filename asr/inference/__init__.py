"""Transcribe and align recordings with a trained model."""
