/** The waveform and the log-mel features of a recording, with a playhead. */

import { computeLogMel, findPeaks, peak } from "./spectrogram.js";

const COLUMNS = 1200;
const BANDS = 64;
const STEP = 2; // seconds that an arrow key moves

export const formatClock = (seconds) => {
  const total = Math.floor(seconds);
  const [hours, minutes] = [Math.floor(total / 3600), Math.floor(total / 60) % 60];
  const rest = String(total % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
};

export class Timeline {
  #peaks = [];
  #energies = null; // (COLUMNS, BANDS)
  #position = 0;
  #span = null; // {start, end} of the current word
  #duration = 0;
  #frame = 0; // number of the next drawing of a live recording

  constructor(root, onSeek) {
    this.root = root;
    [this.wave, this.melCanvas, this.marks] = root.querySelectorAll("canvas");
    const seek = ({ clientX }) => {
      const box = root.getBoundingClientRect();
      onSeek(Math.max(0, Math.min(1, (clientX - box.left) / box.width)) * this.#duration);
    };
    root.addEventListener("pointerdown", (event) => {
      root.setPointerCapture(event.pointerId);
      seek(event);
    });
    root.addEventListener("pointermove", (event) => root.hasPointerCapture(event.pointerId) && seek(event));
    root.addEventListener("keydown", (event) => {
      const moves = { ArrowRight: STEP, ArrowUp: STEP, ArrowLeft: -STEP, ArrowDown: -STEP, PageUp: 10, PageDown: -10, Home: -Infinity, End: Infinity };
      if (!(event.key in moves)) return;
      event.preventDefault();
      onSeek(Math.max(0, Math.min(this.#duration, this.#position + moves[event.key])));
    });
    new ResizeObserver(() => this.draw()).observe(root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Show a recording {channels, sampleRate, duration}, or nothing if it cannot be decoded. */
  show(audio) {
    this.root.classList.remove("live");
    this.root.hidden = !audio;
    if (!audio) return;
    this.#duration = audio.duration;
    this.root.setAttribute("aria-valuemax", audio.duration.toFixed(1));
    this.move(0, null);
    this.#peaks = findPeaks(audio.channels[0], COLUMNS);
    this.#energies = computeLogMel(audio.channels[0], audio.sampleRate, COLUMNS, BANDS);
    this.draw();
  }

  /** Start to show what the microphone records. */
  startLive() {
    this.#peaks = [];
    this.#energies = null;
    this.#duration = 0;
    this.root.hidden = false;
    this.root.classList.add("live");
    this.move(0, null);
    this.draw();
  }

  addLive(block) {
    this.#peaks.push(peak(block));
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#drawWave(this.#color("--accent")));
  }

  /** Move the playhead, and mark a word. */
  move(seconds, word) {
    this.#position = seconds;
    this.#span = word;
    this.root.setAttribute("aria-valuenow", seconds.toFixed(1));
    this.root.setAttribute("aria-valuetext", `${formatClock(seconds)} of ${formatClock(this.#duration)}`);
    this.#drawMarks();
  }

  draw() {
    this.#drawWave(this.#color("--accent"));
    this.#drawMel(["--mel-low", "--mel-middle", "--mel-high"].map((name) => this.#color(name)));
    this.#drawMarks();
  }

  #color(name) {
    return getComputedStyle(this.root).getPropertyValue(name).trim();
  }

  #drawWave(color) {
    const { context, width, height } = fit(this.wave);
    if (!this.#peaks.length) return;
    const isLive = this.root.classList.contains("live");
    const bars = Math.min(this.#peaks.length, Math.floor(width / 3)); // 2 pixels and a gap
    const shown = isLive ? this.#peaks.slice(-bars) : findPeaks(this.#peaks, bars);
    const loudest = Math.max(isLive ? 0.1 : 1e-4, peak(shown));
    const pitch = isLive ? 3 : width / bars;
    context.fillStyle = color;
    shown.forEach((value, i) => {
      const size = Math.max(1.5, (value / loudest) * (height - 4));
      context.beginPath();
      context.roundRect(i * pitch, (height - size) / 2, Math.max(1, pitch - 1), size, 1);
      context.fill();
    });
  }

  #drawMel(colors) {
    const { context, width, height } = fit(this.melCanvas);
    if (!this.#energies) return;
    context.fillStyle = colors[0];
    const stops = colors.map((color) => {
      context.fillStyle = color;
      return [1, 3, 5].map((i) => parseInt(context.fillStyle.slice(i, i + 2), 16));
    });
    const image = new ImageData(COLUMNS, BANDS);
    this.#energies.forEach((energy, i) => {
      const [column, band] = [Math.floor(i / BANDS), i % BANDS];
      const side = energy < 0.5 ? 0 : 1;
      const offset = 4 * ((BANDS - 1 - band) * COLUMNS + column);
      const weight = 2 * energy - side;
      for (let c = 0; c < 3; c++) image.data[offset + c] = stops[side][c] * (1 - weight) + stops[side + 1][c] * weight;
      image.data[offset + 3] = 255;
    });
    const small = new OffscreenCanvas(COLUMNS, BANDS);
    small.getContext("2d").putImageData(image, 0, 0);
    context.drawImage(small, 0, 0, width, height);
  }

  #drawMarks() {
    const { context, width, height } = fit(this.marks);
    if (!this.#duration || this.root.classList.contains("live")) return;
    const place = (seconds) => (seconds / this.#duration) * width;
    if (this.#span) {
      context.fillStyle = this.#color("--mark");
      context.fillRect(place(this.#span.start), 0, Math.max(2, place(this.#span.end - this.#span.start)), height);
    }
    context.fillStyle = this.#color("--text");
    context.fillRect(Math.min(width - 2, Math.max(0, place(this.#position) - 1)), 0, 2, height);
  }
}

/** Give a canvas the resolution of the screen, clear it, and return its context and size. */
function fit(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const ratio = devicePixelRatio;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return { context, width, height };
}
