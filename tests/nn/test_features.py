"""Log-mel features against librosa, and their normalization."""

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr import audio
from asr.nn.features import LogMel
from asr.nn.mel import LOG_FLOOR, MIN_STD, NORMALIZATIONS
from asr.nn.padding import length_to_mask


def batch(*waveforms):
    """Return waveforms (B, S), padded with a value that must not matter, and lengths (B,)."""
    lengths = torch.tensor([len(w) for w in waveforms])
    padded = torch.full((len(waveforms), int(lengths.max())), 0.7)
    for row, waveform in zip(padded, waveforms, strict=True):
        row[: len(waveform)] = torch.as_tensor(waveform)
    return padded, lengths


@pytest.mark.parametrize(("n_mels", "n_fft"), [(80, 512), (40, 512), (64, 1024)])
def test_filters_equal_those_of_librosa(n_mels, n_fft):
    expected = librosa.filters.mel(sr=16_000, n_fft=n_fft, n_mels=n_mels)
    filterbank = LogMel(n_mels=n_mels, n_fft=n_fft).filterbank.T.numpy()
    assert np.abs(filterbank - expected).max() < 1e-4 * expected.max()


def compare_with_librosa(waveform):
    energies, lengths = LogMel().mel_energies(*batch(waveform))
    expected = librosa.feature.melspectrogram(
        y=waveform,
        sr=16_000,
        n_fft=512,
        hop_length=160,
        win_length=400,
        n_mels=80,
        center=False,
    ).T
    assert energies.shape == (1, *expected.shape)
    assert int(lengths) == len(expected)
    np.testing.assert_allclose(energies[0].numpy(), expected, rtol=1e-4, atol=LOG_FLOOR)


def test_energies_of_noise_equal_those_of_librosa():
    noise = 0.1 * np.random.default_rng(0).standard_normal(20_000)
    compare_with_librosa(noise.astype(np.float32))


def test_energies_of_tones_equal_those_of_librosa(sound):
    compare_with_librosa(sound(1.3))


def test_energies_of_a_real_utterance_equal_those_of_librosa(real):
    compare_with_librosa(real("an4", 1, 1.0, 4.0)[0])


