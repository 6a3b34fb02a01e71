/** The words of a transcript: buttons in lines that start with their time. */

import { splitSegments } from "./formats.js";
import { formatClock } from "./timeline.js";

export class Words {
  #words = [];
  #buttons = [];
  #lines = new Map(); // by the index of the first word
  #focused = 0; // the one word that the Tab key reaches
  #current = -1; // the word that plays

  constructor(root, onPlay) {
    this.root = root;
    root.addEventListener("click", ({ target }) => {
      const index = this.#buttons.indexOf(target.closest("button"));
      if (index >= 0) {
        this.#focus(index);
        onPlay(this.#words[index]);
      }
    });
    root.addEventListener("keydown", (event) => {
      const index = this.#buttons.indexOf(document.activeElement);
      const last = this.#buttons.length - 1;
      const targets = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: last, ArrowDown: this.#below(index, 1), ArrowUp: this.#below(index, -1) };
      if (index < 0 || !(event.key in targets)) return;
      event.preventDefault();
      this.#focus(Math.max(0, Math.min(last, targets[event.key])));
      this.#buttons[this.#focused].focus();
    });
  }

  #focus(index) {
    this.#buttons[this.#focused]?.setAttribute("tabindex", "-1");
    this.#focused = index;
    this.#buttons[index]?.setAttribute("tabindex", "0");
  }

  /** Return the index of the first word of the next or previous line. */
  #below(index, direction) {
    const starts = [...this.#lines.keys()];
    const line = starts.findLastIndex((start) => start <= index);
    return starts[Math.max(0, Math.min(starts.length - 1, line + direction))] ?? index;
  }

  /** Show words. Lines that are the same as before stay in the page. */
  show = (words) => {
    this.#words = words;
    this.#current = -1;
    const lines = new Map();
    const buttons = [];
    let first = 0;
    for (const part of splitSegments(words)) {
      const key = JSON.stringify(part);
      const known = this.#lines.get(first);
      const line = known?.dataset.key === key ? known : this.#makeLine(part, key);
      lines.set(first, line);
      buttons.push(...line.querySelectorAll("button"));
      first += part.length;
    }
    for (const [start, line] of this.#lines) if (lines.get(start) !== line) line.remove();
    let previous = null;
    for (const line of lines.values()) {
      if (line.previousElementSibling !== previous || !line.isConnected) {
        if (previous) previous.after(line);
        else this.root.prepend(line);
      }
      previous = line;
    }
    [this.#lines, this.#buttons] = [lines, buttons];
    this.#focus(Math.min(this.#focused, Math.max(0, buttons.length - 1)));
  };

  #makeLine(words, key) {
    const line = document.createElement("p");
    line.dataset.key = key;
    const time = document.createElement("time");
    time.textContent = formatClock(words[0].start);
    const text = document.createElement("span");
    for (const word of words) {
      const button = document.createElement("button");
      button.type = "button";
      button.tabIndex = -1;
      button.textContent = word.text;
      const percent = Math.round(100 * word.confidence);
      button.title = `${word.start.toFixed(2)} s, ${percent} % sure`;
      button.style.setProperty("--doubt", (1 - word.confidence).toFixed(2));
      text.append(button, " ");
    }
    line.append(time, text);
    return line;
  }

  /** Mark the word at a time, and return it. */
  mark(seconds) {
    const index = this.#words.findLastIndex((word) => word.start <= seconds + 1e-3);
    const found = index >= 0 && seconds < this.#words[index].end ? index : -1;
    if (found !== this.#current) {
      this.#buttons[this.#current]?.classList.remove("now");
      this.#buttons[found]?.classList.add("now");
      this.#current = found;
      if (found >= 0) keepVisible(this.#buttons[found]);
    }
    return found < 0 ? null : this.#words[found];
  }
}

/** Scroll a word into view if it is outside of the window while the recording plays. */
function keepVisible(button) {
  const { top, bottom } = button.getBoundingClientRect();
  if (top < 0 || bottom > innerHeight) button.scrollIntoView({ block: "center" });
}
