"""Hotwords against an enumeration of all paths, and the emissions in which they are boosted."""

import math
import os
import subprocess
import sys
from itertools import groupby, product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.decode.beam import BeamDecoder
from asr.decode.forced_align import best_path
from asr.decode.greedy import GreedyDecoder
from asr.decode.hotwords import WEIGHT, HotwordBooster, read_hotwords
from asr.decode.phrase_search import PhraseTrie, boost_phrases, find_phrases, phrase_path
from asr.errors import ConfigError
from asr.nn.emissions import Emissions
from asr.text import Tokenizer

TOKENIZER = Tokenizer((" ", "a", "b"))
SPACE = 1
ENGLISH = Tokenizer.english()


def random(frames, seed, tokens=4):
    rng = np.random.default_rng(seed)
    x = 2 * rng.standard_normal((frames, tokens))
    return (x - np.log(np.exp(x).sum(1, keepdims=True))).astype(np.float32)


def emit(text, seed=0, probability=0.9):
    """Return emissions of a text with one character per frame; . is blank, _ space."""
    share = np.random.default_rng(seed).uniform(0.5, 1.5, (len(text), len(ENGLISH)))
    share *= (1 - probability) / share.sum(1, keepdims=True)
    for row, c in zip(share, text, strict=True):
        row[0 if c == "." else ENGLISH.encode(" " if c == "_" else c)[0]] += probability
    return np.log(share).astype(np.float32)


def emissions(*rows):
    padded = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(row) for row in rows], batch_first=True
    )
    return Emissions(padded, torch.tensor([len(row) for row in rows]), 0.04)


def gain_by_enumeration(log_probs, labels, bonus):
    """Return the largest gain of any path that spells the labels, space to space, in any frames."""
    loss = log_probs - log_probs.max(1, keepdims=True)
    best = -math.inf
    for start in range(len(loss)):
        for end in range(start + len(labels), len(loss) + 1):
            for path in product(range(loss.shape[1]), repeat=end - start):
                if (
                    path[0] == path[-1] == SPACE
                    and [t for t, _ in groupby(path) if t] == labels
                ):
                    best = max(best, bonus + float(loss[np.arange(start, end), path].sum()))
    return best


@given(
    st.integers(3, 6),
    st.sampled_from(["a", "ab", "aa"]),
    st.floats(0.2, 6.0),
    st.integers(0, 10**6),
)
def test_the_best_match_gains_as_much_as_the_best_path(frames, phrase, weight, seed):
    labels, bonus = TOKENIZER.encode(f" {phrase} "), weight * len(phrase)
    log_probs = random(frames, seed)
    expected = gain_by_enumeration(log_probs, labels, bonus)
    matches = find_phrases(log_probs, PhraseTrie.of([labels], [bonus]))
    if expected > 0:
        assert max(-loss for loss, *_ in matches) == pytest.approx(expected, abs=1e-4)
    else:
        assert matches == []


def labels_of(trie, node):
    """Return the labels of the phrase that ends in a node."""
    return [*labels_of(trie, int(trie.parent[node])), int(trie.label[node])] if node else []


def spelled(log_probs, trie):
    """Return the phrases found, each with its labels."""
    return [
        (labels_of(trie, node), *match) for *match, node in find_phrases(log_probs, trie)
    ]


PHRASES = [" a ", " ab ", " aa ", " ab b ", " b "]


@given(
    st.integers(3, 12),
    st.lists(st.floats(0.2, 9.0), min_size=5, max_size=5),
    st.integers(0, 10**6),
)
def test_phrases_with_a_common_prefix_are_found_like_each_alone(frames, bonus, seed):
    log_probs, labels = (
        random(frames, seed),
        [TOKENIZER.encode(phrase) for phrase in PHRASES],
    )
    together = PhraseTrie.of(labels, bonus)
    alone = [
        PhraseTrie.of([phrase], [nats]) for phrase, nats in zip(labels, bonus, strict=True)
    ]
    assert sorted(spelled(log_probs, together)) == sorted(
        match for trie in alone for match in spelled(log_probs, trie)
    )


