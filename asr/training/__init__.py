"""Training with Lightning; the only package that imports it, beside the entry point `asr.train`."""
