// Pillow's resize for grey pictures, bit for bit, so that a line looks to the network here as it did when it learnt.

const FRACTION = 2 ** 22; // weights are whole multiples of its inverse, as in Pillow

const FILTERS = {
  box: { support: 0.5, weigh: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weigh: (x) => Math.max(0, 1 - Math.abs(x)) },
};

/** Width of a picture of these sides once it is `height` px high; rounds as Python does, halves to even. */
export function scaledWidth(picture, height) {
  const exact = (picture.width * height) / picture.height;
  const floor = Math.floor(exact);
  const isHalf = exact - floor === 0.5;
  return Math.max(1, isHalf ? floor + (floor % 2) : Math.round(exact));
}

/** Bring a picture { pixels, width, height } to a size. With a `gap`, one that is so many times larger is first averaged. */
export function resize(picture, width, height, filter, gap = Infinity) {
  const across = Math.trunc(picture.width / width / gap) || 1;
  const down = Math.trunc(picture.height / height / gap) || 1;
  const small = across > 1 || down > 1 ? average(picture, across, down) : picture;
  const wide = stretch(small, Math.fround(picture.width / across), width, FILTERS[filter]);
  return turned(stretch(turned(wide), Math.fround(picture.height / down), height, FILTERS[filter]));
}

/** Average blocks of pixels; those at the right and lower edge may be smaller. */
function average({ pixels, width, height }, across, down) {
  const made = blank(Math.ceil(width / across), Math.ceil(height / down));
  for (let y = 0; y < made.height; y++) {
    const lastRow = Math.min(height, (y + 1) * down);
    for (let x = 0; x < made.width; x++) {
      const lastColumn = Math.min(width, (x + 1) * across);
      const count = (lastRow - y * down) * (lastColumn - x * across);
      let sum = Math.trunc(count / 2);
      for (let row = y * down; row < lastRow; row++) {
        for (let column = x * across; column < lastColumn; column++) sum += pixels[row * width + column];
      }
      made.pixels[y * made.width + x] = Math.floor((sum * Math.floor(2 ** 32 / (256 * count))) / 2 ** 24);
    }
  }
  return made;
}

/** Resample along the rows; `span` is how much of the width counts. */
function stretch(picture, span, width, filter) {
  if (width === picture.width && span === width) return picture;
  const made = blank(width, picture.height);
  weights(picture.width, span, width, filter).forEach(({ first, parts }, x) => {
    for (let y = 0; y < picture.height; y++) {
      let sum = FRACTION / 2;
      parts.forEach((part, i) => (sum += part * picture.pixels[y * picture.width + first + i]));
      made.pixels[y * width + x] = Math.min(255, Math.floor(sum / FRACTION));
    }
  });
  return made;
}

function weights(size, span, count, { support, weigh }) {
  const scale = span / count;
  const reach = Math.max(scale, 1);
  return Array.from({ length: count }, (_, at) => {
    const centre = (at + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support * reach + 0.5));
    const end = Math.min(size, Math.trunc(centre + support * reach + 0.5));
    const parts = Array.from({ length: end - first }, (_, i) => weigh((first + i - centre + 0.5) * (1 / reach)));
    const sum = parts.reduce((left, right) => left + right, 0);
    return { first, parts: parts.map((part) => Math.trunc(0.5 + (part / (sum || 1)) * FRACTION)) };
  });
}

function turned({ pixels, width, height }) {
  const made = blank(height, width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) made.pixels[x * height + y] = pixels[y * width + x];
  }
  return made;
}

function blank(width, height) {
  return { pixels: new Uint8Array(width * height), width, height };
}