@given(
    st.integers(0, 12),
    st.lists(st.floats(0.2, 9.0), min_size=5, max_size=5),
    st.integers(0, 10**6),
)
def test_compiled_code_returns_the_same_as_python(frames, bonus, seed):
    trie = PhraseTrie.of([TOKENIZER.encode(phrase) for phrase in PHRASES], bonus)
    log_probs = random(frames, seed)
    matches = find_phrases(log_probs, trie)
    assert matches == find_phrases.py_func(log_probs, trie)
    for _, size, start, node in matches:
        end = start + size
        path = phrase_path(log_probs[start:end], trie, node)
        assert (path == phrase_path.py_func(log_probs[start:end], trie, node)).all()
        assert (
            path == best_path(log_probs[start:end], np.array(labels_of(trie, node)))
        ).all()
    boosted, by_python = (np.pad(log_probs, ((1, 1), (0, 0)))[None] for _ in range(2))
    boost_phrases(boosted, np.array([frames]), SPACE, trie)
    boost_phrases.py_func(by_python, np.array([frames]), SPACE, trie)
    assert (boosted == by_python).all()


def boost_one_by_one(log_probs, trie):
    """Return boosted emissions. They begin and end with a space."""
    after, taken = log_probs.copy(), np.zeros(len(log_probs), dtype=bool)
    for _, size, start, node in sorted(find_phrases(log_probs, trie)):
        end = start + size
        if not taken[start + 1 : end - 1].any():
            taken[start + 1 : end - 1] = True
            for t, token in enumerate(
                best_path(log_probs[start:end], np.array(labels_of(trie, node))), start
            ):
                after[t] = log_probs[t]
                after[t, token], after[t, log_probs[t].argmax()] = (
                    log_probs[t].max(),
                    log_probs[t, token],
                )
                after[t, np.arange(after.shape[1]) != token] -= trie.bonus[node] / (
                    end - start
                )
    return after


@given(
    st.lists(st.integers(0, 16), min_size=1, max_size=3),
    st.lists(st.floats(0.2, 9.0), min_size=5, max_size=5),
    st.integers(0, 10**6),
)
def test_of_overlapping_phrases_the_one_with_the_largest_gain_is_boosted(
    lengths, bonus, seed
):
    trie = PhraseTrie.of([TOKENIZER.encode(phrase) for phrase in PHRASES], bonus)
    rows = [random(frames, seed + i) for i, frames in enumerate(lengths)]
    batch = np.zeros((len(rows), max(lengths) + 2, 4), dtype=np.float32)
    for padded, row in zip(batch, rows, strict=True):
        padded[1 : len(row) + 1] = row
    boost_phrases(batch, np.array(lengths), SPACE, trie)
    for padded, row in zip(batch, rows, strict=True):
        between_spaces = np.full((len(row) + 2, 4), -1e4, dtype=np.float32)
        between_spaces[[0, -1], SPACE], between_spaces[1:-1] = 0.0, row
        expected = boost_one_by_one(between_spaces, trie)
        assert np.allclose(padded[: len(expected)], expected, atol=1e-5)
        assert not padded[len(expected) :].any()


def test_compiled_code_needs_no_cache():
    code = "from asr.decode.phrase_search import find_phrases; print(find_phrases.stats.cache_path)"
    only = {
        **os.environ,
        "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",
        "NUMBA_CACHE_DIR": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=only
    )
    assert done.stdout.strip() == "None"


@given(st.integers(1, 12), st.floats(0.2, 8.0), st.integers(0, 10**6))
def test_boosting_permutes_the_scores_of_a_frame_and_lowers_those_off_the_path(
    frames, weight, seed
):
    before = random(frames, seed)
    after = HotwordBooster({"ab": weight, "b a": weight}, TOKENIZER)(before)
    assert after.shape == before.shape
    assert np.allclose(after.max(1), before.max(1), atol=1e-5)
    assert (np.sort(after, 1) <= np.sort(before, 1) + 1e-5).all()


@given(st.integers(2, 12), st.integers(0, 10**6))
def test_the_best_path_spells_a_phrase_that_was_found(frames, seed):
    log_probs = random(frames, seed)
    text = GreedyDecoder(hotwords=["ab:4"])(emissions(log_probs), TOKENIZER)[0].text
    padded = np.full((frames + 2, 4), -1e4, dtype=np.float32)
    padded[[0, -1], SPACE], padded[1:-1] = 0.0, log_probs
    if find_phrases(padded, PhraseTrie.of([TOKENIZER.encode(" ab ")], [8.0])):
        assert "ab" in text.split()
    else:
        assert text == GreedyDecoder()(emissions(log_probs), TOKENIZER)[0].text


