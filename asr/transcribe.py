"""Transcribe recordings.

Prints the words of each recording on one line, after its name if there are several. A folder stands
for all recordings in it and - for standard input. An unreadable recording is reported on standard
error, the others are transcribed, and the exit code is 2. Live audio, from a microphone or a WAV
file of unknown length on standard input, is printed segment by segment.

  checkpoint=PATH   trained model (english, which comes with asr)
  format=json       text (the default), json, jsonl, srt, vtt, tsv, ctm, textgrid, or several:
        =[srt,json] needs output=FOLDER
  output=FOLDER     one file per recording and format, in the same folder structure; recordings
                    that have their files are skipped
  overwrite=true    transcribe them too, and replace their files
  channel=1         first channel instead of the mix of all; each: every channel by itself
  vad=false         do not skip silence
  --record          transcribe a microphone (microphone=NAME) until Ctrl-C
  encoding=s16le    standard input has raw samples: s16le, f32le, mulaw, or alaw, at
                    sample_rate=16000 with channels=1
  progress=false    no progress bar (auto: on a terminal, unless there is one short recording)
  device=cuda       device to run on (cpu)
  engine=onnx       ONNX Runtime, the default (auto) on a CPU if it is installed
        =torch      PyTorch
"""

from collections.abc import Iterator, Sequence

from asr.config.inputs import find_inputs, paused_gc, run_with_files
from asr.errors import AsrError, ConfigError


def transcribe(files: Sequence[str], overrides: Sequence[str]) -> Iterator[AsrError]:
    """Print or write the transcript of each recording, and yield the errors of the others.

    Raises:
        ConfigError: If a setting is wrong or there are no files.
        ModelError: If the checkpoint is not a model.
    """
    if not files:
        raise ConfigError("no recording; pass files, folders, or - for standard input")
    with paused_gc():
        from asr.config.app import compose
        from asr.config.environment import set_threads

        cfg = compose("transcribe", overrides)
        set_threads(cfg)

        from asr.config.live import open_live, transcribe_live
        from asr.config.transcription import open_output, transcribe_inputs

    audio = open_live(cfg, files)
    if not (audio is None or isinstance(audio, bytes)):
        yield from transcribe_live(cfg, audio)
        return
    inputs, errors = find_inputs(files, audio)
    output = open_output(cfg, inputs)
    yield from [*errors, *output.errors]
    yield from transcribe_inputs(cfg, output)


def main() -> None:
    """Run the command line."""
    run_with_files("asr.transcribe", str(__doc__), transcribe)


if __name__ == "__main__":
    main()
