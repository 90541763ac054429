// Keeps the site for offline use, and nothing else: bundles and whatever other hosts send never pass through here.
// The network comes first, so that a new version is never hidden by an old one. What is kept is kept whole: the files of
// one version, never some of each.
const FILES = [
  '', 'access.css', 'base.css', 'beside.css', 'boot.js', 'fidelio-viewer.js', 'fidelio-viewer_bg.wasm', 'icon.svg',
  'index.html', 'Inter-Regular.woff2', 'Inter-SemiBold.woff2', 'panels.css', 'report.css', 'rows.css', 'share.css',
  'worker.js',
];
const SCOPE = self.registration.scope;
const SITE = new Set(FILES.map((file) => new URL(file, SCOPE).pathname));
// Sites in other folders of one host keep their own.
const PREFIX = `fidelio-site ${SCOPE} `;
// Stored last: what has it is whole.
const WHOLE = new URL('.whole', SCOPE).href;
// Pages and workers that came from what was kept; whatever they load later comes from there, or versions would mix.
const keptClients = new Set();

self.addEventListener('install', (event) => event.waitUntil(keep().then(() => self.skipWaiting())));

self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

self.addEventListener('fetch', (event) => {
  const url = new URL(event.request.url);
  const isSite = event.request.method === 'GET' && url.origin === self.location.origin && SITE.has(url.pathname);
  // Anything else goes its own way, as if there were no service worker.
  if (isSite) event.respondWith(answer(event, url));
});

async function answer(event, url) {
  if (keptClients.has(event.clientId)) return (await kept(event, url)) ?? fetch(event.request);
  try {
    const response = await fetch(event.request);
    if (event.request.mode === 'navigate' && response.ok) event.waitUntil(keepLater());
    return response;
  } catch (error) {
    const file = await kept(event, url);
    if (file) return file;
    throw error;
  }
}

// A file of the version that is kept, whatever is asked for after its name.
async function kept(event, url) {
  for (const name of await caches.keys()) {
    if (!name.startsWith(PREFIX)) continue;
    const cache = await caches.open(name);
    const file = (await cache.match(WHOLE)) && (await cache.match(new URL(url.pathname, url.origin)));
    if (!file) continue;
    if (event.resultingClientId) keptClients.add(event.resultingClientId);
    return file;
  }
}

// The page that was just opened comes first.
async function keepLater() {
  await new Promise((resume) => setTimeout(resume, 2000));
  await keep().catch(() => {});
}

// Asks for every file anew, and keeps them in place of the others when anything in them has changed.
async function keep() {
  const files = await Promise.all(FILES.map(async (file) => {
    const url = new URL(file, SCOPE);
    const response = await fetch(url, { cache: 'no-cache' });
    if (!response.ok) throw new Error(`${url} answered with status ${response.status}`);
    return { url, type: response.headers.get('content-type') ?? '', bytes: await response.arrayBuffer() };
  }));
  const all = await new Blob(files.map((file) => file.bytes)).arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', all));
  const name = PREFIX + Array.from(digest.slice(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join('');
  const cache = await caches.open(name);
  if (!(await cache.match(WHOLE))) {
    for (const { url, type, bytes } of files) {
      await cache.put(url, new Response(bytes, { headers: { 'content-type': type } }));
    }
    await cache.put(WHOLE, new Response(''));
  }
  const others = (await caches.keys()).filter((other) => other.startsWith(PREFIX) && other !== name);
  await Promise.all(others.map((other) => caches.delete(other)));
}
