// The tracks that are captured.

function start(pc, transceiver, streams) {
  const track = transceiver.receiver.track;
  for (const known of tracks) if (known.transceiver === transceiver) finish(known);
  number += 1;
  const entry = { number, pc, transceiver, track, streams, tap: null, figures: null };
  tracks.add(entry);
  announce(entry);
  listen(track, 'ended', () => finish(entry));
  attach(entry);
}

function announce({ number, streams, track, transceiver }) {
  tell({ kind: 'started', track: number, streams, id: track.id, mid: transceiver.mid });
}

function attach(entry) {
  guarded('a track cannot be captured', () => {
    const before = entry.tap;
    before?.flush(true);
    before?.stop();
    const tap = new Tap(entry.track, entry.number);
    tap.timeline.lastUs = before?.timeline.lastUs ?? 0;
    if (before?.timeline.bufferedUs != null) tap.timeline.buffered(before.timeline.bufferedUs);
    entry.tap = tap;
    tap.run(() => {
      if (entry.tap !== tap || !tracks.has(entry)) return;
      if (entry.track.readyState === 'ended') finish(entry);
      else trouble('the copy of a track ended before it');
    });
  });
}

function finish(entry) {
  if (!tracks.delete(entry)) return;
  guarded('a track was not released', () => {
    entry.tap?.flush(true);
    entry.tap?.stop();
  });
  tell({ kind: 'ended', track: entry.number });
}

// Attaches to everything again and to what was missed; answers to how many tracks.
function reattach() {
  for (const pc of connections.keys()) {
    for (const transceiver of transceivers(pc)) {
      const { track } = transceiver.receiver;
      const known = [...tracks].some((entry) => entry.transceiver === transceiver);
      const receives = transceiver.currentDirection === 'recvonly' || transceiver.currentDirection === 'sendrecv';
      if (track.kind !== 'audio' || track.readyState !== 'live' || !receives) continue;
      if (!known) start(pc, transceiver, sections(pc).get(transceiver.mid)?.streams ?? []);
    }
  }
  for (const entry of tracks) attach(entry);
  return tracks.size;
}
