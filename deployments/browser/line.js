// From a grey picture to the ink that the network sees, as loopline/problems/handwriting/lines.py has it.
// `facts` are the numbers of that file and of the recipe, handed over in reader.json.

import { resize, scaledWidth } from "./resize.js";

const REDUCING_GAP = 3; // of a picture so many times larger, blocks are averaged before it is resized

/** Reduce a picture to the height at which lines are kept; small ones stay as they are. */
export function preprocess(picture, facts) {
  const height = facts.shard_height_px;
  if (picture.height <= height) return picture;
  return resize(picture, scaledWidth(picture, height), height, "box", REDUCING_GAP);
}

/** Scale a line to the network's height and stretch its contrast: 0 is paper, 255 full ink. */
export function prepare(picture, facts) {
  const height = facts.height_px;
  const line = picture.height === height ? picture : resize(picture, scaledWidth(picture, height), height, "bilinear");
  const counts = histogram(line.pixels);
  const ink = percentile(counts, facts.ink_percentile);
  const paper = percentile(counts, facts.paper_percentile);
  const gain = 255 / Math.max(paper - ink, facts.least_contrast);
  const stretched = Uint8Array.from(counts, (_, grey) => Math.min(255, Math.max(0, (paper - grey) * gain)));
  return { ...line, pixels: line.pixels.map((grey) => stretched[grey]) };
}

/** Pad a prepared line with paper to a width that is a multiple of the network's step. */
export function pad({ pixels, width, height }, facts) {
  const padded = Math.ceil(width / facts.width_step_px) * facts.width_step_px;
  const made = new Uint8Array(padded * height);
  for (let y = 0; y < height; y++) made.set(pixels.subarray(y * width, (y + 1) * width), y * padded);
  return { pixels: made, width: padded, height };
}

function histogram(pixels) {
  const counts = new Array(256).fill(0);
  for (const grey of pixels) counts[grey]++;
  return counts;
}

/** NumPy's percentile of grey values, linear between neighbours. */
function percentile(counts, percent) {
  const last = counts.reduce((sum, count) => sum + count, 0) - 1;
  const place = last * (percent / 100);
  const below = ranked(counts, Math.floor(place));
  const step = ranked(counts, Math.min(last, Math.floor(place) + 1)) - below;
  const part = place - Math.floor(place);
  return part >= 0.5 ? below + step - step * (1 - part) : below + step * part;
}

function ranked(counts, rank) {
  let seen = 0;
  return counts.findIndex((count) => (seen += count) > rank);
}
