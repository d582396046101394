// What is done every second, and for new tracks at once; and the end of the script.

const LOOK_MS = 250;
const LOOKS_A_SECOND = 4;
let looks = 0;

let polling = null;
let busy = false;
function poll() {
  polling ??= setInterval(async () => {
    looks += 1;
    const fresh = [...tracks].some((entry) => entry.tap !== null && !entry.tap.timeline.known());
    if (busy || (looks % LOOKS_A_SECOND !== 0 && !fresh)) return;
    busy = true;
    try {
      await measure();
    } catch (error) {
      trouble(`statistics failed: ${error}`);
    }
    busy = false;
  }, LOOK_MS);
}

const sum = (streams) => [...streams.values()].reduce((total, bytes) => total + bytes, 0);

async function measure() {
  for (const entry of tracks) if (entry.track.readyState === 'ended') finish(entry);
  for (const [pc, streams] of connections) {
    if (pc.signalingState === 'closed') {
      for (const entry of tracks) if (entry.pc === pc) finish(entry);
      closedBytes += sum(streams);
      connections.delete(pc);
      continue;
    }
    const report = await Reflect.apply(getStats, pc, []);
    for (const stream of report.values()) {
      if (stream.type !== 'inbound-rtp' || stream.kind !== 'audio') continue;
      streams.set(stream.id, stream.bytesReceived ?? 0);
      buffered(pc, stream);
    }
  }
  const bytes = [...connections.values()].reduce((total, streams) => total + sum(streams), closedBytes);
  tell({ kind: 'stats', bytes });
}

// What lies between the arrival of a sound and its playing is the jitter buffer's; its figures are sums over samples.
function buffered(pc, stream) {
  for (const entry of tracks) {
    if (entry.pc !== pc || entry.track.id !== stream.trackIdentifier) continue;
    const before = entry.figures ?? { delay: 0, samples: 0 };
    const now = { delay: stream.jitterBufferDelay ?? 0, samples: stream.jitterBufferEmittedCount ?? 0 };
    const samples = now.samples - before.samples;
    entry.figures = now;
    if (samples > 0) entry.tap?.timeline.buffered(((now.delay - before.delay) / samples) * 1e6);
  }
}

if (typeof MediaStreamTrackProcessor !== 'function') trouble('this browser has no MediaStreamTrackProcessor');
Object.defineProperty(globalThis, HOOK, { value: Object.freeze({ reattach }) });
// A frame that is removed can still say so; a document that is replaced cannot.
listen(globalThis, 'pagehide', () => {
  for (const entry of tracks) finish(entry);
});
