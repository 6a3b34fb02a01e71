/** Files that are dropped on the page. */

/** Call `onFile` with each one, and mark the page while a file is dragged over it. */
export function listenForDrops(onFile) {
  let depth = 0; // of the elements that the dragged file is over
  for (const [type, change] of [["dragenter", 1], ["dragleave", -1]]) {
    addEventListener(type, (event) => {
      depth += change;
      document.body.classList.toggle("dragging", depth > 0 && event.dataTransfer.types.includes("Files"));
    });
  }
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    document.body.classList.remove("dragging");
    const file = event.dataTransfer.files[0];
    if (file) onFile(file);
  });
}
