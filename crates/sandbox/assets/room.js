// One visit to a meeting. The state of the visit is `data-state` of the body; the style sheet shows what belongs to it.
import { Media } from "./media.js";

const get = (id) => document.getElementById(id);
const body = document.body;
const room = decodeURIComponent(location.pathname.split("/")[2] ?? "");

/** An attempt to come back that has no answer after this is given up, for the next one. */
const ATTEMPT_MS = 3000;
const RETRY_MS = 500;
/** Quieter than this is not speech. */
const SPEAKING_LEVEL = 0.01;

const OVER = {
  denied: ["You were not let in", "The host of this meeting denied your request to join."],
  removed: ["You were removed", "The host removed you from this meeting."],
  ended: ["The meeting has ended", "The host ended it for everybody."],
  lost: ["Connection lost", "The meeting could not be reached again in time."],
  left: ["You left the meeting", "You can come back while it lasts."],
  error: ["That did not work", "The meeting cannot be reached."],
};

let socket = null;
let media = null;
let visit = null;

function show(state) {
  body.dataset.state = state;
  if (state === "lobby" || state === "call") body.dataset.place = state;
  const waiting = state === "connecting";
  get("name").disabled = waiting;
  get("join-text").textContent = waiting ? "Joining…" : "Join meeting";
  nameChanged();
}

function over(state, text) {
  const [title, usual] = OVER[state];
  get("over-title").textContent = title;
  get("over-text").textContent = text ?? usual;
  stop();
  show(state);
}

function stop() {
  clearTimeout(visit?.attempt);
  clearTimeout(visit?.retry);
  clearInterval(visit?.timer);
  visit = null;
  media?.end();
  media = null;
  const old = socket;
  socket = null;
  old?.close();
  get("time").textContent = "";
}

