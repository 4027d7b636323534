// The sheet: a canvas to write on, which also shows a picture that was chosen instead.

const PEN_PX = 5;
const MARGIN = 0.2; // around what was written, of its height: about what a line's crop has
const LEAST_HEIGHT = 0.35; // of the sheet: a dash alone is not blown up to a line
const DRAWN_SCALE = 2; // canvas pixels for one of the page's, when what was written is handed on

/** Make a canvas writable. `changed` is called after each stroke, undo and clearing. */
export function openSheet(canvas, changed) {
  const context = canvas.getContext("2d");
  let strokes = [];
  let picture = null;
  let writing = null;

  function paint() {
    const scale = window.devicePixelRatio;
    Object.assign(canvas, { width: canvas.clientWidth * scale, height: canvas.clientHeight * scale });
    context.scale(scale, scale);
    if (picture) contain(context, picture, canvas);
    draw(context, strokes, getComputedStyle(canvas).color);
    canvas.parentElement.classList.toggle("written", strokes.length > 0);
    canvas.parentElement.classList.toggle("pictured", picture !== null);
  }

  function begin(event) {
    if (event.button !== 0 || !event.isPrimary) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    picture = null;
    writing = [place(event)];
    strokes = [...strokes, writing];
    paint();
  }

  function go(event) {
    if (!writing || !event.isPrimary) return;
    const passed = event.getCoalescedEvents?.() ?? [];
    writing.push(...(passed.length ? passed : [event]).map(place));
    paint();
  }

  function end() {
    if (!writing) return;
    writing = null;
    changed();
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  canvas.addEventListener("pointerdown", begin);
  canvas.addEventListener("pointermove", go);
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  new ResizeObserver(paint).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);

  return {
    get strokeCount() {
      return strokes.length;
    },
    get isEmpty() {
      return !picture && strokes.length === 0;
    },
    /** What was written, black on white, cut out with a margin; null for an empty sheet. */
    written: () => (strokes.length ? cutOut(strokes, canvas.clientHeight) : null),
    /** Show a picture in place of what was written. */
    show(shown) {
      strokes = [];
      picture = shown;
      paint();
    },
    undo() {
      strokes = strokes.slice(0, -1);
      paint();
      changed();
    },
    clear() {
      strokes = [];
      picture = null;
      paint();
      changed();
    },
  };
}

function contain(context, picture, { clientWidth, clientHeight }) {
  const scale = Math.min(clientWidth / picture.width, clientHeight / picture.height);
  const [width, height] = [picture.width * scale, picture.height * scale];
  context.drawImage(picture, (clientWidth - width) / 2, (clientHeight - height) / 2, width, height);
}

function draw(context, strokes, colour) {
  Object.assign(context, { strokeStyle: colour, lineWidth: PEN_PX, lineCap: "round", lineJoin: "round" });
  for (const [first, ...rest] of strokes) {
    context.beginPath();
    context.moveTo(first.x, first.y);
    let last = first;
    for (const point of rest) {
      context.quadraticCurveTo(last.x, last.y, (last.x + point.x) / 2, (last.y + point.y) / 2);
      last = point;
    }
    context.lineTo(last.x, last.y);
    context.stroke();
  }
}

function cutOut(strokes, sheetHeight) {
  const points = strokes.flat();
  const [left, top] = [Math.min(...points.map(({ x }) => x)), Math.min(...points.map(({ y }) => y))];
  const width = Math.max(...points.map(({ x }) => x)) - left;
  const height = Math.max(...points.map(({ y }) => y)) - top;
  const tall = Math.max(height, LEAST_HEIGHT * sheetHeight);
  const margin = MARGIN * tall + PEN_PX;
  const canvas = document.createElement("canvas");
  canvas.width = Math.ceil((width + 2 * margin) * DRAWN_SCALE);
  canvas.height = Math.ceil((tall + 2 * margin) * DRAWN_SCALE);
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.scale(DRAWN_SCALE, DRAWN_SCALE);
  context.translate(margin - left, margin - top + (tall - height) / 2);
  draw(context, strokes, "#000");
  return canvas;
}
