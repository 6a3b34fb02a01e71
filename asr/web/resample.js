/** Change the sample rate of a stream with a windowed sinc, as soxr does. */

const ZERO_CROSSINGS = 32; // on each side of the center
const PASSBAND = 0.95; // cutoff relative to the lower Nyquist frequency
const KAISER_BETA = 8; // about 80 dB of attenuation

export class Resampler {
  constructor(from, to) {
    const divisor = greatestCommonDivisor(from, to);
    this.up = to / divisor;
    this.down = from / divisor;
    const cutoff = PASSBAND * Math.min(1, to / from);
    this.half = Math.ceil(ZERO_CROSSINGS / Math.min(1, to / from));
    this.filters = from === to ? null : designFilters(this.up, this.half, cutoff);
    this.buffer = new Float32Array(this.half); // silence before the start
    this.first = -this.half; // position of buffer[0] in the input
    this.received = 0;
    this.produced = 0;
  }

  /** Return the samples that the next block completes. */
  process(block) {
    if (!this.filters) return block;
    this.received += block.length;
    return this.#run(block, Math.floor(((this.received - this.half - 1) * this.up) / this.down) + 1);
  }

  /** Return the last samples. */
  finish() {
    if (!this.filters) return new Float32Array(0);
    const total = Math.round((this.received * this.up) / this.down);
    return this.#run(new Float32Array(this.half + this.down), total);
  }

  #run(block, stop) {
    const { buffer, up, down, half, filters, first } = this;
    const joined = concat(buffer, block);
    const taps = 2 * half;
    const output = new Float32Array(Math.max(0, stop - this.produced));
    let phase = (this.produced * down) % up;
    let start = (this.produced * down - phase) / up - half + 1 - first;
    for (let i = 0; i < output.length; i++) {
      const offset = phase * taps;
      let sum = 0;
      for (let k = 0; k < taps; k++) sum += filters[offset + k] * joined[start + k];
      output[i] = sum;
      phase += down;
      start += Math.floor(phase / up);
      phase %= up;
    }
    this.produced += output.length;
    const next = Math.floor((this.produced * down) / up) - half + 1; // first input still needed
    this.buffer = joined.slice(Math.max(0, next - first));
    this.first += joined.length - this.buffer.length;
    return output;
  }
}

/** Return one filter of 2 * half taps for each of the positions between two input samples. */
function designFilters(phases, half, cutoff) {
  const taps = 2 * half;
  const filters = new Float32Array(phases * taps);
  for (let phase = 0; phase < phases; phase++) {
    for (let k = 0; k < taps; k++) {
      const distance = k - half + 1 - phase / phases;
      const x = Math.PI * cutoff * distance;
      const sinc = x === 0 ? 1 : Math.sin(x) / x;
      const window = bessel(KAISER_BETA * Math.sqrt(Math.max(0, 1 - (distance / half) ** 2)));
      filters[phase * taps + k] = (cutoff * sinc * window) / bessel(KAISER_BETA);
    }
  }
  return filters;
}

/** Return the modified Bessel function of order 0. */
function bessel(x) {
  let sum = 1;
  for (let term = 1, k = 1; term > sum * 1e-10; k++) sum += term *= (x / (2 * k)) ** 2;
  return sum;
}

function greatestCommonDivisor(a, b) {
  return b ? greatestCommonDivisor(b, a % b) : a;
}

export function concat(a, b) {
  const joined = new Float32Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}
