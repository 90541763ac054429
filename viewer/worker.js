// A worker: waits for the compiled wasm, starts it; the wasm then listens by itself.
import init from './fidelio-viewer.js';

self.onmessage = ({ data }) => {
  self.onmessage = null;
  // What a site says that was updated while its page was open: the page's wasm does not fit the new script.
  init({ module_or_path: data }).catch((error) => self.postMessage(JSON.stringify([0, { Crashed: `${error}. Reload the page.` }])));
};
