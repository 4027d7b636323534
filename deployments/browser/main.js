// The page: what is written or chosen is read at once, and the answer shown. The newest line wins.

import { decode, grey, Unreadable } from "./picture.js";
import { openReader } from "./reader.js";
import { openSheet } from "./sheet.js";

const find = (id) => document.getElementById(id);
const sheet = openSheet(find("sheet"), writtenChanged);
const opening = openReader();
let newest = 0;
let before = opening;

opening.then(introduce, (error) => {
  find("status").textContent = "";
  complain(`The model can't be opened: ${error.message}`);
});

function introduce({ about }) {
  const characters = about.vocabulary.join("").replace(" ", "␣");
  find("about").textContent = `${about.problem} ${about.version}; it knows ${about.vocabulary.length} characters: ${characters}`;
  find("status").textContent = "Ready: write a line, or choose a picture of one.";
}

/** Read what `take` gives, after whatever is being read; an answer that came too late is not shown. */
async function read(take) {
  const turn = ++newest;
  const working = before.catch(() => {}).then(async () => (turn === newest ? (await opening).read(await take()) : null));
  before = working;
  try {
    const answer = await working;
    if (turn === newest) tell(answer);
  } catch (error) {
    if (turn === newest) complain(error instanceof Unreadable ? error.message : `The line can't be read: ${error.message}`);
  }
}

function writtenChanged() {
  find("undo").disabled = sheet.strokeCount === 0;
  find("clear").disabled = sheet.isEmpty;
  const canvas = sheet.written();
  if (canvas) return read(() => grey(canvas));
  newest++;
  blank();
}

function take(file) {
  if (!file) return complain("That was no file. Choose, drop or paste a picture.");
  return read(async () => {
    const picture = await decode(file);
    sheet.show(picture.thumbnail);
    find("undo").disabled = true;
    find("clear").disabled = false;
    return picture;
  });
}

function blank() {
  for (const id of ["trouble", "answer", "seen"]) find(id).hidden = true;
}

function complain(sentence) {
  blank();
  find("trouble").textContent = sentence;
  find("trouble").hidden = false;
}

function tell({ text, confidence, ink, milliseconds }) {
  blank();
  const percent = Math.floor(confidence * 100);
  find("text").textContent = text;
  find("confidence").textContent = `${percent || "Under 1"} % sure that the whole line is right`;
  find("bar").style.width = `${percent}%`;
  find("time").textContent = `Read in ${Math.max(1, Math.round(milliseconds))} ms.`;
  find("status").textContent = "";
  const seen = find("ink");
  Object.assign(seen, { width: ink.width, height: ink.height });
  const image = new ImageData(ink.width, ink.height);
  ink.pixels.forEach((value, at) => image.data.set([255, 255, 255, value], 4 * at));
  seen.getContext("2d").putImageData(image, 0, 0);
  find("answer").hidden = find("seen").hidden = false;
}

find("choose").addEventListener("click", () => find("file").click());
find("file").addEventListener("change", ({ target }) => {
  take(target.files[0]);
  target.value = ""; // so that the same file can be chosen again
});
find("undo").addEventListener("click", () => sheet.undo());
find("clear").addEventListener("click", () => sheet.clear());
find("copy").hidden = !navigator.clipboard;
find("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(find("text").textContent);
  find("status").textContent = "Copied.";
});

addEventListener("paste", ({ clipboardData }) => clipboardData.files.length && take(clipboardData.files[0]));
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.querySelector(".sheet").classList.add("over");
});
addEventListener("dragleave", () => document.querySelector(".sheet").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.querySelector(".sheet").classList.remove("over");
  take(event.dataTransfer.files[0]);
});

// Kept by the browser from the first visit on; only over https, or on this machine itself.
navigator.serviceWorker?.register("offline.js", { updateViaCache: "none" });
navigator.serviceWorker?.ready.then(() => (find("offline").hidden = false));
