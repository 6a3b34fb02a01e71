"""Align a known text with a recording.

Prints the time of each word. A folder stands for all recordings in it and - for standard input.
Without text=, the text of talk.wav is in talk.txt beside it. A recording that is unreadable or
cannot contain its text is reported on standard error, the others are aligned, and the exit code is
2. A text that does not match its recording is reported too, but aligned as well as possible.

  text=TEXT         words, or the path of a text file
  manifest=FILE     utterances of a manifest (JSON lines) instead of recordings
  checkpoint=PATH   trained model (english, which comes with asr)
  format=ctm        one line per word: recording, channel, start, duration, word, score
        =textgrid   for Praat: tiers of words, characters, and words that do not match
        =srt        subtitles in the spelling of the text; (?) follows words that do not match
        =vtt, tsv   the same as WebVTT, or as a table with times in milliseconds
        =json       one line per recording, with words and characters
  unit=characters   one line of ctm per character, or per word piece of a tokenizer=bpe model
  channel=1         first channel instead of the mix of all
  output=FOLDER     one file per recording, in the same folder structure; recordings that have
                    their file are skipped
  overwrite=true    align them too, and replace their files
  min_score=0.15    score (0 to 1) below which words and texts do not match
  device=cuda       device to run on (cpu)
"""

import sys
from collections.abc import Iterator, Sequence

from asr.config.inputs import paused_gc, run_with_files
from asr.errors import AsrError


def align(files: Sequence[str], overrides: Sequence[str]) -> Iterator[AsrError]:
    """Print or write the alignment of each recording, and yield the errors of the others.

    Raises:
        AsrError: If a setting, the text, or the model is wrong.
    """
    with paused_gc():
        from asr.config.alignment import AlignmentWriter, collect_requests, compose_align
        from asr.config.environment import set_threads

        cfg, text = compose_align(overrides)
        set_threads(cfg)
        requests, errors = collect_requests(files, text, cfg.manifest, cfg.channel)
        writer = AlignmentWriter(cfg, requests)
        yield from [*errors, *writer.errors]
        if writer.done:
            kept = f"{writer.done} already there; overwrite=true replaces them"
            print(f"asr.align: {kept}", file=sys.stderr)
        if not writer.pending:
            return
        from asr.inference.aligner import Aligner

        aligner = Aligner.load(cfg.checkpoint, min_score=cfg.min_score, device=cfg.device)
    for number, timeline in enumerate(aligner.align(writer.pending)):
        if isinstance(timeline, AsrError):
            yield timeline
            continue
        if not timeline.fits:
            reason = f"the text does not match the audio (score {timeline.score:.2f})"
            print(f"asr.align: {writer.pending[number].name}: {reason}", file=sys.stderr)
        try:
            writer.write(number, timeline)
        except AsrError as error:
            yield error


def main() -> None:
    """Run the command line."""
    run_with_files("asr.align", str(__doc__), align)


if __name__ == "__main__":
    main()
