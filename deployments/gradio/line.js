// The sheet on this page: what is written or chosen goes to the server when "Read it" is pressed.

const find = (part) => element.querySelector(`[data-part="${part}"]`);
const sheet = openSheet(find("sheet"), written);
let chosen = null; // a picture as a data URL, in place of what was written

function written() {
  chosen = null;
  tell("");
}

function tell(sentence) {
  find("told").textContent = sentence;
  find("undo").disabled = sheet.strokeCount === 0;
  find("clear").disabled = find("read").disabled = sheet.isEmpty && chosen === null;
}

async function take(file) {
  if (!file) return tell("That was no file. Choose, drop or paste a picture.");
  chosen = await new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.readAsDataURL(file);
  });
  try {
    sheet.show(await createImageBitmap(file));
    tell("");
  } catch {
    sheet.show(null); // the service knows kinds of pictures that a browser doesn't
    tell(`${file.name} can't be shown here; it can be read all the same.`);
  }
}

find("read").addEventListener("click", () => {
  trigger("submit", { picture: chosen ?? sheet.written().toDataURL("image/png") });
});
find("choose").addEventListener("click", () => find("file").click());
find("file").addEventListener("change", ({ target }) => {
  take(target.files[0]);
  target.value = ""; // so that the same file can be chosen again
});
find("undo").addEventListener("click", () => sheet.undo());
find("clear").addEventListener("click", () => sheet.clear());

for (const sample of element.querySelectorAll(".sample")) {
  sample.addEventListener("click", async () => {
    await take(await (await fetch(sample.querySelector("img").src)).blob());
    find("read").focus();
  });
}

addEventListener("paste", ({ clipboardData }) => clipboardData.files.length && take(clipboardData.files[0]));
const frame = find("frame");
frame.addEventListener("dragover", (event) => {
  event.preventDefault();
  frame.classList.add("over");
});
frame.addEventListener("dragleave", () => frame.classList.remove("over"));
frame.addEventListener("drop", (event) => {
  event.preventDefault();
  frame.classList.remove("over");
  take(event.dataTransfer.files[0]);
});
