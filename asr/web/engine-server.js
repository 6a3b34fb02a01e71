/** The recognizer of the server that this page comes from. */

import { SAMPLE_RATE, toPcm } from "./audio.js";
import { makeTranscript } from "./formats.js";

const KEY = "asr-key";

export class KeyError extends Error {}

export class ServerEngine {
  note = "Audio is sent to this server only.";
  needsDecoding = false;

  get key() {
    return sessionStorage.getItem(KEY) ?? "";
  }

  set key(value) {
    sessionStorage.setItem(KEY, value);
  }

  /** Check that the server answers. */
  async load() {
    const headers = this.key ? { Authorization: `Bearer ${this.key}` } : {};
    const response = await fetch("v1/models", { headers }).catch(() => {
      throw new Error("The server does not answer. Check that it is running.");
    });
    if (response.status === 401) throw new KeyError(this.key ? "The server refuses this API key." : "This server needs an API key.");
    if (!response.ok) throw new Error(await readError(response.status, await response.text()));
    this.model = (await response.json()).data[0]?.id ?? "asr";
  }

  /** Upload a recording and return its transcript, or null if it was canceled. */
  transcribe({ file }, { onProgress, signal }) {
    const form = new FormData();
    form.append("file", file);
    form.append("model", this.model);
    form.append("response_format", "verbose_json");
    form.append("timestamp_granularities[]", "word");
    const request = new XMLHttpRequest(); // fetch does not report the progress of an upload
    request.open("POST", "v1/audio/transcriptions");
    if (this.key) request.setRequestHeader("Authorization", `Bearer ${this.key}`);
    request.upload.onprogress = ({ loaded, total }) => onProgress({ uploaded: loaded / total });
    signal.addEventListener("abort", () => request.abort());
    return new Promise((resolve, reject) => {
      request.onabort = () => resolve(null);
      request.onerror = () => reject(new Error("The connection to the server broke. Try again."));
      request.onload = () => {
        if (request.status === 200) resolve(readTranscript(JSON.parse(request.responseText)));
        else if (request.status === 401) reject(new KeyError("The server refuses this API key."));
        else reject(new Error(readError(request.status, request.responseText, request.getResponseHeader("Retry-After"))));
      };
      request.send(form);
    });
  }

  /**
   * Return {push, finish} for a live recording. `onWords` receives all words so far, `onEnd` the
   * reason if the server ends the stream.
   */
  live(onWords, onEnd) {
    const address = new URL(`v1/stream?sample_rate=${SAMPLE_RATE}`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const key = encodeURIComponent(this.key).replaceAll("(", "%28").replaceAll(")", "%29");
    const socket = new WebSocket(address, key ? [`key.${key}`] : []);
    const words = [];
    let samples = 0;
    let [isFinishing, isDone] = [false, false];
    const opened = new Promise((resolve) => {
      socket.onopen = () => resolve(true);
      socket.onerror = () => resolve(false);
    });
    const closed = new Promise((resolve) => (socket.onclose = resolve));
    Promise.all([opened, closed]).then(([isOpen, { reason }]) => {
      if (isOpen && !isFinishing) onEnd(reason || "the connection to the server broke");
    });
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      isDone = message.type === "done";
      words.push(...(message.words ?? []).map(readWord));
      onWords([...words]);
    };
    return {
      push: async (block) => {
        samples += block.length;
        if ((await opened) && socket.readyState === WebSocket.OPEN) socket.send(toPcm(block));
      },
      /** Return the transcript, or null if the recording has to be uploaded instead. */
      finish: async () => {
        isFinishing = true;
        if (!(await opened)) return null;
        if (socket.readyState === WebSocket.OPEN) socket.send("end");
        await closed;
        return isDone ? makeTranscript(words, samples / SAMPLE_RATE, null) : null;
      },
    };
  }
}

function readTranscript({ words, duration, score = null, warnings = [] }) {
  return makeTranscript(words.map(readWord), duration, score, [], warnings);
}

function readWord({ word, start, end, confidence }) {
  return { text: word, start, end, confidence };
}

/** Return the message of the server's error, or one for its status. */
function readError(status, body, retryAfter) {
  if (status === 429) return `The server is busy. Try again in ${retryAfter ?? "a few"} seconds.`;
  if (status === 413) return "The recording is too large for this server.";
  try {
    return JSON.parse(body).error.message;
  } catch {
    return `The server answered with the error ${status}. Try again.`;
  }
}
