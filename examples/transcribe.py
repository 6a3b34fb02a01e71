"""Transcribe a recording: python examples/transcribe.py MODEL RECORDING."""

import sys

import asr

model, recording = sys.argv[1:]
transcript = asr.load(model).transcribe(recording)
print(transcript.text)
for word in transcript.words:
    print(f"{word.start:7.2f} {word.end:7.2f}  {word.confidence:4.2f}  {word.text}")
