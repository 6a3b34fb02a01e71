"""Metrics for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
FACTORS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2)
SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters and histograms of one server."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "asr_requests", "Transcription requests", ["status"], registry=registry
        )
        self.audio = Counter(
            "asr_audio_seconds", "Seconds of transcribed audio", registry=registry
        )
        self.accepted = Gauge(
            "asr_accepted_requests",
            "Accepted requests, not answered yet",
            registry=registry,
        )
        self.queue = Gauge(
            "asr_queue_length",
            "Complete requests that wait for a worker",
            registry=registry,
        )
        self.streams = Gauge("asr_streams", "Open streams of live audio", registry=registry)
        self.disk = Gauge("asr_upload_bytes", "Bytes of held uploads", registry=registry)
        self.batch_size = Histogram(
            "asr_batch_size",
            "Windows that the network computes together",
            registry=registry,
            buckets=SIZES,
        )
        self.latency = Histogram(
            "asr_request_seconds",
            "Time from the complete request to its transcript",
            registry=registry,
            buckets=SECONDS,
        )
        self.factor = Histogram(
            "asr_real_time_factor",
            "Time from the complete request to its transcript, relative to the audio",
            registry=registry,
            buckets=FACTORS,
        )

    def render(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self.registry)
