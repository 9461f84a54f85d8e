// Elements are built here and only here: texts become text nodes, never markup.

/** An element with properties (`class`, `dataset`, `on…`, attributes) and children (nodes, strings). */
export function element(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "dataset") Object.assign(node.dataset, value);
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** One of the icons drawn in icons.svg. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `/page/icons.svg#icon-${name}`);
  svg.append(use);
  return svg;
}

export function dots() {
  const shown = element("span", { class: "dots", "aria-hidden": "true" });
  shown.append(element("i"), element("i"), element("i"));
  return shown;
}

/** Turn an element into the disc of a name: its initials on a colour of its own. */
export function fillAvatar(node, name) {
  const words = name.trim().split(/\s+/u);
  const initials = words
    .slice(0, 2)
    .map((word) => [...word][0] ?? "")
    .join("");
  let hash = 2166136261; // FNV-1a: neighbouring names get distant colours
  for (const char of name) hash = Math.imul(hash ^ char.codePointAt(0), 16777619);
  node.textContent = initials.toUpperCase();
  node.style.setProperty("--hue", (hash >>> 8) % 360);
  return node;
}

export function avatar(name) {
  return fillAvatar(element("span", { class: "avatar", "aria-hidden": "true" }), name);
}

/** The address on this page's own origin, under whichever of its names the page was opened. */
export function path(url) {
  const { pathname, search } = new URL(url, location.href);
  return pathname + search;
}

export function nameOf(user) {
  return user.global_name || user.username;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "short" });
const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "long" });
const FULL = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "short" });

export function day(date) {
  return date.toDateString() === new Date().toDateString() ? "Today" : DAY.format(date);
}

/** A <time> that says the hour, or what `text` says, and the whole date when pointed at. */
export function time(date, text = CLOCK.format(date)) {
  return element("time", { datetime: date.toISOString(), title: FULL.format(date) }, text);
}

/** A sentence about what went wrong. */
export function problem(sentence) {
  return element("p", { class: "failed", role: "alert" }, icon("warn"), sentence);
}
