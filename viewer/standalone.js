// The self-contained page: this text follows the glue, made a plain script, so it imports nothing. The same text, from
// a blob, is its workers. It starts the wasm that the page carries and hands over the bundle beside it.
{
  if (typeof document === 'undefined') {
    work();
  } else {
    start().catch((error) => {
      const box = document.getElementById('crash');
      // A panic has explained itself already.
      if (box && box.hidden) {
        document.getElementById('crash-reason').textContent = `It could not be started: ${error}`;
        box.hidden = false;
      }
    });
  }

  // As worker.js does.
  function work() {
    self.onmessage = ({ data }) => {
      self.onmessage = null;
      __wbg_init({ module_or_path: data }).catch((error) => self.postMessage(JSON.stringify([0, { Crashed: `${error}` }])));
    };
  }

  async function start() {
    const program = new Blob([document.getElementById('program').textContent], { type: 'text/javascript' });
    const address = URL.createObjectURL(program);
    const module = compile();
    globalThis.fidelio = {
      startWorker() {
        const worker = new Worker(address);
        module.then((module) => worker.postMessage(module));
        return worker;
      },
      // As in boot.js; the styles of this page have it as data, this one first.
      async font() {
        const styles = [...document.querySelectorAll('style')].map((style) => style.textContent).join('');
        return styles.match(/data:font\/woff2;base64,[A-Za-z0-9+/=]+/)[0];
      },
      embedded: [],
    };
    for (const block of document.querySelectorAll('script[data-bundle]')) {
      globalThis.fidelio.embedded.push({ name: block.dataset.bundle, bytes: await decode(block) });
    }
    await __wbg_init({ module_or_path: await module });
    document.getElementById('opening')?.remove();
  }

  async function compile() {
    const packed = await decode(document.getElementById('wasm'));
    const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
    return WebAssembly.compile(await new Response(unpacked).arrayBuffer());
  }

  // The bytes of a block, a megabyte at a time so that the page stays live; its text is let go.
  async function decode(block) {
    const text = block.textContent;
    block.textContent = '';
    const bytes = new Uint8Array(Math.floor(text.length / 4) * 3 - (text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0));
    for (let from = 0, to = 0; from < text.length; from += 1 << 20) {
      const part = atob(text.slice(from, from + (1 << 20)));
      for (let index = 0; index < part.length; index += 1) bytes[to++] = part.charCodeAt(index);
      await new Promise((resume) => setTimeout(resume));
    }
    return bytes;
  }
}
