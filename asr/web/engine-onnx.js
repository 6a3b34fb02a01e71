/** The recognizer in the browser. */

export class OnnxEngine {
  note = "Runs on this device. Your audio never leaves the browser.";
  needsDecoding = true;
  #worker = new Worker("onnx-worker.js", { type: "module" });
  #calls = new Map();
  #count = 0;

  constructor(config) {
    this.config = config;
    this.#worker.onmessage = ({ data: { id, progress, result, error } }) => {
      const call = this.#calls.get(id);
      if (progress !== undefined) return call.onProgress?.(progress);
      this.#calls.delete(id);
      return error === undefined ? call.resolve(result) : call.reject(new Error(error));
    };
    this.#worker.onerror = () => {
      for (const call of this.#calls.values()) call.reject(new Error("This browser cannot run the recognizer. Use a current one."));
    };
  }

  /** Download the model and start the runtime. `onProgress` receives the fraction. */
  load(onProgress) {
    return this.#call("load", { config: this.config }, onProgress);
  }

  /** Return the transcript of a recording, or null if it was canceled. */
  async transcribe({ audio }, { onProgress, signal }) {
    const job = ++this.#count;
    signal.addEventListener("abort", () => this.#worker.postMessage({ method: "cancel", job }));
    const { channels, sampleRate } = audio;
    return this.#call("transcribe", { job, channels, sampleRate }, onProgress);
  }

  /** Return {push, finish} for a live recording. `onWords` receives all words so far. */
  live(onWords) {
    const job = ++this.#count;
    this.#call("open", { job });
    return {
      push: async (samples) => {
        const words = await this.#call("push", { job, samples });
        if (words) onWords(words);
      },
      finish: () => this.#call("finish", { job }),
    };
  }

  #call(method, values, onProgress) {
    const id = ++this.#count;
    this.#worker.postMessage({ id, method, ...values });
    return new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject, onProgress }));
  }
}
