"""Read manifests and turn them into batches of waveforms and labels."""
