/** Transcribe audio that arrives in blocks, as asr.inference.transcriber does. */

import { Path } from "./decode.js";
import { makeTranscript } from "./formats.js";
import { Splitter } from "./pauses.js";
import { concat } from "./resample.js";

export class Stream {
  #words = []; // of the regions that pauses have closed
  #score = 0;
  #skipped = [];
  #length = 0; // of all samples
  #end = 0; // of the last region, in samples
  #region = null;

  /**
   * `model` is the model in config.json. `run(samples)` returns its log-probabilities and the number
   * of their frames.
   */
  constructor(model, run, maxHops) {
    this.model = model;
    this.run = run;
    this.splitter = new Splitter(model.speech, maxHops);
  }

  /** Add samples at the model's rate. */
  async push(samples) {
    this.#length += samples.length;
    await this.#add(this.splitter.push(samples));
  }

  /** Return all words so far. The last ones may still change. `withRest` includes the open window. */
  async words(withRest = true) {
    if (!this.#region) return this.#words;
    const { path } = this.#region;
    const all = withRest ? path.concat(await this.#region.rest()) : path;
    return [...this.#words, ...all.words(this.model, this.#region.start / this.model.sample_rate)];
  }

  /** Return the transcript. */
  async finish() {
    await this.#add(this.splitter.finish());
    this.#skip(this.#length);
    return makeTranscript(this.#words, this.#length / this.model.sample_rate, this.#score, this.#skipped);
  }

  async #add(pieces) {
    for (const { start, samples, isLast } of pieces) {
      if (!this.#region) this.#skip(start);
      this.#region ??= new Region(this.model, this.run, start);
      await this.#region.push(samples);
      if (!isLast) continue;
      const path = this.#region.path.concat(await this.#region.rest());
      this.#words.push(...path.words(this.model, this.#region.start / this.model.sample_rate));
      this.#score += path.score;
      this.#region = null;
      this.#end = start + samples.length;
    }
  }

  #skip(start) {
    const rate = this.model.sample_rate;
    if (start > this.#end) this.#skipped.push({ start: this.#end / rate, end: start / rate, reason: "silence" });
  }
}

/** A region of speech. Its windows overlap as in asr.inference.windows. */
class Region {
  path = new Path(); // of the completed windows
  #samples = new Float32Array(0); // from the context of the next window on
  #lead = 0; // frames of context in them

  constructor(model, run, start) {
    this.model = model;
    this.run = run;
    this.start = start; // in samples
  }

  /** Add samples, and compute the windows that they complete. */
  async push(samples) {
    this.#samples = concat(this.#samples, samples);
    const { window_frames: step, context_frames: margin, stride, n_fft: overhang } = this.model;
    for (;;) {
      const size = (this.#lead + step + margin) * stride + overhang;
      if (this.#samples.length <= size) return;
      const end = this.#lead + step;
      const { logProbs } = await this.run(this.#samples.subarray(0, size));
      this.path.append(logProbs, this.#lead, end);
      const begin = Math.max(0, end - margin);
      this.#samples = this.#samples.slice(begin * stride);
      this.#lead = end - begin;
    }
  }

  /** Return the path of the last window. */
  async rest() {
    const { logProbs, frames } = await this.run(this.#samples);
    return new Path().append(logProbs, this.#lead, frames);
  }
}
