// Takes the sound out of the page: every remote audio track of every peer connection, as 48 kHz mono.
//
// All files of this folder together are one function of `settings`. It runs before the page's scripts, in every frame,
// and must not be noticed by them: it keeps its own references to what it uses (pages replace built-ins), throws
// nothing into their calls and leaves no global name behind. It uses nothing that a content security policy can
// forbid: no eval, no workers, no connections.

const HOOK = Symbol.for('muster.capture');
const say = globalThis[settings.binding];
delete globalThis[settings.binding];
const Native = globalThis.RTCPeerConnection;
if (typeof say !== 'function' || typeof Native !== 'function' || globalThis[HOOK]) return;

const TROUBLES = 50;
const { MediaStream, MediaStreamTrackProcessor, Reflect, performance, document, btoa, setInterval } = globalThis;
const proto = Native.prototype;
const { getTransceivers, getStats } = proto;
const toBase64 = Uint8Array.prototype.toBase64;
const listen = (target, type, handler) => Reflect.apply(EventTarget.prototype.addEventListener, target, [type, handler]);
const transceivers = (pc) => Reflect.apply(getTransceivers, pc, []);
const nowUs = () => (performance.timeOrigin + performance.now()) * 1000;

const tell = (message) => say(JSON.stringify(message));
const told = new Set();
function trouble(text) {
  if (told.size >= TROUBLES || told.has(text)) return;
  told.add(text);
  tell({ kind: 'trouble', text });
}
function guarded(what, work) {
  try {
    return work();
  } catch (error) {
    trouble(`${what}: ${error}`);
  }
}

// Connections that are not closed, each with the bytes of its streams by the id of their statistics.
const connections = new Map();
let closedBytes = 0;
// What is captured.
const tracks = new Set();
// Numbers differ between frames and between documents: each has its own range.
let number = crypto.getRandomValues(new Uint32Array(1))[0] & 0x7ffff000;