function send(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

// --- Coming in, and coming back.

function join(name) {
  stop();
  visit = { name, self: null, token: null, reconnectMs: 0, deadline: 0, mic: false, since: 0 };
  visit.timer = setInterval(everySoOften, 100);
  media = new Media(send, get("audio"), () => { get("sound").hidden = false; });
  get("sound").hidden = true;
  get("roster").replaceChildren();
  get("chat").replaceChildren();
  unread(0);
  showMic(false);
  show("connecting");
  connect();
}

function connect() {
  const url = new URL(`/sandbox/${encodeURIComponent(room)}/ws`, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const attempt = new WebSocket(url);
  const mine = visit;
  socket = attempt;
  clearTimeout(visit.attempt);
  visit.attempt = setTimeout(() => attempt === socket && lost(attempt), visit.token ? ATTEMPT_MS : 4 * ATTEMPT_MS);
  attempt.addEventListener("open", () => {
    const hello = { type: "hello", name: mine.name };
    if (mine.token) hello.resume = mine.token;
    attempt.send(JSON.stringify(hello));
  });
  attempt.addEventListener("message", ({ data }) => attempt === socket && heard(JSON.parse(data)));
  attempt.addEventListener("close", () => lost(attempt));
}

/** The socket is gone, or as good as gone: back to the meeting while there is time. */
function lost(attempt) {
  if (attempt !== socket || !visit) return;
  socket = null;
  attempt.close();
  clearTimeout(visit.attempt);
  if (!visit.token) return over("error");
  if (!visit.deadline) {
    visit.deadline = performance.now() + visit.reconnectMs;
    show("reconnecting");
  }
  if (performance.now() >= visit.deadline) return over("lost");
  visit.retry = setTimeout(connect, Math.min(RETRY_MS, visit.deadline - performance.now()));
}

// --- What the room says.

const handlers = {
  welcome({ selfId, token, reconnectMs }) {
    clearTimeout(visit.attempt);
    Object.assign(visit, { self: selfId, token, reconnectMs, deadline: 0 });
  },
  lobby: () => show("lobby"),
  admitted() {
    if (!visit.since) visit.since = Date.now();
    show("call");
  },
  denied: () => over("denied"),
  removed: () => over("removed"),
  ended: () => over("ended"),
  offer: (message) => media.offer(message),
  roster: ({ participants }) => showRoster(participants),
  chat: showMessage,
  error({ code, message }) {
    if (code === "lost") over("lost");
    else over("error", `The meeting says: ${message}.`);
  },
};

function heard(message) {
  if (visit && Object.hasOwn(handlers, message.type)) handlers[message.type](message);
}

// --- Who is here.

function initials(name) {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : words;
  return letters.map((word) => [...word][0].toUpperCase()).join("") || "?";
}

function paint(avatar, name) {
  let hash = 0;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) % 360;
  avatar.textContent = initials(name);
  avatar.style.setProperty("--hue", hash);
}

const tiles = () => new Map([...get("roster").children].map((tile) => [tile.dataset.participant, tile]));

function showRoster(participants) {
  const old = tiles();
  // Those who stay keep their element: who watches the list sees changes only.
  for (const { id, name, mic } of participants) {
    let tile = old.get(id);
    old.delete(id);
    if (!tile) {
      tile = get("tile").content.firstElementChild.cloneNode(true);
      tile.dataset.participant = id;
      if (id === visit.self) tile.dataset.self = "true";
      tile.querySelector(".name").textContent = name;
      paint(tile.querySelector(".avatar"), name);
      get("roster").append(tile);
    }
    tile.dataset.mic = mic ? "on" : "off";
  }
  for (const tile of old.values()) tile.remove();
  get("roster").dataset.columns = Math.min(4, Math.ceil(Math.sqrt(participants.length)));
}

/** Ten times a second: who speaks, and the clocks. */
async function everySoOften() {
  const now = visit;
  const levels = now.deadline ? new Map() : media.levels();
  if (now.mic) levels.set(now.self, await media.ownLevel());
  if (now !== visit) return;
  for (const [id, tile] of tiles()) {
    const speaking = String(tile.dataset.mic === "on" && (levels.get(id) ?? 0) > SPEAKING_LEVEL);
    if (tile.dataset.speaking !== speaking) tile.dataset.speaking = speaking;
  }
  if (now.since) text("time", duration(Date.now() - now.since));
  text("left-seconds", now.deadline ? `${Math.max(0, Math.ceil((now.deadline - performance.now()) / 1000))} s` : "");
}

/** Writes only what is new: other scripts may watch the page. */
function text(id, value) {
  if (get(id).textContent !== value) get(id).textContent = value;
}

function duration(ms) {
  const seconds = Math.floor(ms / 1000);
  const two = (number) => String(number).padStart(2, "0");
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

// --- Chat.

function showMessage({ id, from, fromName, text, at }) {
  const list = get("chat");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const item = get("message").content.firstElementChild.cloneNode(true);
  Object.assign(item.dataset, { message: id, from, fromName, at });
  item.querySelector(".from").textContent = fromName;
  item.querySelector("time").textContent = new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  item.querySelector(".text").textContent = text;
  list.append(item);
  if (atEnd) list.scrollTop = list.scrollHeight;
  if (body.dataset.chat !== "open") unread(Number(get("unread").textContent) + 1);
}

function unread(count) {
  get("unread").textContent = count;
  get("unread").hidden = count === 0;
}

get("chat-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = get("chat-text");
  if (field.value.trim() && body.dataset.state === "call") {
    send({ type: "chat", text: field.value });
    field.value = "";
  }
});

get("chat-open").addEventListener("click", () => {
  body.dataset.chat = "open";
  unread(0);
  get("chat-text").focus();
});

get("chat-close").addEventListener("click", () => {
  delete body.dataset.chat;
});

// --- Buttons.

function showMic(on) {
  get("mic").setAttribute("aria-pressed", on);
  get("mic-text").textContent = on ? "Mute" : "Unmute";
}

const MIC_TROUBLE = {
  NotAllowedError: "Your browser does not allow the microphone on this page.",
  NotFoundError: "No microphone was found.",
  NotReadableError: "The microphone is used by another program.",
  SecurityError: "Browsers give microphones to pages of https or localhost only.",
};

get("mic").addEventListener("click", async () => {
  const now = visit;
  if (!now) return;
  const on = !now.mic;
  try {
    await media.setMicrophone(on);
  } catch (error) {
    return toast(MIC_TROUBLE[error.name] ?? "The microphone cannot be used.");
  }
  if (now !== visit) return;
  now.mic = on;
  showMic(on);
  send({ type: "mic", on });
});

function leave() {
  send({ type: "leave" });
  over("left");
}

get("leave").addEventListener("click", leave);
get("lobby-leave").addEventListener("click", leave);

get("sound").addEventListener("click", () => {
  get("sound").hidden = true;
  media?.unblock();
});

get("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(location.origin + location.pathname);
    toast("The link is in your clipboard.");
  } catch {
    toast(`The link: ${location.origin}${location.pathname}`);
  }
});

let toastTimer = 0;
function toast(message) {
  clearTimeout(toastTimer);
  get("toast").textContent = message;
  get("toast").hidden = false;
  toastTimer = setTimeout(() => { get("toast").hidden = true; }, 4000);
}

// --- The door.

function nameChanged() {
  const name = get("name").value.trim();
  get("join").disabled = !name || body.dataset.state !== "prejoin";
  paint(get("preview"), name);
}

get("name").addEventListener("input", nameChanged);
get("prejoin-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = get("name").value.trim();
  if (name && body.dataset.state === "prejoin") join(name);
});
get("again").addEventListener("click", () => show("prejoin"));

// Closing the page is leaving; without this, the others would wait for it to come back.
addEventListener("pagehide", () => send({ type: "leave" }));

document.title = `${room} · Muster sandbox`;
get("room-name").textContent = room;
const query = new URLSearchParams(location.search);
get("name").value = (query.get("name") ?? "").slice(0, 100);
show("prejoin");
if (query.get("autojoin") === "1" && get("name").value.trim()) join(get("name").value.trim());
