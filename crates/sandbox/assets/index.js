// The list of rooms, kept fresh, and the door to a new one.
const REFRESH_MS = 3000;
const get = (id) => document.getElementById(id);

const count = (number, one, many) => `${number} ${number === 1 ? one : many}`;

function line(room) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = `/sandbox/${encodeURIComponent(room.name)}`;
  link.textContent = room.name;
  const about = document.createElement("span");
  about.textContent = room.over
    ? "ended"
    : `${count(room.guests, "guest", "guests")}, ${count(room.participants, "voice", "voices")}`;
  item.append(link, about);
  return item;
}

async function refresh() {
  try {
    const response = await fetch("/sandbox/api/rooms", { cache: "no-store" });
    const { rooms } = await response.json();
    get("rooms").replaceChildren(...rooms.map(line));
    get("none").hidden = rooms.length > 0;
    get("trouble").hidden = true;
  } catch {
    get("none").hidden = true;
    get("trouble").hidden = false;
  }
}

get("open").addEventListener("submit", (event) => {
  event.preventDefault();
  location.href = `/sandbox/${encodeURIComponent(get("room").value)}`;
});

get("example").textContent = `curl -X PUT ${location.origin}/sandbox/api/rooms/standup \\
  -H 'content-type: application/json' -d '{
    "lobby": {"mode": "admit_after", "seconds": 3},
    "participants": [{"id": "ada", "name": "Ada", "speaks": [{"at": 2, "tone_hz": 440, "ms": 1500}]}],
    "timeline": [{"at": 20, "do": "end"}]
  }'`;

refresh();
setInterval(() => document.hidden || refresh(), REFRESH_MS);
