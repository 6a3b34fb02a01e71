/** The page: its state, and what the user does. */

import { Recorder, SAMPLE_RATE, decode, readDuration } from "./audio.js";
import { listenForDrops } from "./drop.js";
import { OnnxEngine } from "./engine-onnx.js";
import { KeyError, ServerEngine } from "./engine-server.js";
import { download, makeTranscript } from "./formats.js";
import { Timeline, formatClock } from "./timeline.js";
import { Words } from "./words.js";

const $ = (id) => document.getElementById(id);
const player = new Audio();
const timeline = new Timeline($("timeline"), seek);
const words = new Words($("words"), playWord);
let engine;
let ready; // a promise that resolves when the engine is loaded
let transcript = null;
let name = "";
let task = null; // an AbortController while something is recorded or transcribed
let recorder = null;
let playing = null; // the word that plays

start();

async function start() {
  const config = await (await fetch("config.json")).json();
  engine = config.engine === "onnx" ? new OnnxEngine(config) : new ServerEngine();
  $("place").textContent = engine.note;
  document.documentElement.dataset.engine = config.engine;
  loadEngine();
}

/** Load the engine, and show its progress and its errors. */
async function loadEngine() {
  $("record").disabled = true;
  showProgress("Loading the recognizer", 0);
  ready = engine.load((fraction) => !task && showProgress("Loading the recognizer", fraction));
  try {
    await ready;
    $("record").disabled = false;
    if (task) return;
    hideProgress();
    setState("ready");
  } catch (error) {
    showError(error);
  }
}

// Input

$("choose").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  if ($("file").files.length) transcribe($("file").files[0]);
  $("file").value = "";
});
listenForDrops(transcribe);
$("record").addEventListener("click", () => {
  if (recorder) stopRecording();
  else if (document.documentElement.dataset.state !== "asking") startRecording();
});
$("cancel").addEventListener("click", () => task?.abort());
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  engine.key = $("key").value;
  clearError();
  loadEngine();
});

async function startRecording() {
  const own = await startTask("asking");
  player.pause();
  let live;
  let seconds = 0;
  try {
    const started = await Recorder.start((block) => {
      if (own.signal.aborted) return;
      live.push(block).catch(showError);
      timeline.addLive(block);
      $("clock").textContent = formatClock((seconds += block.length / SAMPLE_RATE));
    });
    if (own.signal.aborted) return await started.stop();
    recorder = started;
  } catch (error) {
    if (own.signal.aborted) return;
    task = null;
    setState("ready");
    return showError(error);
  }
  live = recorder.live = engine.live(
    (found) => own.signal.aborted || words.show((live.words = found)),
    (reason) => {
      if (recorder?.live !== live) return;
      showError(new Error(`The recording was stopped: ${reason}.`));
      stopRecording();
    },
  );
  $("clock").textContent = formatClock(0);
  showRecording("Recording");
  setState("recording");
  timeline.startLive();
  announce("Recording");
}

async function stopRecording() {
  const [own, { live }] = [task, recorder];
  const stopped = recorder.stop();
  recorder = null;
  setState("working");
  await runTask(own, await stopped, live);
}

function setState(state) {
  document.documentElement.dataset.state = state;
  $("record-label").textContent = state === "recording" ? "Stop" : "Record";
}

// Transcription

async function transcribe(file) {
  await runTask(await startTask("working"), file);
}

/** Transcribe a file, or complete the transcript of one that was transcribed `live` while recording. */
async function runTask(own, file, live = null) {
  const isOwn = () => task === own;
  try {
    const audio = isOwn() && (await open(file, isOwn));
    if (!isOwn()) return await live?.finish();
    const onProgress = (progress) => isOwn() && showTranscription(progress);
    showTranscription({ fraction: 0 });
    await ready;
    let result = live && (await live.finish());
    if (!own.signal.aborted) result ??= await engine.transcribe({ file, audio }, { onProgress, signal: own.signal });
    if (result && isOwn()) showTranscript(result);
    else if (!result) announce("Canceled.");
  } catch (error) {
    if (!isOwn()) return;
    if (live?.words?.length) showTranscript(makeTranscript(live.words, player.duration, null));
    showError(error);
  } finally {
    if (isOwn()) {
      task = null;
      hideProgress();
      setState("ready");
    }
  }
}

