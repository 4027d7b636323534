// From a file to one upright grey picture, by the rules of loopline/images.py as far as a browser can keep them.

const LARGEST_MEGAPIXELS = 40;
const LEAST_SIDE_PX = 8;
const TILE_PX = 2048; // a phone refuses a canvas of the whole of a large photograph
const THUMBNAIL_PX = 1600;

const READABLE = /^(\x89PNG\r\n\x1a\n|\xff\xd8\xff|RIFF[^]{4}WEBP)/;
const TIFF = /^(II[*+]\0|MM\0[*+])/;

/** A file that is no readable picture; the message is for the person who chose it. */
export class Unreadable extends Error {}

/**
 * Return { pixels, width, height, thumbnail } of a PNG, JPEG or WEBP file: 0 is black, 255 white, and so is what is
 * see-through.
 */
export async function decode(file) {
  await checkSignature(file);
  const bitmap = await opened(file);
  try {
    return { ...grey(bitmap), thumbnail: thumbnail(bitmap) };
  } finally {
    bitmap.close();
  }
}

async function checkSignature(file) {
  const start = String.fromCharCode(...new Uint8Array(await file.slice(0, 16).arrayBuffer()));
  if (TIFF.test(start)) throw new Unreadable("Browsers can't open TIFF pictures. Save it as PNG or JPEG and try that.");
  if (!READABLE.test(start)) throw new Unreadable("This is not a PNG, JPEG or WEBP picture. Choose another file.");
}

async function opened(file) {
  const { width, height } = await sides(file);
  if (width * height > LARGEST_MEGAPIXELS * 1e6) {
    throw new Unreadable(`This picture has over ${LARGEST_MEGAPIXELS} megapixels. Cut out the line and try that.`);
  }
  if (Math.min(width, height) < LEAST_SIDE_PX) {
    throw new Unreadable(`A side of this picture is under ${LEAST_SIDE_PX} pixels. No letter can be told there.`);
  }
  try {
    return await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw damaged();
  }
}

/** Width and height as they stand in the file's head, so that nothing huge is ever decoded. */
function sides(file) {
  const address = URL.createObjectURL(file);
  const image = new Image();
  return new Promise((resolve, reject) => {
    image.onload = () => resolve({ width: image.naturalWidth, height: image.naturalHeight });
    image.onerror = () => reject(damaged());
    image.src = address;
  }).finally(() => URL.revokeObjectURL(address));
}

function damaged() {
  return new Unreadable("This picture is damaged or cut off. Choose another file.");
}

/** Draw anything that a canvas can draw on white, tile by tile, and weigh its colours as Pillow does. */
export function grey(drawable) {
  const { width, height } = drawable;
  const pixels = new Uint8Array(width * height);
  const canvas = Object.assign(document.createElement("canvas"), {
    width: Math.min(width, TILE_PX),
    height: Math.min(height, TILE_PX),
  });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  for (let top = 0; top < height; top += TILE_PX) {
    for (let left = 0; left < width; left += TILE_PX) {
      context.fillRect(0, 0, TILE_PX, TILE_PX);
      context.drawImage(drawable, -left, -top);
      const tile = context.getImageData(0, 0, Math.min(TILE_PX, width - left), Math.min(TILE_PX, height - top));
      copy(tile, { pixels, width, left, top });
    }
  }
  return { pixels, width, height };
}

function thumbnail(bitmap) {
  const scale = Math.min(1, THUMBNAIL_PX / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0, width, height);
  return canvas;
}

function copy({ data, width, height }, target) {
  for (let y = 0; y < height; y++) {
    const row = (target.top + y) * target.width + target.left;
    for (let x = 0; x < width; x++) {
      const at = 4 * (y * width + x);
      target.pixels[row + x] = (data[at] * 19595 + data[at + 1] * 38470 + data[at + 2] * 7471 + 0x8000) >> 16;
    }
  }
}
