/** Divide a stream of audio into regions of speech at its pauses, as asr.audio.speech does. */

import { concat } from "./resample.js";

export class Splitter {
  #levels = []; // pairs in dB of the last seconds: the lower band, and the upper one
  #regionLevels = []; // of the open region, means of `cut_hops` hops
  #speechLevels;
  #samples = new Float32Array(0); // that are not yielded or dropped
  #first = 0; // position of the first of them; positions are in hops of 20 ms
  #position = 0; // end of the measured hops
  #quietSince = null;
  #isOpen = false;
  #start = 0; // of the open region
  #end = 0; // of the last region
  #previous = 0; // last sample, for pre-emphasis
  #quietest = null; // the levels of the first half of the region, sorted
  #recent = []; // levels of the last `cut_hops` hops

  /** `settings` are the constants of asr.audio.speech, with lengths in hops. */
  constructor(settings, maxHops) {
    this.settings = settings;
    this.maxHops = maxHops;
    this.#speechLevels = [settings.silence, settings.silence];
  }

  /** Yield pieces {start, samples, isLast} of regions. `start` counts samples. */
  *push(block) {
    const { history, min_pause: minPause } = this.settings;
    this.#samples = concat(this.#samples, block);
    const levels = this.#measure();
    this.#levels = this.#levels.concat(levels).slice(-history);
    const thresholds = this.#thresholds(levels.length);
    for (const [low, high] of levels) {
      yield* this.#advance((low + high) / 2, low <= thresholds[0] && high <= thresholds[1]);
    }
    if (this.#isOpen) yield* this.#take(this.#limit(), false);
    else this.#drop(Math.max(this.#end, this.#position - minPause));
  }

  /** Yield the rest. */
  *finish() {
    const { hop, min_pause: minPause } = this.settings;
    if (!this.#isOpen && this.#position - this.#end < minPause) this.#open(this.#end);
    const isEmpty = !this.#samples.length && this.#first === this.#start;
    if (this.#isOpen && !isEmpty) yield { start: this.#first * hop, samples: this.#samples, isLast: true };
  }

  /** Return the levels of the new complete hops. */
  #measure() {
    const { hop, pre_emphasis: emphasis, low_factor: factor, silence } = this.settings;
    const toLevel = (energy, count) => Math.max(silence, 10 * Math.log10(energy / count + 1e-12));
    const levels = [];
    let i = (this.#position - this.#first) * hop;
    for (let end = i + hop; end <= this.#samples.length; end += hop) {
      let [low, high, sum] = [0, 0, 0];
      for (; i < end; i++) {
        const sample = this.#samples[i];
        high += (sample - emphasis * this.#previous) ** 2;
        this.#previous = sample;
        sum += sample;
        if ((end - i) % factor !== 1) continue; // the last of `factor` samples
        low += (sum / factor) ** 2;
        sum = 0;
      }
      levels.push([toLevel(low, hop / factor), toLevel(high, hop)]);
    }
    return levels;
  }

  /** Return the level of each band up to which each of some new hops is quiet. */
  #thresholds(hops) {
    const { silence, noise_quantile: low, speech_quantile: high, noise_range: range } = this.settings;
    const { min_contrast: contrast, speech_range: depth, history } = this.settings;
    const decay = (range * hops) / history;
    const bands = [0, 1].map((band) => quantiles(this.#levels.map((levels) => levels[band]), [low, high]));
    const isClear = (speech) => Math.max(...bands.map(([floor], band) => speech[band] - floor)) >= contrast;
    const loud = bands.map(([, speech]) => speech);
    if (!this.#levels.length) return [silence, silence];
    if (isClear(loud)) this.#speechLevels = loud.map((speech, band) => Math.max(speech, this.#speechLevels[band] - decay));
    if (!isClear(this.#speechLevels)) return [silence, silence];
    return bands.map(([floor], band) => Math.max(floor + range, this.#speechLevels[band] - depth));
  }

  /** Open or close a region after the next hop. */
  *#advance(level, isQuiet) {
    const { min_pause: minPause, padding, cut_hops: cutHops } = this.settings;
    if (!isQuiet) {
      this.#quietSince = null;
      const isLong = this.#position - this.#end >= minPause;
      if (!this.#isOpen) this.#open(isLong ? this.#position - padding : this.#end);
    } else this.#quietSince ??= this.#position;
    this.#position += 1;
    if (!this.#isOpen) return;
    const quietSince = this.#quietSince ?? this.#position;
    if (this.#position - quietSince >= minPause) yield* this.#close(quietSince + padding);
    else if (this.#isCut(level)) {
      yield* this.#close(this.#position - Math.floor(cutHops / 2));
      this.#open(this.#end);
    }
  }

  #open(position) {
    this.#drop(position);
    this.#start = position;
    this.#isOpen = true;
    this.#regionLevels = [];
  }

  *#close(position) {
    position = Math.max(position, this.#first);
    if (position > this.#start) yield* this.#take(position, true);
    this.#isOpen = false;
    this.#end = position;
  }

  /** Return whether to divide the region before it becomes too long. */
  #isCut(level) {
    const { cut_hops: cutHops } = this.settings;
    this.#recent = [...this.#recent, level].slice(-cutHops);
    this.#regionLevels.push(this.#recent.reduce((a, b) => a + b) / this.#recent.length);
    const half = Math.floor(this.maxHops / 2);
    const excess = this.#regionLevels.length - half;
    if (excess < 0) return false;
    if (excess === 0) this.#quietest = Float64Array.from(this.#regionLevels).sort();
    const progress = Math.min(1, excess / (half - cutHops));
    const threshold = this.#quietest[Math.round(progress ** 8 * (half - 1))];
    return progress === 1 || this.#regionLevels.at(-1) <= threshold;
  }

  /** Return the position up to which the samples surely belong to the open region. */
  #limit() {
    const limit = this.#position - Math.floor(this.settings.cut_hops / 2);
    return this.#quietSince === null ? limit : Math.min(limit, this.#quietSince + this.settings.padding);
  }

  *#take(position, isLast) {
    const { hop } = this.settings;
    const count = Math.max(0, position - this.#first) * hop;
    if (!count && !isLast) return;
    yield { start: this.#first * hop, samples: this.#samples.slice(0, count), isLast };
    this.#drop(position);
  }

  #drop(position) {
    const count = Math.max(0, position - this.#first);
    this.#samples = this.#samples.slice(count * this.settings.hop);
    this.#first += count;
  }
}

/** Return quantiles with linear interpolation. */
function quantiles(values, fractions) {
  const sorted = Float64Array.from(values).sort();
  return fractions.map((fraction) => {
    const place = fraction * (sorted.length - 1);
    const low = Math.floor(place);
    return sorted[low] + (place - low) * (sorted[Math.ceil(place)] - sorted[low]);
  });
}
