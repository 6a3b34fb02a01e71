"""Compose, check and instantiate the Hydra configuration."""
