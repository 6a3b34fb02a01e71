"""Train models with Lightning. Only this package and `asr.train` import it."""
