// The page's connections: what they are told by the other side, and what they answer.

function watch(pc) {
  connections.set(pc, new Map());
  listen(pc, 'track', (event) =>
    guarded('a track was missed', () => {
      if (event.track.kind === 'audio') start(pc, event.transceiver, event.streams.map((stream) => stream.id));
    }),
  );
  poll();
}

// What the other side's description says of each of its media: does it send, and which streams is it part of.
function sections(pc) {
  const found = new Map();
  for (const section of (pc.remoteDescription?.sdp ?? '').split(/^m=/m).slice(1)) {
    const mid = /^a=mid:(\S+)/m.exec(section)?.[1];
    const sends = !/^a=(recvonly|inactive)\s*$/m.test(section) && !/^\S+ 0 /.test(section);
    const streams = [...section.matchAll(/^a=msid:(\S+)/gm)].map((match) => match[1]).filter((id) => id !== '-');
    if (mid !== undefined) found.set(mid, { sends, streams });
  }
  return found;
}

// A line of the description may be handed from one participant to the next without the track ending.
function described(pc) {
  guarded('a description was not read', () => {
    refuseVideo(pc);
    const lines = sections(pc);
    for (const entry of tracks) {
      if (entry.pc !== pc) continue;
      const line = lines.get(entry.transceiver.mid);
      if (!line?.sends) {
        finish(entry);
      } else if (line.streams.length > 0 && line.streams.join() !== entry.streams.join()) {
        entry.streams = line.streams;
        announce(entry);
      }
    }
  });
}

// Only a line answered `inactive` makes the other side stop sending. What the page itself offers is its own affair.
function refuseVideo(pc) {
  if (settings.video || pc.signalingState !== 'have-remote-offer') return;
  for (const transceiver of transceivers(pc)) {
    if (transceiver.receiver.track.kind !== 'video') continue;
    if (transceiver.direction === 'inactive' || transceiver.direction === 'stopped') continue;
    transceiver.direction = 'inactive';
  }
}

// Remote descriptions being set. An answer asked for meanwhile must wait until we have refused video.
const pending = new WeakMap();

function wrap(name, apply) {
  proto[name] = new Proxy(proto[name], { apply });
}

wrap('setRemoteDescription', (native, pc, args) => {
  if (typeof args[1] === 'function') {
    const success = args[1];
    const then = function (...values) {
      described(pc);
      return Reflect.apply(success, this, values);
    };
    return Reflect.apply(native, pc, [args[0], then, ...args.slice(2)]);
  }
  const set = Reflect.apply(native, pc, args);
  const seen = (async () => {
    try {
      const value = await set;
      described(pc);
      return value;
    } finally {
      if (pending.get(pc) === seen) pending.delete(pc);
    }
  })();
  if (connections.has(pc)) pending.set(pc, seen);
  return seen;
});

function answering(native, pc, args) {
  const before = connections.has(pc) ? pending.get(pc) : undefined;
  if (before === undefined) {
    if (connections.has(pc)) guarded('video was not refused', () => refuseVideo(pc));
    return Reflect.apply(native, pc, args);
  }
  return (async () => {
    await before.catch(() => {});
    return Reflect.apply(native, pc, args);
  })();
}
wrap('createAnswer', answering);
wrap('setLocalDescription', (native, pc, args) =>
  args[0]?.sdp ? Reflect.apply(native, pc, args) : answering(native, pc, args),
);

const Wrapped = new Proxy(Native, {
  construct(target, args, newTarget) {
    const pc = Reflect.construct(target, args, newTarget);
    guarded('a connection was missed', () => watch(pc));
    return pc;
  },
});
for (const name of ['RTCPeerConnection', 'webkitRTCPeerConnection']) {
  const property = Object.getOwnPropertyDescriptor(globalThis, name);
  if (property) Object.defineProperty(globalThis, name, { ...property, value: Wrapped });
}
Object.defineProperty(proto, 'constructor', { value: Wrapped, writable: true, configurable: true });
