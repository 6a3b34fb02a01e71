/** Run the model with ONNX Runtime in a worker, so that the page stays responsive. */

import * as ort from "./ort.wasm.bundle.min.mjs";
import { Resampler } from "./resample.js";
import { Stream } from "./stream.js";

const WASM = "ort-wasm-simd-threaded.wasm";
const UPDATE_SECONDS = 1; // of new audio before the words of a live recording are updated
const jobs = new Map(); // null while a job waits in the queue
let model;
let session;

const METHODS = { load, transcribe, open, push, finish, cancel };
let queue = Promise.resolve();

self.onmessage = ({ data: { id, method, ...values } }) => {
  if (method === "cancel") return cancel({ job: values.job });
  if (method === "transcribe") jobs.set(values.job, null);
  const reply = (message) => self.postMessage({ id, ...message });
  const progress = (value) => reply({ progress: value });
  queue = queue.then(() => METHODS[method](values, progress)).then(
    (result) => reply({ result }),
    (error) => reply({ error: error.message }),
  );
};

/** Download the runtime and the model. */
async function load({ config }, progress) {
  const total = Object.values(config.sizes).reduce((sum, size) => sum + size, 0);
  let received = 0;
  const fetchBytes = async (name) => {
    const response = await fetch(name);
    if (!response.ok) throw new Error(`${name} cannot be loaded (${response.status}).`);
    const chunks = [];
    for (const reader = response.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) return new Uint8Array(await new Blob(chunks).arrayBuffer());
      chunks.push(value);
      progress(Math.min(1, (received += value.length) / total));
    }
  };
  const [wasm, weights] = await Promise.all([WASM, "model.onnx"].map(fetchBytes));
  ort.env.wasm.wasmBinary = wasm.buffer;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
  session = await ort.InferenceSession.create(weights, {
    executionProviders: ["wasm"],
    extra: { session: { disable_quant_qdq: "1" } }, // converts 8-bit weights once instead of in each run
  });
  model = config.model;
}

/** Transcribe the channels of a recording. */
async function transcribe({ job, channels, sampleRate }, progress) {
  if (!jobs.has(job)) return null;
  const stream = new Stream(model, run, model.max_hops);
  jobs.set(job, stream);
  const samples = mix(channels);
  const resampler = new Resampler(sampleRate, model.sample_rate);
  const size = model.block_seconds * sampleRate;
  for (let first = 0; first < samples.length; first += size) {
    await stream.push(resampler.process(samples.subarray(first, first + size)));
    const fraction = Math.min(1, (first + size) / samples.length);
    progress({ fraction, words: await stream.words(false) });
    await new Promise((resolve) => setTimeout(resolve)); // lets a message to cancel arrive
    if (!jobs.has(job)) return null;
  }
  await stream.push(resampler.finish());
  return finish({ job });
}

/** Start a live recording. */
function open({ job }) {
  jobs.set(job, Object.assign(new Stream(model, run, model.max_live_hops), { received: 0, nextUpdate: 0 }));
}

/** Add audio to a live recording. Return its words now and then, otherwise null. */
async function push({ job, samples }) {
  const stream = jobs.get(job);
  if (!stream) return null;
  await stream.push(samples);
  stream.received += samples.length / model.sample_rate;
  if (stream.received < stream.nextUpdate) return null;
  const start = performance.now();
  const words = await stream.words();
  stream.nextUpdate = stream.received + Math.max(UPDATE_SECONDS, (2 * (performance.now() - start)) / 1000);
  return words;
}

function finish({ job }) {
  const stream = jobs.get(job);
  jobs.delete(job);
  return stream.finish();
}

function cancel({ job }) {
  jobs.delete(job);
}

/** Return the log-probabilities (1, U, V) of samples, and the number of their frames U. */
async function run(samples) {
  if (!samples.length) return { logProbs: null, frames: 0 };
  const inputs = {
    samples: new ort.Tensor("float32", samples, [1, samples.length]),
    lengths: new ort.Tensor("int64", [BigInt(samples.length)], [1]),
  };
  const { log_probs: logProbs, frames } = await session.run(inputs);
  return { logProbs, frames: Number(frames.data[0]) };
}

/** Return the mean of channels, or the loudest if they cancel each other. */
function mix(channels) {
  if (channels.length === 1) return channels[0];
  const mean = new Float32Array(channels[0].length);
  for (const channel of channels) for (let i = 0; i < mean.length; i++) mean[i] += channel[i] / channels.length;
  const energies = channels.map(energy);
  const loudest = Math.max(...energies);
  if (energy(mean) * channels.length ** 2 >= 0.25 * loudest) return mean;
  return channels[energies.indexOf(loudest)];
}

const energy = (samples) => samples.reduce((sum, x) => sum + x * x, 0);
