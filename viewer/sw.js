// Keeps the site for offline use, and nothing else: bundles and whatever other hosts send never pass through here.
const CACHE = 'fidelio-site';
const FILES = [
  '', 'base.css', 'beside.css', 'boot.js', 'fidelio-viewer.js', 'fidelio-viewer_bg.wasm', 'icon.svg', 'index.html',
  'Inter-Regular.woff2', 'Inter-SemiBold.woff2', 'panels.css', 'report.css', 'rows.css', 'worker.js',
];
const SITE = new Map(FILES.map((file) => [new URL(file, self.registration.scope).pathname, file]));

self.addEventListener('install', (event) => {
  const fresh = FILES.map((file) => new Request(new URL(file, self.registration.scope), { cache: 'reload' }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(fresh)).then(() => self.skipWaiting()));
});

self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

self.addEventListener('fetch', (event) => {
  const url = new URL(event.request.url);
  const isSite = event.request.method === 'GET' && url.origin === self.location.origin && SITE.has(url.pathname);
  // Anything else goes its own way, as if there were no service worker.
  if (isSite) event.respondWith(networkFirst(event.request, url));
});

// The network first, so that a new version is never hidden by an old one; what was kept when there is no network.
async function networkFirst(request, url) {
  const cache = await caches.open(CACHE);
  const key = new URL(url.pathname, url.origin);
  try {
    const response = await fetch(request);
    if (response.ok && response.type === 'basic') await cache.put(key, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(key);
    if (kept) return kept;
    throw error;
  }
}
