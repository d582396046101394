// A small meeting product: it does what the test commands and tells the test what was done to it.
"use strict";
const at = (id) => document.getElementById(id);
const say = (what) => fetch(`/did/${encodeURIComponent(what)}`, { method: "POST" });

const show = (state) => {
  document.body.dataset.state = state;
  for (const section of document.querySelectorAll("section")) section.hidden = section.id !== state;
};

const item = (text, data) => {
  const li = document.createElement("li");
  const span = document.createElement("span");
  span.textContent = text;
  li.append(span);
  Object.assign(li.dataset, data);
  return li;
};

const apply = ({ state, roster, touch, chat, cover, dodge, go }) => {
  if (state) show(state);
  if (roster) at("roster").replaceChildren(...roster.map(({ id, name, own }) => item(name, { id, own })));
  if (touch) for (const li of at("roster").children) li.dataset.level = touch;
  if (chat) at("chat").append(item(chat.text, { id: chat.id, from: chat.from, name: chat.name }));
  if (cover) at("cover").hidden = false;
  if (dodge) {
    document.body.dataset.dodges = "";
    addEventListener("mousemove", () => { at("join").style.marginTop = "200px"; }, { once: true });
  }
  if (!go) return;
  location.assign(go);
  // Further commands are for the next document.
  return new Promise(() => {});
};

at("name").addEventListener("input", () => { at("join").disabled = at("name").value === ""; });
at("join").addEventListener("click", ({ isTrusted }) => {
  say(`${at("name").value} joins ${isTrusted ? "by hand" : "by script"}`);
  show("connecting");
});
at("name").addEventListener("keydown", ({ key }) => say(`key ${key}`));
at("leave").addEventListener("click", () => {
  say("leaves");
  show("left");
});

(async () => {
  for (let n = Number(sessionStorage.next ?? 0); ; n++) {
    sessionStorage.next = n + 1;
    await apply(await (await fetch(`/command/${n}`)).json());
  }
})();
