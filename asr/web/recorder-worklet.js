/** Send the samples of the microphone to the page in blocks of about 0.1 s, and the rest when asked for it. */

class RecorderProcessor extends AudioWorkletProcessor {
  #block = new Float32Array(Math.round(sampleRate / 1280) * 128);
  #length = 0;

  constructor() {
    super();
    this.port.onmessage = () => {
      this.port.postMessage(this.#block.slice(0, this.#length));
      this.port.postMessage(null); // the end
      this.#length = 0;
    };
  }

  process([[samples]]) {
    if (!samples) return true;
    this.#block.set(samples, this.#length);
    this.#length += samples.length;
    if (this.#length === this.#block.length) {
      this.port.postMessage(this.#block.slice());
      this.#length = 0;
    }
    return true;
  }
}

registerProcessor("recorder", RecorderProcessor);