/** Return a new task in place of the one in progress, whose words are dropped. */
async function startTask(state) {
  const dropped = recorder;
  task?.abort();
  recorder = null; // before the first await, so that nothing is stopped twice
  const own = (task = new AbortController());
  clearError();
  hideProgress();
  setState(state);
  await dropped?.stop();
  await dropped?.live.finish();
  return own;
}

/** Show the name of a recording, without words. */
function showRecording(title) {
  transcript = null;
  name = title;
  $("name").textContent = title;
  $("summary").textContent = "";
  words.show([]);
  $("downloads").hidden = $("none").hidden = true;
  $("controls").hidden = $("result").hidden = false;
}

/** Show a new recording, and return its audio if the browser can decode it. */
async function open(file, isOwn) {
  showProgress("Reading the recording");
  $("result").hidden = true;
  URL.revokeObjectURL(player.src);
  player.src = URL.createObjectURL(file);
  const audio = await decode(file, await readDuration(player));
  if (!isOwn()) return null;
  if (!audio && engine.needsDecoding) {
    throw new Error(`This browser cannot read ${file.name}. Save it as WAV, MP3, or FLAC and try again.`);
  }
  showRecording(file.name);
  $("controls").hidden = Boolean(player.error);
  timeline.show(audio);
  showTime();
  return audio;
}

function showTranscription({ fraction, uploaded, words: found }) {
  if (found) words.show(found);
  if (uploaded < 1) showProgress("Uploading", uploaded);
  else showProgress("Transcribing", fraction);
}

function showTranscript(result) {
  transcript = result;
  words.show(result.words);
  const count = result.words.length;
  const parts = [formatClock(result.duration), `${count} ${count === 1 ? "word" : "words"}`];
  if (count) parts.push(`${Math.round(100 * result.confidence)} % sure`);
  $("summary").textContent = [...parts, ...result.warnings].join(" · ");
  $("none").hidden = count > 0;
  $("downloads").hidden = count === 0;
  announce(`Done, ${parts[1]}.`);
}

// Playback

$("play").addEventListener("click", () => {
  playing = null;
  if (player.paused) player.play();
  else player.pause();
});
for (const type of ["play", "pause", "ended"]) {
  player.addEventListener(type, () => {
    $("play").classList.toggle("playing", !player.paused);
    $("play").setAttribute("aria-label", player.paused ? "Play" : "Pause");
    if (!player.paused) follow();
  });
}
player.addEventListener("seeked", showTime);

function playWord(word) {
  playing = word;
  player.currentTime = word.start;
  player.play();
}

function seek(seconds) {
  playing = null;
  player.currentTime = seconds;
}

/** Update the playhead until playback pauses. */
function follow() {
  if (playing && player.currentTime >= playing.end) {
    player.pause();
    player.currentTime = playing.start;
    playing = null;
  }
  showTime();
  if (!player.paused) requestAnimationFrame(follow);
}

function showTime() {
  const seconds = player.currentTime;
  timeline.move(seconds, words.mark(seconds));
  $("clock").textContent = `${formatClock(seconds)} / ${formatClock(player.duration || 0)}`;
}

addEventListener("keydown", (event) => {
  const isControl = event.target.closest?.("button, input, #timeline");
  if (event.key !== " " || (isControl && isControl.id !== "timeline") || $("result").hidden) return;
  event.preventDefault();
  $("play").click();
});

// Downloads and messages

for (const button of document.querySelectorAll("[data-format]")) {
  button.addEventListener("click", () => transcript && download(transcript, name, button.dataset.format));
}
$("copy").addEventListener("click", async () => {
  if (!transcript) return;
  await navigator.clipboard.writeText(transcript.text);
  announce("The text is copied.");
  $("copy").textContent = "Copied";
  setTimeout(() => ($("copy").textContent = "Copy text"), 2000);
});

function showProgress(label, fraction) {
  $("progress").hidden = false;
  $("cancel").hidden = !task;
  $("progress-label").textContent = fraction ? `${label}, ${Math.round(100 * fraction)} %` : label;
  if (fraction) $("bar").value = fraction;
  else $("bar").removeAttribute("value");
}

function hideProgress() {
  $("progress").hidden = true;
}

function showError(error) {
  hideProgress();
  $("error").textContent = error.message;
  $("error").hidden = false;
  $("key-form").hidden = !(error instanceof KeyError);
  if (!$("key-form").hidden) $("key").focus();
}

function clearError() {
  $("error").hidden = $("key-form").hidden = true;
}

function announce(text) {
  $("status").textContent = text;
}
