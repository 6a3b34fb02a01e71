"use strict";
// Sort a table by a column when its heading is pressed, first the largest numbers or the first letters.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const heading = button.parentElement;
    const column = heading.cellIndex;
    const body = heading.closest("table").tBodies[0];
    const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const rows = [...body.rows];
    const isNumeric = rows.every((row) => key(row) !== "" && !Number.isNaN(Number(key(row))));
    const previous = heading.getAttribute("aria-sort");
    const order = previous === "none" ? (isNumeric ? "descending" : "ascending")
      : previous === "ascending" ? "descending" : "ascending";
    for (const other of heading.parentElement.cells) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    rows.sort((a, b) => sign * (isNumeric ? key(a) - key(b) : key(a).localeCompare(key(b))));
    body.append(...rows);
  });
}

// Play an utterance from a word or from a place in its pictures, and show the place that is played.
for (const example of document.querySelectorAll(".example")) {
  const audio = example.querySelector("audio");
  const timeline = example.querySelector(".timeline");
  if (!audio || !timeline) continue;
  const seconds = Number(timeline.style.getPropertyValue("--seconds"));
  let stop = Infinity;
  const play = (start, end) => {
    stop = end;
    audio.currentTime = start;
    audio.play().catch(() => {}); // the player shows that it cannot play
  };
  const follow = () => {
    timeline.style.setProperty("--position", audio.currentTime / seconds);
    timeline.style.setProperty("--visible", 1);
    if (audio.currentTime >= stop) audio.pause();
    if (!audio.paused) requestAnimationFrame(follow);
  };
  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    follow();
  });
  audio.addEventListener("pause", () => { stop = Infinity; });
  audio.addEventListener("seeked", follow);
  for (const word of example.querySelectorAll(".words button")) {
    word.addEventListener("click", () => play(Number(word.dataset.start), Number(word.dataset.end)));
  }
  for (const picture of timeline.querySelectorAll("img")) {
    picture.addEventListener("click", (event) => {
      play((event.offsetX / picture.clientWidth) * seconds, Infinity);
    });
  }
}
