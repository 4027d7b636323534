// Keeps the page on the device, so that it reads without a network. Whoever builds the page puts BUILD above this:
// the digest of its files, and their names.

const SHELF = `read-a-line ${BUILD.version}`;

addEventListener("install", (event) => {
  const files = BUILD.files.map((name) => new Request(name, { cache: "no-cache" }));
  event.waitUntil(caches.open(SHELF).then((shelf) => shelf.addAll(files)));
});

addEventListener("activate", (event) => {
  const old = caches.keys().then((names) => names.filter((name) => name.startsWith("read-a-line ") && name !== SHELF));
  event.waitUntil(old.then((names) => Promise.all(names.map((name) => caches.delete(name)))));
});

addEventListener("fetch", (event) => {
  const kept = caches.open(SHELF).then((shelf) => shelf.match(event.request, { ignoreSearch: true }));
  event.respondWith(kept.then((response) => response ?? fetch(event.request)));
});
