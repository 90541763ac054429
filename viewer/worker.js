// A worker: waits for the compiled wasm, starts it; the wasm then listens by itself.
import init from './fidelio-viewer.js';

self.onmessage = ({ data }) => {
  self.onmessage = null;
  init({ module_or_path: data }).catch((error) => self.postMessage(JSON.stringify({ crashed: String(error) })));
};
