/** Segments of a transcript, and the files to download. The rules are those of asr.inference. */

const PAUSE_SECONDS = 0.8; // silence that ends a segment
const MAX_SECONDS = 7; // of a segment
const LINE_WIDTH = 42; // characters in each of the two lines of a subtitle
const LINGER_SECONDS = 0.4; // a subtitle stays this long after its last word

/** Return the transcript of words, as asr.inference.transcript has it. */
export function makeTranscript(words, duration, score, skipped = [], warnings = []) {
  const segments = splitSegments(words).map((part) => ({
    text: join(part),
    start: part[0].start,
    end: part.at(-1).end,
    confidence: meanConfidence(part),
    words: part,
  }));
  return { text: join(words), duration, score, confidence: meanConfidence(words), segments, words, skipped, warnings };
}

const meanConfidence = (words) => words.reduce((sum, word) => sum + word.confidence, 0) / Math.max(1, words.length);
const join = (words) => words.map((word) => word.text).join(" ");

/** Return lists of words that are divided at pauses and short enough for a subtitle. */
export function splitSegments(words) {
  const groups = [];
  for (const word of words) {
    if (groups.length && word.start - groups.at(-1).at(-1).end < PAUSE_SECONDS) groups.at(-1).push(word);
    else groups.push([word]);
  }
  return groups.flatMap(divide);
}

function divide(words) {
  const start = words[0].start;
  const end = words.at(-1).end;
  const fits = end - start <= MAX_SECONDS && wrap(words).every((line) => [...line].length <= LINE_WIDTH);
  if (words.length === 1 || fits) return [words];
  let split = 1;
  let best = -Infinity;
  for (let i = 1; i < words.length; i++) {
    const gap = Math.max(0, words[i].start - words[i - 1].end);
    const position = (words[i].start - start) / Math.max(end - start, 1e-6);
    const merit = (gap + 0.05) * position * (1 - position);
    if (merit > best) [split, best] = [i, merit];
  }
  return [...divide(words.slice(0, split)), ...divide(words.slice(split))];
}

/** Return one line if it is short enough, or the two lines that are closest in length. */
function wrap(words) {
  const line = join(words);
  const width = (text) => [...text].length;
  if (width(line) <= LINE_WIDTH || words.length === 1) return [line];
  let best = null;
  for (let i = 1; i < words.length; i++) {
    const lines = [join(words.slice(0, i)), join(words.slice(i))];
    const longest = Math.max(...lines.map(width));
    if (!best || longest < best.longest) best = { lines, longest };
  }
  return best.lines;
}

/** Return a time as HH:MM:SS and milliseconds after a separator. */
function formatTime(seconds, separator) {
  const total = Math.round(seconds * 1000);
  const pad = (value, size = 2) => String(Math.floor(value)).padStart(size, "0");
  const clock = [total / 3600000, (total / 60000) % 60, (total / 1000) % 60].map((value) => pad(value));
  return `${clock.join(":")}${separator}${pad(total % 1000, 3)}`;
}

function makeCues({ segments, duration }, separator) {
  return segments.map((segment, i) => {
    const next = segments[i + 1]?.start ?? duration;
    const end = Math.max(segment.end, Math.min(segment.end + LINGER_SECONDS, next));
    const times = `${formatTime(segment.start, separator)} --> ${formatTime(end, separator)}`;
    return { times, text: wrap(segment.words).join("\n") };
  });
}

/** Return the JSON object of a transcript, that of Transcript.to_dict() in Python. */
function toObject({ text, duration, score, confidence, segments, words, skipped, warnings }) {
  const round = (value, decimals = 3) => value && Number(value.toFixed(decimals));
  const timed = (span) => ({ text: span.text, start: round(span.start), end: round(span.end), confidence: round(span.confidence) });
  return {
    channel: null,
    text,
    duration: round(duration),
    score: round(score, 4),
    confidence: round(confidence),
    segments: segments.map(timed),
    words: words.map(timed),
    alternatives: [],
    skipped: skipped.map(({ start, end, reason }) => ({ start: round(start), end: round(end), reason })),
    warnings,
  };
}

const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

export const FORMATS = {
  srt: {
    type: "application/x-subrip",
    render: (transcript) => {
      const cues = makeCues(transcript, ",");
      return cues.map(({ times, text }, i) => `${i + 1}\n${times}\n${text.replaceAll("-->", "→")}\n`).join("\n");
    },
  },
  vtt: {
    type: "text/vtt",
    render: (transcript) => {
      const cues = makeCues(transcript, ".");
      return ["WEBVTT\n", ...cues.map(({ times, text }) => `${times}\n${escape(text)}\n`)].join("\n");
    },
  },
  json: {
    type: "application/json",
    render: (transcript) => JSON.stringify(toObject(transcript), null, 2) + "\n",
  },
};

/** Save a transcript under the name of the recording with another extension. */
export function download(transcript, name, format) {
  const { type, render } = FORMATS[format];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([render(transcript)], { type }));
  link.download = `${name.replace(/\.[^.]*$/, "")}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
