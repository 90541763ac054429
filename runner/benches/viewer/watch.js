// Runs in the page before anything else: notes when files are dropped, when what the page marked is on the screen, when
// the rows are there to be brushed, and how long the main thread was busy.
const watch = globalThis.benchWatch = { dropped: null, ready: undefined, painted: {}, tasks: [] };
// The event's own time is when the browser had it, not when the page came to it.
addEventListener('drop', (event) => { watch.dropped ??= event.timeStamp; }, { capture: true });
// After the frame that follows a mark comes a task; by then it is painted.
const whenPainted = (note) => requestAnimationFrame(() => setTimeout(() => note(performance.now())));
new PerformanceObserver((list) => {
  for (const { name, startTime } of list.getEntries()) {
    if (name.startsWith('fidelio:')) whenPainted((now) => (watch.painted[name] ??= []).push([startTime, now]));
  }
}).observe({ type: 'mark' });
new PerformanceObserver((list) => {
  for (const { startTime, duration } of list.getEntries()) watch.tasks.push([startTime, duration]);
}).observe({ type: 'longtask' });
new MutationObserver((_, observer) => {
  if (document.querySelector('[data-testid=prompt-brush]')) {
    observer.disconnect();
    whenPainted((now) => { watch.ready = now; });
  }
}).observe(document, { childList: true, subtree: true });
