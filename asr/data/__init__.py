"""From a manifest to batches of waveforms and labels."""
