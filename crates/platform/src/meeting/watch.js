// Watches the page and reports, over a binding, whenever something changed: which evidence rules hold, who is there, new
// messages, whose a stream is. It decides nothing and touches nothing. It needs no network, worker or `eval`, so a
// page's content security policy has no say in it. __DOM__, __CONFIG__ and __OWNERS__ are filled in by the engine.
(() => {
  "use strict";
  if (window !== window.top) return;
  __DOM__
  const config = __CONFIG__;
  const owners = __OWNERS__;
  const binding = window[config.binding];
  if (typeof binding !== "function") return;
  const later = window.setTimeout.bind(window);
  const { stringify } = JSON;
  const TEXT_MAX = 8192;
  const ITEMS_MAX = 2000;
  // A scan takes at most a tenth of the page's time, and is at most ten times a second.
  const SCAN_MS_MIN = 100;
  const SCAN_REST = 10;
  const SLOW_MS = 1000;

  const fieldOf = (element, field) => {
    let at = element;
    if (field.closest) at = at.closest(field.closest);
    if (at && field.selector) at = at.querySelector(field.selector);
    if (!at) return null;
    let value = field.attribute ? at.getAttribute(field.attribute) : dom.textOf(at);
    if (value === null) return null;
    if (field.pattern) value = dom.pattern(field.pattern).exec(value)?.[1] ?? null;
    return value === null ? null : value.slice(0, TEXT_MAX);
  };

  const holds = (rule, whole) => {
    if (rule.url && !dom.pattern(rule.url).test(location.href)) return false;
    if (rule.title && !dom.pattern(rule.title).test(dom.normal(document.title))) return false;
    if (rule.absent && dom.shows(rule.absent)) return false;
    if (!rule.selector) return !rule.text || dom.pattern(rule.text).test(whole());
    return dom.all(rule.selector).some((element) => {
      if (!rule.hidden && !dom.isVisible(element, rule.min_size)) return false;
      if (rule.attribute) {
        const value = element.getAttribute(rule.attribute.name);
        if (value === null || !dom.pattern(rule.attribute.pattern).test(value)) return false;
      }
      return !rule.text || dom.pattern(rule.text).test(dom.textOf(element));
    });
  };

  const readRoster = ({ within, list, id, name, self }) => {
    if (within && !document.querySelector(within)) return null;
    return dom.all(list).slice(0, ITEMS_MAX).flatMap((element) => {
      const key = fieldOf(element, id);
      if (!key) return [];
      return [{ id: key, name: fieldOf(element, name) ?? "", own: Boolean(self && element.matches(self)) }];
    });
  };

  const told = new Set();
  const readChat = ({ list, id, from, name, text }) => dom.all(list).flatMap((element) => {
    const key = fieldOf(element, id);
    if (!key || told.has(key) || told.size >= 100 * ITEMS_MAX) return [];
    told.add(key);
    const read = (field) => fieldOf(element, field) ?? "";
    return [{ id: key, from: read(from), name: read(name), text: read(text) }];
  });

  const readOwners = () => {
    const found = {};
    if (config.tracks.by === "element") {
      for (const element of dom.all(config.tracks.selector)) {
        const stream = element.srcObject;
        const owner = stream && fieldOf(element, config.tracks.id);
        if (!owner) continue;
        found[stream.id] = owner;
        for (const track of stream.getTracks()) found[track.id] = owner;
      }
    } else if (owners) {
      for (const [id, owner] of Object.entries(owners() ?? {})) {
        if (typeof owner === "string") found[id] = owner;
      }
    }
    return found;
  };

  let last = null;
  const scan = () => {
    let text = null;
    const whole = () => (text ??= document.body ? dom.textOf(document.body) : "");
    const seen = { holds: [], roster: null, owners: {}, trouble: null };
    let chat = [];
    try {
      config.evidence.forEach((rule, index) => {
        if (holds(rule, whole)) seen.holds.push(index);
      });
      if (config.roster) seen.roster = readRoster(config.roster);
      if (config.chat) chat = readChat(config.chat);
      seen.owners = readOwners();
    } catch (error) {
      seen.trouble = String(error).slice(0, TEXT_MAX);
    }
    const now = stringify(seen);
    if (now === last && chat.length === 0) return;
    last = now;
    binding(stringify({ ...seen, chat }));
  };

  let due = false;
  let rest = SCAN_MS_MIN;
  const soon = () => {
    if (due) return;
    due = true;
    later(() => {
      due = false;
      const began = performance.now();
      scan();
      rest = Math.max(SCAN_MS_MIN, SCAN_REST * (performance.now() - began));
    }, rest);
  };
  new MutationObserver(soon).observe(document, {
    attributes: true, characterData: true, childList: true, subtree: true,
  });
  // Not everything that matters changes the tree: style sheets, the address, what an element plays.
  for (const event of ["DOMContentLoaded", "load", "loadedmetadata", "emptied", "transitionend"]) {
    document.addEventListener(event, soon, true);
  }
  window.setInterval(soon, SLOW_MS);
  soon();
})();