@pytest.mark.parametrize(
    "decoder", [GreedyDecoder, lambda **settings: BeamDecoder(workers=1, **settings)]
)
def test_a_misspelled_name_is_corrected_and_other_words_are_unchanged(decoder):
    log_probs = emit("..j.o.nn..s.o.n._.s.a.i.d.._.h.i.")
    assert decoder()(emissions(log_probs), ENGLISH)[0].text == "jonson said hi"
    hypothesis = decoder(hotwords=["johnson:2", "sad", "on", "ohio"])(
        emissions(log_probs), ENGLISH
    )[0]
    assert hypothesis.text == "johnson said hi"
    assert [word.text for word in hypothesis.words] == hypothesis.text.split()


def test_no_hotword_is_forced():
    log_probs = emit("..t.h.e._.c.a.t._.s.a.t.")
    for weight in (0.5, 1.0, WEIGHT):
        assert (
            GreedyDecoder(hotwords=[f"margaret:{weight}"])(emissions(log_probs), ENGLISH)[
                0
            ].text
            == "the cat sat"
        )


def test_neighbors_share_the_space_between_them():
    log_probs = emit("a.n.m._.s.m.i.t._.h.i")
    hypothesis = GreedyDecoder(hotwords=["ann:3", "smith:3", "hi:3"])(
        emissions(log_probs), ENGLISH
    )[0]
    assert hypothesis.text == "ann smith hi"


def test_hotwords_do_not_depend_on_other_rows():
    rows = [emit("j.o.n._.h.i", 1), emit("h.e._.j.o.n.n._.h.a.s._.j.o.n", 2), emit(".", 3)]
    decoder = GreedyDecoder(hotwords=["john:3"])
    alone = [decoder(emissions(row), ENGLISH)[0].text for row in rows]
    assert [h.text for h in decoder(emissions(*rows), ENGLISH)] == alone
    assert alone == ["john hi", "he john has john", ""]


def test_hotwords_are_added_to_the_lexicon(tmp_path):
    (tmp_path / "words").write_text("said\nhi\nson\n")
    log_probs = emit("..j.o.nn..s.o.n._.s.a.i.d.._.h.i.")
    without = BeamDecoder(lexicon=tmp_path / "words", workers=1)(
        emissions(log_probs), ENGLISH
    )[0].text
    beam = BeamDecoder(lexicon=tmp_path / "words", hotwords=["johnson"], workers=1)
    assert "johnson" not in without
    assert beam(emissions(log_probs), ENGLISH)[0].text == "johnson said hi"


def test_a_hotword_may_be_longer_than_a_file_name():
    assert read_hotwords(["a" * 340]) == {"a" * 340: WEIGHT}


def test_hotwords_come_from_lists_and_files_with_weights(tmp_path):
    (tmp_path / "names.txt").write_text("Ann Smith\n\nO'Hara:2.5\n", encoding="utf-8")
    assert read_hotwords(["Oslo", str(tmp_path / "names.txt"), "Bergen : 3"]) == {
        "oslo": WEIGHT,
        "ann smith": WEIGHT,
        "o'hara": 2.5,
        "bergen": 3.0,
    }
    assert read_hotwords(tmp_path / "names.txt") == {"ann smith": WEIGHT, "o'hara": 2.5}


@pytest.mark.parametrize(
    ("hotwords", "message"),
    [
        (["oslo:much"], "'oslo:much' must be a phrase or phrase:weight with a weight > 0"),
        (["oslo:-1"], "'oslo:-1' must be a phrase"),
        (["oslo:nan"], "'oslo:nan' must be a phrase"),
        (["oslo:inf"], "'oslo:inf' must be a phrase"),
        (["..."], "'...' must be a phrase"),
        (["names.txt"], "hotwords: names.txt: No such file"),
        (["words.csv"], "hotwords: words.csv: No such file"),
        (["./names"], "hotwords: names: No such file"),
        (["naïve"], "hotwords: 'naïve' has 'ï', which the model cannot write"),
    ],
)
def test_unusable_hotwords_are_named(hotwords, message):
    with pytest.raises((ConfigError, ValueError)) as caught:
        GreedyDecoder(hotwords=hotwords)(emissions(emit(".")), ENGLISH)
    assert str(caught.value).startswith("hotwords: ")
    assert message in str(caught.value)
