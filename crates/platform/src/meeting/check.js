// Has the browser itself read every selector, expression and script of a pack. Answers what it refused.
((list) => {
  "use strict";
  const wrong = [];
  for (const { key, kind, text } of list) {
    try {
      if (kind === "selector") document.querySelector(text);
      else if (kind === "pattern") new RegExp(text, "iu");
      else new Function(text);
    } catch (error) {
      wrong.push({ key, message: String(error.message ?? error) });
    }
  }
  return wrong;
})(__LIST__)
