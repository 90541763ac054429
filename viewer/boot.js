// Starts the wasm, gives it the means to start workers, and keeps the site for offline use.
// When something fails, says why instead of leaving a blank page.
import init from './fidelio-viewer.js';

const module = compile(new URL('./fidelio-viewer_bg.wasm', import.meta.url));

globalThis.fidelio = {
  // A worker of the same wasm, compiled once. It says `"ready"` when it listens.
  startWorker() {
    const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    module.then((module) => worker.postMessage(module));
    return worker;
  },
  // The page's font as a data address, for figures that leave the page.
  async font() {
    const response = await fetch(new URL('./Inter-Regular.woff2', import.meta.url));
    if (!response.ok) throw new Error(`the font answered with status ${response.status}`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    return `data:font/woff2;base64,${btoa(String.fromCharCode(...bytes))}`;
  },
  // Files that came with the page: only in the self-contained one.
  embedded: [],
};

module.then((module) => init({ module_or_path: module })).catch((error) => {
  const box = document.getElementById('crash');
  // A panic has explained itself already.
  if (box && box.hidden) {
    document.getElementById('crash-reason').textContent = `It could not be loaded: ${error}`;
    box.hidden = false;
  }
});

// Static hosts keep the site for offline use; `fidelio view` has no such script, and a page without it works as well.
if ('serviceWorker' in navigator) addEventListener('load', () => keepForOffline().catch(() => {}));

// Once the page works without a network, its root element says `data-offline="ready"`.
async function keepForOffline() {
  const response = await fetch('./sw.js', { method: 'HEAD' });
  // Hosts that have none may answer with a page or with words.
  if (!response.ok || !response.headers.get('content-type')?.includes('javascript')) return;
  const worker = navigator.serviceWorker;
  await worker.register('./sw.js', { updateViaCache: 'none' });
  await worker.ready;
  if (!worker.controller) await new Promise((resume) => worker.addEventListener('controllerchange', resume, { once: true }));
  document.documentElement.dataset.offline = 'ready';
}

async function compile(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address} answered with status ${response.status}`);
  // Hosts that do not know the type of .wasm are common.
  const isWasm = response.headers.get('content-type')?.startsWith('application/wasm');
  return isWasm ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer());
}
