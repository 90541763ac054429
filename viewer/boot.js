// Starts the wasm; when that fails, says why instead of leaving a blank page.
import init from './fidelio-viewer.js';

init({ module_or_path: new URL('./fidelio-viewer_bg.wasm', import.meta.url) }).catch((error) => {
  const box = document.getElementById('crash');
  // A panic has explained itself already.
  if (box && box.hidden) {
    document.getElementById('crash-reason').textContent = `It could not be loaded: ${error}`;
    box.hidden = false;
  }
});
