/** Decode recordings in the browser, and record from the microphone. */

import { Resampler } from "./resample.js";

export const SAMPLE_RATE = 16000; // Hz; what the recognizer reads
const FLUSH_MS = 1000; // wait for the last block; a suspended recorder does not send it
const MAX_SAMPLES = 1.5e8; // of all channels; a longer recording is decoded at 16 kHz to save memory

/**
 * Return {channels, sampleRate, duration} of a file, or null if the browser cannot decode it.
 * The sample rate is the file's own if it is known, because browsers resample coarsely.
 */
export async function decode(file, seconds) {
  const bytes = await file.arrayBuffer();
  let rate = readSampleRate(new Uint8Array(bytes, 0, Math.min(bytes.byteLength, 1 << 16)));
  if (2 * rate * seconds > MAX_SAMPLES) rate = SAMPLE_RATE;
  try {
    const buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
    const channels = Array.from({ length: buffer.numberOfChannels }, (_, i) => buffer.getChannelData(i));
    return { channels, sampleRate: buffer.sampleRate, duration: buffer.duration };
  } catch {
    return null;
  }
}

/** Return the sample rate in the header of a file, 48000 if there is none. */
function readSampleRate(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, 4096));
  let rate = 0;
  if (text.startsWith("RIFF") && text.includes("fmt ")) rate = view.getUint32(text.indexOf("fmt ") + 12, true);
  else if (text.startsWith("fLaC")) rate = view.getUint32(18) >>> 12;
  else if (text.startsWith("OggS") && text.includes("vorbis")) rate = view.getUint32(text.indexOf("vorbis") + 11, true);
  else if (/^(ID3|\xff[\xe2-\xff])/.test(text)) rate = readMp3Rate(bytes, text.startsWith("ID3"));
  return rate >= 3000 && rate <= 384000 ? rate : 48000;
}

function readMp3Rate(bytes, hasTag) {
  const tag = bytes.subarray(6, 10).reduce((size, byte) => size * 128 + byte, 10);
  for (let i = hasTag ? tag : 0; i + 2 < bytes.length; i++) {
    const version = (bytes[i + 1] >> 3) & 3; // 0: MPEG 2.5, 2: MPEG 2, 3: MPEG 1
    const index = (bytes[i + 2] >> 2) & 3;
    if (bytes[i] !== 255 || bytes[i + 1] < 224 || version === 1 || index === 3) continue;
    return [44100, 48000, 32000][index] / { 0: 4, 2: 2, 3: 1 }[version];
  }
  return 0;
}

/** Return the seconds of the recording in a player, or NaN if it does not tell them soon. */
export function readDuration(player) {
  return new Promise((resolve) => {
    const done = () => resolve(player.duration);
    player.onloadedmetadata = player.onerror = done;
    setTimeout(done, 3000);
  });
}

/** A microphone that calls `onBlock` with samples at 16 kHz. */
export class Recorder {
  #blocks = [];
  #flush = async () => {}; // adds the samples that wait in the worklet and the resampler

  /** Ask for the microphone and start. */
  static async start(onBlock) {
    if (!navigator.mediaDevices) throw new Error("Recording needs a page from localhost or with https.");
    const recorder = new Recorder();
    recorder.stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } }).catch((error) => {
      const reason = error.name === "NotAllowedError" ? "Allow it in the browser's settings for this page." : "Connect one.";
      throw new Error(`The microphone cannot be used. ${reason}`);
    });
    const context = (recorder.context = new AudioContext());
    await context.audioWorklet.addModule("recorder-worklet.js").catch(async () => {
      await recorder.stop();
      throw new Error("The recorder cannot be loaded. Reload this page.");
    });
    const node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
    const resampler = new Resampler(context.sampleRate, SAMPLE_RATE);
    const add = (block) => {
      recorder.#blocks.push(block);
      onBlock(block);
    };
    recorder.#flush = () =>
      new Promise((resolve) => {
        node.port.onmessage = ({ data }) => (data ? add(resampler.process(data)) : resolve());
        node.port.postMessage("flush");
        setTimeout(resolve, FLUSH_MS);
      }).then(() => add(resampler.finish()));
    node.port.onmessage = ({ data }) => add(resampler.process(data));
    context.createMediaStreamSource(recorder.stream).connect(node);
    return recorder;
  }

  /** Stop, and return the recording as a WAV file. */
  async stop() {
    await this.#flush();
    this.stream.getTracks().forEach((track) => track.stop());
    await this.context.close();
    return new File([encodeWav(this.#blocks)], "recording.wav", { type: "audio/wav" });
  }
}

/** Return samples as 16-bit integers. */
export function toPcm(samples) {
  return Int16Array.from(samples, (x) => Math.max(-32768, Math.min(32767, Math.round(x * 32768))));
}

function encodeWav(blocks) {
  const data = blocks.map(toPcm);
  const size = data.reduce((sum, block) => sum + block.byteLength, 0);
  const header = new DataView(new ArrayBuffer(44));
  const write = (offset, text) => [...text].forEach((c, i) => header.setUint8(offset + i, c.charCodeAt(0)));
  write(0, "RIFF");
  header.setUint32(4, 36 + size, true);
  write(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // channels
  header.setUint32(24, SAMPLE_RATE, true);
  header.setUint32(28, 2 * SAMPLE_RATE, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true);
  write(36, "data");
  header.setUint32(40, size, true);
  return new Blob([header, ...data]);
}
