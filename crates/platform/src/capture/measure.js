// What is done every second; and the end of the script.

let polling = null;
let busy = false;
function poll() {
  polling ??= setInterval(async () => {
    if (busy) return;
    busy = true;
    try {
      await measure();
    } catch (error) {
      trouble(`statistics failed: ${error}`);
    }
    busy = false;
  }, 1000);
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
      if (stream.type === 'inbound-rtp' && stream.kind === 'audio') streams.set(stream.id, stream.bytesReceived ?? 0);
    }
  }
  const bytes = [...connections.values()].reduce((total, streams) => total + sum(streams), closedBytes);
  tell({ kind: 'stats', bytes });
}

if (typeof MediaStreamTrackProcessor !== 'function') trouble('this browser has no MediaStreamTrackProcessor');
Object.defineProperty(globalThis, HOOK, { value: Object.freeze({ reattach }) });
// A frame that is removed can still say so; a document that is replaced cannot.
listen(globalThis, 'pagehide', () => {
  for (const entry of tracks) finish(entry);
});
