"""Random splits of recordings: by speaker, by file, or by time."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from os.path import commonpath
from pathlib import Path

from asr.validation import check_number
from recipes.console import console
from recipes.errors import convert_errors
from recipes.prepare import Recording, Splits, sort_by_hash

GAP = 5.0  # seconds between splits of the same recording
MIN_SEGMENTS = 20  # fewer segments are split without a gap


def split_randomly(
    recordings: Sequence[Recording], validation: float, test: float, min_speakers: int = 0
) -> Splits:
    """Choose the splits by a hash of the speaker, or of the file if there are too few speakers.

    Segments of too few files are split by time. Recordings that are left out are in train.

    Args:
        recordings: Recordings of a corpus.
        validation: Share of validation.
        test: Share of test.
        min_speakers: The splits share speakers if there are fewer.
    """
    usable = [recording for recording in recordings if not recording.skip_reason]
    if not usable:
        return {"train": list(recordings)}
    held_out = (test > 0) + (validation > 0)
    file_name = _file_names(usable)
    groups = group_by(usable, lambda recording: recording.speaker or file_name(recording))
    speakers = {recording.speaker for recording in usable} - {""}
    if len(groups) <= held_out or len(speakers) < min_speakers:
        if speakers:
            console.print(f"speakers: {len(speakers)}, so the splits share speakers")
        groups = group_by(usable, file_name)
    if len(groups) <= held_out < len(usable):
        console.print(f"recordings: {len(groups)}, so the splits are parts of recordings")
        splits = _split_by_time(usable, validation, test)
    else:
        splits = _split_groups(groups, validation * len(usable), test * len(usable))
    splits["train"] += [recording for recording in recordings if recording.skip_reason]
    return {split: chosen for split, chosen in splits.items() if chosen}


def check_shares(validation_share: float, test_share: float) -> None:
    """Check the shares of validation and test.

    Raises:
        RecipeError: If one is negative, or they leave nothing for training.
    """
    with convert_errors(ValueError):
        check_number("validation_share", validation_share, ge=0)
        check_number("test_share", test_share, ge=0)
        check_number("validation_share + test_share", validation_share + test_share, lt=1)


def fill_splits(
    splits: Splits, *, validation_share: float, test_share: float = 0.0
) -> Splits:
    """Return the splits, with a validation and a test set from train if they are missing.

    A share of 0 adds none. See `split_randomly`.
    """
    shares = {"validation": validation_share, "test": test_share}
    missing = {split: 0.0 if split in splits else share for split, share in shares.items()}
    if "train" not in splits or not any(missing.values()):
        return splits
    return splits | split_randomly(splits["train"], missing["validation"], missing["test"])


def use_split_column(recordings: Sequence[Recording]) -> Splits:
    """Return the splits that a table assigns, or none. A row without a split is in train.

    Recordings that are left out never form a split of their own.
    """
    if not any(recording.split for recording in recordings):
        return {}
    splits = group_by(recordings, lambda recording: recording.split or "train")
    usable = [s for s, group in splits.items() if any(not r.skip_reason for r in group)]
    if not usable:
        return splits
    for split in [split for split in splits if split not in usable]:
        splits[usable[0]] += splits.pop(split)
    return splits


def group_by(recordings: Iterable[Recording], key: Callable[[Recording], str]) -> Splits:
    """Return the recordings by key in their order."""
    groups: Splits = defaultdict(list)
    for recording in recordings:
        groups[key(recording)].append(recording)
    return groups


def _file_names(recordings: Sequence[Recording]) -> Callable[[Recording], str]:
    """Return a function that names the file of a recording independently of their folder."""
    folders = {str(recording.audio.parent.absolute()) for recording in recordings}
    try:
        root = Path(commonpath(folders))
    except ValueError:  # no recordings, or on several drives of Windows
        return lambda recording: str(recording.audio)
    return lambda recording: recording.audio.absolute().relative_to(root).as_posix()


def _split_groups(groups: Splits, validation: float, test: float) -> Splits:
    """Move whole groups to validation and test until these have enough recordings."""
    total = sum(map(len, groups.values()))
    remaining = sort_by_hash(groups)
    splits: Splits = {"train": [], "test": [], "validation": []}
    for split, wanted in (("test", test), ("validation", validation)):
        while len(remaining) > 1 and len(splits[split]) < wanted:
            group = remaining.pop()
            if len(groups[group]) > total / 2:  # most recordings are for training
                group, remaining[-1] = remaining[-1], group
            splits[split] += groups[group]
    for group in remaining:
        splits["train"] += groups[group]
    return splits


def _split_by_time(usable: Sequence[Recording], validation: float, test: float) -> Splits:
    """Use the first segments for test, the last ones for validation, and the middle for training.

    Training segments within GAP seconds of the others are left out, because neighbors share
    words and noise.
    """
    ordered = sorted(usable, key=lambda recording: (str(recording.audio), recording.offset))
    first = max(1, round(test * len(ordered))) if test else 0
    last = max(1, round(validation * len(ordered))) if validation else 0
    first = min(first, len(ordered) - 1 - min(last, 1))
    last = min(last, len(ordered) - 1 - first)  # leave a segment for training
    stop = len(ordered) - last
    middle, gap = ordered[first:stop], GAP if len(ordered) >= MIN_SEGMENTS else 0.0
    others = [*ordered[:first], *ordered[stop:]]
    near = [recording for recording in middle if _is_near(recording, others, gap)]
    if len(near) == len(middle):
        near = []
    skipped = [replace(recording, skip_reason="gap between splits") for recording in near]
    train = [recording for recording in middle if recording not in near] + skipped
    return {"train": train, "test": ordered[:first], "validation": ordered[stop:]}


def _is_near(recording: Recording, others: Sequence[Recording], gap: float) -> bool:
    """Return whether a segment overlaps another one, or is closer to it than the gap."""
    return any(
        other.audio == recording.audio
        and recording.offset < _end(other) + gap
        and other.offset < _end(recording) + gap
        for other in others
    )


def _end(recording: Recording) -> float:
    if recording.duration is None:
        return float("inf")
    return recording.offset + recording.duration
