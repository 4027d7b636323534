// The network and what it needs, ready to read: ONNX Runtime as WebAssembly, on one thread, in this page.

import * as ort from "./vendor/ort.wasm.bundle.min.mjs";
import { decoder } from "./decoding.js";
import { pad, prepare, preprocess } from "./line.js";

ort.env.wasm.numThreads = 1; // more want headers that not every server sends
ort.env.wasm.wasmPaths = { wasm: new URL("./vendor/ort-wasm-simd-threaded.wasm", import.meta.url).href };

/** Fetch the model that lies beside this file. `read` turns a grey picture into { text, confidence, ink, milliseconds }. */
export async function openReader() {
  const [about, network] = await Promise.all([
    fetched("reader.json").then((response) => response.json()),
    fetched("model.onnx").then((response) => response.arrayBuffer()),
  ]);
  const language = about.language && (await fetched(about.language).then((response) => response.json()));
  const session = await ort.InferenceSession.create(network);
  const decode = decoder(about, language);

  async function read(picture) {
    const start = performance.now();
    const ink = prepare(preprocess(picture, about.facts), about.facts);
    const padded = pad(ink, about.facts);
    const { log_probs: said } = await session.run({
      ink: new ort.Tensor("uint8", padded.pixels, [1, padded.height, padded.width]),
      widths: new ort.Tensor("int64", BigInt64Array.of(BigInt(ink.width)), [1]),
    });
    const frames = Math.ceil(ink.width / about.facts.frame_px);
    const answer = decode({ values: said.data, frames, classes: said.dims[2] });
    return { ...answer, ink, milliseconds: performance.now() - start };
  }

  return { about, read };
}

async function fetched(name) {
  const response = await fetch(new URL(name, import.meta.url));
  if (!response.ok) throw new Error(`${name} is missing beside this page; export it again.`);
  return response;
}
