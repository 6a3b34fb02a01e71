/** Overviews of a recording for drawing: peaks of the waveform and log-mel energies. */

const WINDOW_SECONDS = 0.025;
const HIGHEST = 8000; // Hz
const RANGE = 6; // powers of ten below the loudest energy that are visible

/** Return the largest absolute sample in each of `count` equal parts. */
export function findPeaks(samples, count) {
  const size = samples.length / count;
  return Float32Array.from({ length: count }, (_, i) => peak(samples.subarray(i * size, Math.max(i * size + 1, (i + 1) * size))));
}

export function peak(samples) {
  let largest = 0;
  for (const sample of samples) largest = Math.max(largest, Math.abs(sample));
  return largest;
}

/** Return log-mel energies between 0 and 1 (columns, bands) at equal distances in a recording. */
export function computeLogMel(samples, sampleRate, columns, bands) {
  const window = Math.round(WINDOW_SECONDS * sampleRate);
  const size = 2 ** Math.ceil(Math.log2(window));
  const filters = melFilters(bands, size, sampleRate);
  const hann = Float32Array.from({ length: window }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / window));
  const values = new Float32Array(columns * bands);
  const real = new Float32Array(size);
  const imaginary = new Float32Array(size);
  for (let column = 0; column < columns; column++) {
    const first = Math.floor((column / columns) * Math.max(0, samples.length - window));
    real.fill(0);
    imaginary.fill(0);
    for (let i = 0; i < window; i++) real[i] = hann[i] * (samples[first + i] ?? 0);
    transform(real, imaginary);
    filters.forEach(({ start, weights }, band) => {
      let energy = 1e-12;
      weights.forEach((weight, i) => (energy += weight * (real[start + i] ** 2 + imaginary[start + i] ** 2)));
      values[column * bands + band] = Math.log10(energy);
    });
  }
  const loudest = values.reduce((a, b) => Math.max(a, b), -12);
  return values.map((value) => Math.max(0, 1 + (value - loudest) / RANGE));
}

/** Return triangular filters on the mel scale as {start, weights}. */
function melFilters(bands, size, sampleRate) {
  const toMel = (hertz) => Math.log(1 + hertz / 700);
  const top = toMel(Math.min(HIGHEST, sampleRate / 2));
  const edge = (i) => (700 * (Math.exp((top * i) / (bands + 1)) - 1) * size) / sampleRate; // in bins
  return Array.from({ length: bands }, (_, band) => {
    const [low, center, high] = [edge(band), edge(band + 1), edge(band + 2)];
    const start = Math.floor(low);
    const weights = [];
    for (let bin = start; bin <= high; bin++) {
      weights.push(Math.max(0, 1 - Math.abs(bin - center) / Math.max(1, bin < center ? center - low : high - center)));
    }
    return { start, weights };
  });
}

/** Replace a signal by its Fourier transform. The length is a power of two. */
function transform(real, imaginary) {
  const size = real.length;
  for (let i = 1, j = 0; i < size; i++) {
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) [real[i], real[j]] = [real[j], real[i]]; // the imaginary part is 0
  }
  for (let span = 2; span <= size; span *= 2) {
    for (let k = 0; k < span / 2; k++) {
      const angle = (-2 * Math.PI * k) / span;
      const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
      for (let a = k; a < size; a += span) {
        const b = a + span / 2;
        const re = real[b] * cosine - imaginary[b] * sine;
        const im = real[b] * sine + imaginary[b] * cosine;
        real[b] = real[a] - re;
        imaginary[b] = imaginary[a] - im;
        real[a] += re;
        imaginary[a] += im;
      }
    }
  }
}
