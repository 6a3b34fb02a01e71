"""The one family of errors that a user can cause: each message is one line that says what, where and what to do."""


class AsrError(Exception):
    """Bad input or bad settings. Entry points print the message on one line and end with exit code 2."""


class AudioError(AsrError):
    """A recording that cannot be read, or that holds no usable audio."""


class StorageError(AsrError):
    """A server or an object store that does not answer, or not with what it is asked for."""


class TextError(AsrError):
    """A transcript with characters that the model's alphabet lacks."""


class ManifestError(AsrError):
    """A manifest that is missing, empty or broken; the message names the file and the line."""


class ModelError(AsrError):
    """A file that is not a trained model, or one that does not fit what is asked of it."""


class TrainingError(AsrError):
    """A training that cannot go on: memory that ran out, or data of which nothing can be read."""


class PeerError(AsrError):
    """A training of several processes that cannot go on, as another one is gone."""


class WorkerError(AsrError):
    """Data that do not come: a process that reads them is gone."""


class DecodingError(AsrError):
    """Decoding that cannot go on: one of its processes is gone."""


class ConfigError(AsrError):
    """A setting that does not exist, or whose value makes no sense; the message names the key."""