@given(st.lists(st.integers(0, 3_000), min_size=1, max_size=4))
def test_the_number_of_frames_is_1_plus_samples_minus_window_over_hop(samples):
    features, lengths = LogMel()(
        torch.randn(len(samples), max(samples)), torch.tensor(samples)
    )
    assert lengths.tolist() == [0 if n < 512 else 1 + (n - 512) // 160 for n in samples]
    assert features.shape == (len(samples), max(1, *lengths.tolist(), 1), 80)
    assert features.isfinite().all()


def test_a_frame_depends_only_on_its_own_samples(sound):
    waveform = torch.from_numpy(sound(1.0))[None]
    logmel = LogMel(normalize="none")
    features, _ = logmel(waveform, torch.tensor([16_000]))
    for t in (0, 17, 96):
        frame, _ = logmel(waveform[:, t * 160 : t * 160 + 512], torch.tensor([512]))
        torch.testing.assert_close(frame[0, 0], features[0, t])


def test_without_normalization_features_are_natural_logarithms(sound):
    waveforms, lengths = batch(sound(0.5))
    features, _ = LogMel(normalize="none")(waveforms, lengths)
    energies, _ = LogMel().mel_energies(waveforms, lengths)
    torch.testing.assert_close(features.exp(), energies + LOG_FLOOR)


def check_normalized(x, logarithms):
    """Check for mean 0 and standard deviation 1, or less in bands that hardly vary."""
    assert x.mean(0).abs().max() < 1e-4
    std = logarithms.std(0, correction=0)
    assert (std > MIN_STD).sum() > 20
    expected = std / std.clamp_min(MIN_STD)
    torch.testing.assert_close(x.std(0, correction=0), expected, rtol=1e-3, atol=1e-3)


def test_each_band_of_an_utterance_has_mean_0_and_std_1_over_valid_frames(sound):
    clips = batch(sound(1.0), 0.1 * sound(0.6, seed=1), sound(0.35, seed=2))
    features, lengths = LogMel()(*clips)
    logarithms, _ = LogMel(normalize="none")(*clips)
    for x, y, n in zip(features, logarithms, lengths.tolist(), strict=True):
        check_normalized(x[:n], y[:n])
        assert not x[n:].any()


def test_loudness_hardly_matters(sound):
    noisy = sound(0.5) + 0.05 * np.random.default_rng(0).standard_normal(8_000).astype(
        np.float32
    )
    loud, _ = LogMel()(*batch(noisy))
    quiet, _ = LogMel()(*batch(0.3 * noisy))
    assert (loud - quiet).abs().max() < 0.05


@pytest.mark.parametrize("normalize", NORMALIZATIONS)
def test_padding_becomes_0(sound, normalize):
    features, lengths = LogMel(normalize=normalize)(
        *batch(sound(0.7), sound(0.3, seed=1), sound(0.02))
    )
    assert lengths.tolist() == [67, 27, 0]
    assert not features[~length_to_mask(lengths, features.shape[1])].any()


def check_batch_invariance(logmel, waveforms):
    together, lengths = logmel(*batch(*waveforms))
    for x, n, waveform in zip(together, lengths.tolist(), waveforms, strict=True):
        alone, _ = logmel(*batch(waveform))
        assert (alone[0] - x[:n]).abs().max() < 1e-5


@pytest.mark.parametrize("top_db", [None, 40])
@pytest.mark.parametrize("normalize", NORMALIZATIONS)
def test_features_of_an_utterance_are_the_same_alone_and_in_a_batch(
    sound, normalize, top_db
):
    waveforms = [sound(s, seed=i) for i, s in enumerate((1.1, 0.3, 0.75))]
    check_batch_invariance(LogMel(normalize=normalize, top_db=top_db), waveforms)


def test_features_of_telephone_speech_are_the_same_alone_and_in_a_batch(real):
    telephone = [audio.resample(sound, 16_000, 8_000) for sound in real("an4", 4, 1.0, 3.0)]
    check_batch_invariance(
        LogMel(), [audio.resample(sound, 8_000, 16_000) for sound in telephone]
    )


def test_digital_silence_gives_zeros():
    features, lengths = LogMel()(torch.zeros(1, 8_000), torch.tensor([8_000]))
    assert int(lengths) == 47
    assert not features.any()


def test_corpus_statistics_normalize_the_corpus_and_are_saved(sound):
    waveforms, lengths = batch(sound(1.0), sound(0.4, seed=1))
    logmel = LogMel(normalize="corpus")
    logmel.fit_cmvn(waveforms, lengths)
    logarithms, _ = LogMel(normalize="none")(waveforms, lengths)
    features, lengths = logmel(waveforms, lengths)
    valid = length_to_mask(lengths, features.shape[1])
    check_normalized(features[valid], logarithms[valid])
    assert {"cmvn_mean", "cmvn_std"} <= logmel.state_dict().keys()


def weigh_speech(logarithms, top_db):
    """Return weights (T, 1) of logarithms (T, F), from the definition."""
    energies = (logarithms.exp() - 10 ** (-top_db / 10)).mean(1, keepdim=True)
    level = 10 * (energies / energies.max()).clamp_min(1e-8).log10()
    return ((level + 50) / 20).clamp(0, 1)


def test_statistics_of_speech_have_those_of_the_corpus_as_a_prior_of_30_frames(sound):
    clips = batch(
        sound(1.0), np.append(0.5 * sound(0.4, seed=1), np.zeros(8_000, np.float32))
    )
    logmel = LogMel(normalize="speech", top_db=60)
    logmel.fit_cmvn(*clips)
    features, lengths = logmel(*clips)
    logarithms, _ = LogMel(normalize="none", top_db=60)(*clips)
    rows = [y[:n] for y, n in zip(logarithms, lengths.tolist(), strict=True)]
    weights = [weigh_speech(y, 60) for y in rows]
    count = sum(w.sum() for w in weights)
    corpus_mean = sum((w * y).sum(0) for w, y in zip(weights, rows, strict=True)) / count
    means = [
        ((w * y).sum(0) + 30 * corpus_mean) / (w.sum() + 30)
        for w, y in zip(weights, rows, strict=True)
    ]
    parts = list(zip(weights, rows, means, strict=True))
    squares = [(w * (y - mean) ** 2).sum(0) for w, y, mean in parts]
    corpus_std = (sum(squares) / count).sqrt().clamp_min(MIN_STD)
    torch.testing.assert_close(logmel.cmvn_mean, corpus_mean)
    torch.testing.assert_close(logmel.cmvn_std, corpus_std)
    for x, (w, y, mean), square in zip(features, parts, squares, strict=True):
        std = ((square + 30 * corpus_std**2) / (w.sum() + 30)).sqrt().clamp_min(MIN_STD)
        torch.testing.assert_close(x[: len(y)], (y - mean) / std, rtol=1e-4, atol=1e-4)


def test_statistics_of_speech_remove_most_of_a_microphone(real):
    clips = [clip / abs(clip).max() for clip in real("an4", 4, 2.0, 4.0)]
    # a microphone with fewer low frequencies
    other = [np.append(clip[:1], clip[1:] - 0.7 * clip[:-1]) for clip in clips]
    change = {}
    for normalize in ("corpus", "speech"):
        logmel = LogMel(normalize=normalize, top_db=60)
        logmel.fit_cmvn(*batch(*clips))
        features = [logmel(*batch(*waveforms))[0] for waveforms in (clips, other)]
        change[normalize] = (features[0] - features[1]).square().mean()
    assert change["speech"] < 0.4 * change["corpus"]


def test_top_db_gives_logarithms_relative_to_the_loudest_frame_above_a_floor(sound):
    clips = batch(sound(0.5), 0.01 * sound(0.3, seed=1))
    features, lengths = LogMel(normalize="none", top_db=40)(*clips)
    energies, _ = LogMel().mel_energies(*clips)
    for x, energy, n in zip(features, energies, lengths.tolist(), strict=True):
        expected = energy[:n] / energy[:n].mean(1).max() + 1e-4
        torch.testing.assert_close(x[:n].exp(), expected)
    assert features.min() >= np.log(1e-4) - 1e-5


def test_top_db_removes_loudness_and_faint_noise(sound):
    logmel, clean = LogMel(normalize="none", top_db=40), sound(0.5)
    hiss = 3e-5 * np.random.default_rng(0).standard_normal(8_000).astype(
        np.float32
    )  # 60 dB below
    reference, _ = logmel(*batch(clean))
    for other in (0.1 * clean, clean + hiss):
        assert (logmel(*batch(other))[0] - reference).abs().max() < 0.02
    loud, quiet = (LogMel(normalize="none")(*batch(gain * clean))[0] for gain in (1.0, 0.1))
    assert (loud - quiet).abs().max() > 2  # without top_db


@pytest.mark.parametrize("normalize", ["corpus", "speech"])
@given(
    gain=st.floats(-40.0, 20.0),
    silence=st.integers(0, 100),
    level=st.sampled_from([0.0, 1e-6]),
)
def test_silence_faint_noise_and_level_do_not_change_the_features_of_speech(
    sound, normalize, gain, silence, level
):
    logmel = LogMel(normalize=normalize, top_db=60)
    clean = np.pad(sound(0.5), 800)  # frames that overlap its ends count as speech, too
    logmel.fit_cmvn(*batch(clean))
    pause = level * np.random.default_rng(0).standard_normal(160 * silence)
    longer = 10 ** (gain / 20) * np.concatenate((pause, clean, pause))
    expected, _ = logmel(*batch(clean))
    features, _ = logmel(*batch(longer.astype(np.float32)))
    speech = features[:, silence : silence + expected.shape[1]]
    assert (speech - expected).abs().max() < 1e-3


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("top_db", 0),
        ("top_db", -3),
        ("n_mels", 0),
        ("n_fft", 399),
        ("window_ms", 33),
        ("window_ms", 0),
        ("hop_ms", 0),
    ],
)
def test_impossible_settings_are_rejected(setting, value):
    named = "window_ms" if setting == "n_fft" else setting  # the window must fit into n_fft
    with pytest.raises(ValueError, match=f"^{named} must be "):
        LogMel(**{setting: value})


def test_an_unknown_normalization_is_rejected():
    message = "normalize must be one of speech, corpus, utterance, none, got 'speaker'"
    with pytest.raises(ValueError, match=f"^{message}$"):
        LogMel(normalize="speaker")


def test_features_stay_float32_under_autocast(sound):
    waveforms, lengths = batch(sound(0.5))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features, _ = LogMel()(waveforms, lengths)
    assert torch.equal(features, LogMel()(waveforms, lengths)[0])


def test_frames_are_10_ms_apart():
    assert LogMel().seconds_per_frame == 0.01
    assert LogMel(hop_ms=12.5).hop_length == 200


@pytest.mark.parametrize("normalize", NORMALIZATIONS)
def test_statistics_of_a_silent_sample_are_finite(normalize):
    features = LogMel(normalize=normalize, top_db=60)
    silence, lengths = torch.zeros(2, 16_000), torch.tensor([16_000, 9_000])
    features.fit_cmvn(silence, lengths)
    assert features(silence, lengths)[0].isfinite().all()
