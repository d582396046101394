// Finds the element of a step, waits for it for a while, and prepares it. Answers what there is to do:
// {is: "skip"}, {is: "done"}, {is: "missing", why}, {is: "at", x, y}, {is: "clicked"}, {is: "value", value}.
((spec) => {
  "use strict";
  __DOM__
  const find = () => {
    const matches = dom.all(spec.selector);
    if (matches.length === 0) return { why: `nothing matches \`${spec.selector}\`` };
    const visible = matches.filter((element) => dom.isVisible(element));
    if (visible.length === 0) return { why: `\`${spec.selector}\` is on the page but not visible` };
    const right = spec.with_text
      ? visible.filter((element) => dom.pattern(spec.with_text).test(dom.textOf(element)))
      : visible;
    if (right.length === 0) return { why: `no match of \`${spec.selector}\` has a text like \`${spec.with_text}\`` };
    const isOff = (element) => element.matches(":disabled") || element.getAttribute("aria-disabled") === "true";
    const element = spec.act === "wait" || spec.act === "read" ? right[0] : right.find((one) => !isOff(one));
    return element ? { element } : { why: `\`${spec.selector}\` is disabled` };
  };
  const prepare = (element) => {
    if (spec.act === "wait") return { is: "done" };
    if (spec.act === "read") return { is: "value", value: element.value ?? element.innerText ?? "" };
    element.scrollIntoView({ behavior: "instant", block: "center", inline: "center" });
    if (spec.act === "fill") {
      element.focus();
      if (typeof element.select === "function") element.select();
      else getSelection()?.selectAllChildren(element);
      return { is: "at", x: 0, y: 0 };
    }
    const box = element.getBoundingClientRect();
    const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
    const hit = document.elementFromPoint(x, y);
    if (hit && (hit === element || element.contains(hit))) {
      // The page may move between this look and the click: whether it landed is asked afterwards.
      const mark = { landed: false };
      window[Symbol.for("muster.click")] = mark;
      const note = (event) => { mark.landed = event.composedPath().includes(element); };
      window.addEventListener("pointerdown", note, { capture: true, once: true });
      return { is: "at", x, y };
    }
    // Something lies over it: the element itself is told.
    element.click();
    return { is: "clicked" };
  };
  const look = () => {
    if (spec.skip_if && dom.shows(spec.skip_if)) return { is: "skip" };
    if (spec.until && dom.shows(spec.until)) return { is: "done" };
    if (!spec.selector) return { is: "missing", why: spec.until ? `nothing visible matches \`${spec.until}\`` : "" };
    const { element, why } = find();
    return element ? prepare(element) : { is: "missing", why };
  };
  return new Promise((resolve, reject) => {
    const deadline = performance.now() + spec.wait_ms;
    const again = () => {
      let found;
      try {
        found = look();
      } catch (error) {
        reject(error);
        return;
      }
      const isLast = performance.now() >= deadline;
      if (found.is !== "missing" || isLast) resolve(found);
      else setTimeout(again, Math.min(50, Math.max(1, deadline - performance.now())));
    };
    again();
  });
})(__SPEC__)
