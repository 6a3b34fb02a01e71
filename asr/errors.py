"""Errors that a user can fix. Each message is one line with the problem, the place, and the fix."""


class AsrError(Exception):
    """Base class of all user errors. Entry points print the message and exit with code 2."""


class AudioError(AsrError):
    """A recording cannot be read or contains no usable audio."""


class StorageError(AsrError):
    """A server or object store does not answer, or answers with an error."""


class TextError(AsrError):
    """A transcript is unusable, for example because of characters outside the model's alphabet."""


class ManifestError(AsrError):
    """A manifest is missing, empty, or malformed. The message names the file and the line."""


class ModelError(AsrError):
    """A file is not a trained model, or the model does not fit its intended use."""


class UnsupportedModelError(ModelError):
    """A model has parts that an engine cannot run."""


class TrainingError(AsrError):
    """Training cannot continue because memory ran out or no data can be read."""


class PeerError(AsrError):
    """Distributed training cannot continue because another process ended."""


class WorkerError(AsrError):
    """Data loading cannot continue because a worker process ended."""


class DecodingError(AsrError):
    """Decoding cannot continue because a decoding process ended."""


class ConfigError(AsrError):
    """A setting does not exist or has an invalid value. The message names the key."""
