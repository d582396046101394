// What the watcher and the steps have in common: what counts as visible, and what counts as text.
const dom = (() => {
  const patterns = new Map();
  const pattern = (source) => {
    if (!patterns.has(source)) patterns.set(source, new RegExp(source, "iu"));
    return patterns.get(source);
  };
  const normal = (text) => text.replace(/[\u2018\u2019]/g, "'").replace(/\s+/g, " ").trim();
  const textOf = (element) => normal(element.innerText ?? element.textContent ?? "");
  const isVisible = (element, size) => {
    // The body of a page with nothing in it yet has no height, and yet it is there.
    if (element === document.body && !size) return true;
    const box = element.getBoundingClientRect();
    const [width, height] = size ?? [1, 1];
    return box.width >= width && box.height >= height
      && element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  };
  const all = (selector) => Array.from(document.querySelectorAll(selector));
  const shows = (selector) => all(selector).some((element) => isVisible(element));
  return { pattern, normal, textOf, isVisible, all, shows };
})();
