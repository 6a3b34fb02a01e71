/** Greedy CTC decoding, as asr.decode.greedy does it: words with times and confidence. */

const BLANK = 0;
const CLIP = 1e-4; // distance of confidences from 0 and 1, which keeps their logarithms finite

/** The most likely token of each frame and its log-probability. */
export class Path {
  tokens = [];
  logProbs = [];

  /** Add the frames from `begin` to `end` of log-probabilities (1, U, V), and return the path. */
  append(logProbs, begin, end) {
    const { data, dims } = logProbs ?? { data: [], dims: [1, 0, 0] };
    const size = dims[2];
    for (let frame = begin; frame < end; frame++) {
      const row = data.subarray(frame * size, (frame + 1) * size);
      let best = 0;
      for (let token = 1; token < size; token++) if (row[token] > row[best]) best = token;
      this.tokens.push(best);
      this.logProbs.push(row[best]);
    }
    return this;
  }

  /** Return the path with the frames of another one after its own. */
  concat(other) {
    const path = new Path();
    path.tokens = this.tokens.concat(other.tokens);
    path.logProbs = this.logProbs.concat(other.logProbs);
    return path;
  }

  get score() {
    return this.logProbs.reduce((sum, value) => sum + value, 0);
  }

  /** Return the words {text, start, end, confidence} of a path that starts after `offset` seconds. */
  words(model, offset = 0) {
    const spans = this.#wordSpans(model.tokens);
    const scale = model.stride / model.sample_rate; // seconds in a frame
    const [lead, tail] = model.boundary_offsets;
    return spans.map(({ text, start, end, logProb }, i) => {
      const low = i ? (scale * (spans[i - 1].end + start)) / 2 : 0;
      const high = i + 1 < spans.length ? (scale * (end + spans[i + 1].start)) / 2 : scale * this.tokens.length;
      return {
        text,
        start: offset + Math.max(scale * start - lead, low),
        end: offset + Math.min(scale * end + tail, high),
        confidence: calibrate(Math.exp(logProb), model.calibration),
      };
    });
  }

  /** Return words with their frames and the mean log-probability of their letters. */
  #wordSpans(vocabulary) {
    const words = [];
    let word = null;
    let previous = BLANK;
    let best = []; // log-probability of each letter's most likely frame
    this.tokens.forEach((token, frame) => {
      const logProb = this.logProbs[frame];
      const isRepeat = token === previous;
      previous = token;
      if (token === BLANK) return;
      const text = vocabulary[token - 1];
      if (text === " ") {
        word = null;
        return;
      }
      if (!word) words.push((word = { text: "", start: frame, best: [] }));
      best = word.best;
      if (isRepeat) best.push(Math.max(best.pop(), logProb));
      else {
        word.text += text;
        best.push(logProb);
      }
      word.end = frame + 1;
    });
    return words.map(({ best: values, ...rest }) => ({
      ...rest,
      logProb: values.reduce((sum, value) => sum + value, 0) / values.length,
    }));
  }
}

/** Return the probability that a word is correct. */
function calibrate(confidence, [a, b, offset]) {
  if (a === 1 && b === 1 && offset === 0) return confidence;
  const c = Math.min(Math.max(confidence, CLIP), 1 - CLIP);
  return 1 / (1 + Math.exp(-(a * Math.log(c) - b * Math.log1p(-c) + offset)));
}
