"""The page asks for the microphone once, stops it always, and does one thing at a time."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pages import Visit, upload, wait_until_ready

from asr import audio

WATCH = """() => {
    const media = navigator.mediaDevices;
    const ask = media.getUserMedia.bind(media);
    window.asked = window.closings = 0;
    window.tracks = [];
    const answer = new Promise((resolve) => (window.allow = resolve));
    media.getUserMedia = async (options) => {
        asked++;
        await answer;
        const stream = await ask(options);
        tracks.push(...stream.getTracks());
        return stream;
    };
    const close = AudioContext.prototype.close;
    AudioContext.prototype.close = function () {
        closings++;
        return close.call(this);
    };
}"""
ALL_STOPPED = "tracks.length > 0 && tracks.every((track) => track.readyState === 'ended')"
DROP = """names => {
    for (const name of names) {
        const dataTransfer = new DataTransfer();
        const bytes = Uint8Array.from(atob(window.content), (c) => c.charCodeAt(0));
        dataTransfer.items.add(new File([bytes], name));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true }));
    }
}"""


@pytest.fixture
def page(site: str, visit: Visit) -> Any:
    """Return a page whose question for the microphone is answered by `allow()`."""
    page = visit(site)
    wait_until_ready(page)
    page.evaluate(WATCH)
    return page


@pytest.fixture
def talk(recording: Callable[..., Path]) -> Path:
    return recording("talk.wav", 1.0)


def test_a_second_click_does_not_ask_again(page: Any) -> None:
    page.dblclick("#record")
    page.evaluate("allow()")
    page.wait_for_selector("[data-state=recording]")
    assert page.evaluate("[asked, tracks.length]") == [1, 1]
    page.wait_for_selector("#clock:text-is('0:01')")
    page.click("#record")
    page.wait_for_selector("#summary:not(:empty)")
    assert page.evaluate(ALL_STOPPED)


def test_a_file_replaces_a_recording_that_is_not_allowed_yet(page: Any, talk: Path) -> None:
    page.click("#record")
    upload(page, talk)
    page.evaluate("allow()")
    while not page.evaluate(ALL_STOPPED):
        page.wait_for_timeout(50)
    assert page.inner_text("#name") == "talk.wav"
    assert page.get_attribute("html", "data-state") == "ready"


def test_the_microphone_is_stopped_if_the_recorder_cannot_be_loaded(page: Any) -> None:
    page.evaluate("() => { AudioWorklet.prototype.addModule = () => Promise.reject(); }")
    page.evaluate("allow()")
    page.click("#record")
    page.wait_for_selector("#error:not([hidden])")
    assert page.evaluate(ALL_STOPPED)
    assert page.inner_text("#error") == "The recorder cannot be loaded. Reload this page."
    assert page.get_attribute("html", "data-state") == "ready"


def test_the_last_of_two_quick_drops_replaces_a_recording(page: Any, talk: Path) -> None:
    page.evaluate("allow()")
    page.click("#record")
    page.wait_for_selector("[data-state=recording]")
    content = base64.b64encode(talk.read_bytes()).decode()
    page.evaluate("content => { window.content = content; }", content)
    page.evaluate(DROP, ["first.wav", "second.wav"])
    page.wait_for_selector("#summary:not(:empty)")
    assert page.inner_text("#name") == "second.wav"
    assert page.evaluate("closings") == 1
    assert page.evaluate(ALL_STOPPED)


def test_a_waiting_transcription_can_be_canceled(site: str, visit: Visit) -> None:
    page = visit(site)
    found = page.evaluate(
        """async () => {
            const { OnnxEngine } = await import("./engine-onnx.js");
            const engine = new OnnxEngine(await (await fetch("config.json")).json());
            await engine.load(() => {});
            const transcribe = (signal) => {
                const audio = { channels: [new Float32Array(16000)], sampleRate: 16000 };
                return engine.transcribe({ audio }, { onProgress() {}, signal });
            };
            const waiting = new AbortController();
            const results = [transcribe(new AbortController().signal), transcribe(waiting.signal)];
            waiting.abort();
            return (await Promise.all(results)).map((result) => result && result.duration);
        }"""
    )
    assert found == [1.0, None]


def test_a_recording_has_its_last_samples(site: str, visit: Visit) -> None:
    rate, sizes = visit(site).evaluate(
        """async () => {
            const { Recorder } = await import("./audio.js");
            const sizes = [];
            const recorder = await new Promise((resolve) => {
                const started = Recorder.start((block) => {
                    sizes.push(block.length);
                    resolve(started);
                });
            });
            const file = await recorder.stop();
            return [recorder.context.sampleRate, [...sizes, (file.size - 44) / 2]];
        }"""
    )
    *blocks, total = sizes
    assert total == sum(blocks)
    # the microphone delivers 128 samples at a time, and resampling loses none of them
    received = 128 * round(total * rate / audio.SAMPLE_RATE / 128)
    assert total == round(received * audio.SAMPLE_RATE / rate)
    assert len(blocks) >= 2
