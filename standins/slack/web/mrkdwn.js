// Slack's mrkdwn as DOM nodes. What it does not know stays text.
import { element, time } from "./dom.js";
import { inlineOf } from "./inline.js";

const FENCE = /```\n?([\s\S]+?)\n?```\n?/g;
const SIGNS = { "&amp;": "&", "&lt;": "<", "&gt;": ">" };
const SPECIAL = { here: "@here", channel: "@channel", everyone: "@everyone" };

/** A mark counts where a word begins and ends. */
const marked = (mark, name) => [
  new RegExp(`(?<![\\p{L}\\p{N}])[${mark}](?!\\s)([^${mark}\\n]+?)(?<!\\s)[${mark}](?![\\p{L}\\p{N}])`, "uy"),
  ([, inner], names, depth) => [element(name, {}, ...inline(inner, names, depth))],
];

const inline = inlineOf("&<`*_~", [
  [/&(amp|lt|gt);/y, ([sign]) => [SIGNS[sign]]],
  [/`([^`\n]+)`/y, ([, code]) => [element("code", {}, plain(code))]],
  [/<@([A-Z0-9]+)(?:\|[^>]*)?>/y, ([, id], names) => [mention(`@${names.get(id) ?? "unknown"}`)]],
  [/<#([A-Z0-9]+)(?:\|([^>]*))?>/y, ([, id, said], names) => [mention(`#${names.get(id) ?? said ?? "unknown"}`)]],
  [/<!subteam\^([A-Z0-9]+)(?:\|[^>]*)?>/y, ([, id], names) => [mention(`@${names.get(id) ?? "group"}`)]],
  [/<!date\^(\d{1,12})\^([^|>^]*)(?:\^[^|>]*)?\|([^>]*)>/y, ([, at, format, said]) => [date(Number(at), format, plain(said))]],
  [/<!(here|channel|everyone)(?:\|[^>]*)?>/y, ([, name]) => [mention(SPECIAL[name])]],
  [/<((?:https?:\/\/|mailto:)[^|>\s]+)(?:\|([^>]*))?>/y, ([, href, said]) => [link(plain(href), plain(said ?? href))]],
  marked("*", "strong"),
  marked("_", "em"),
  marked("~", "s"),
]);

/**
 * Nodes for a text.
 *
 * names  Map of the ids of people, channels and groups to their names
 */
export function mrkdwn(text, names = new Map()) {
  const nodes = [];
  let from = 0;
  for (const fence of text.matchAll(FENCE)) {
    nodes.push(...lines(text.slice(from, fence.index), names));
    nodes.push(element("pre", {}, plain(fence[1])));
    from = fence.index + fence[0].length;
  }
  return [...nodes, ...lines(text.slice(from), names)];
}

/** A text without markup, its signs as they are read. */
export function plain(text) {
  return text.replace(/&(amp|lt|gt);/g, (sign) => SIGNS[sign]);
}

function lines(text, names) {
  const nodes = [];
  let running = []; // neighbouring lines of running text share one run of inline nodes
  const flush = () => {
    if (running.length) nodes.push(...inline(running.join("\n"), names));
    running = [];
  };
  for (const line of text.replace(/\n$/, "").split("\n")) {
    const quoted = /^&gt; ?(.*)$/.exec(line);
    if (!quoted) {
      running.push(line);
      continue;
    }
    flush();
    nodes.push(element("blockquote", {}, ...inline(quoted[1], names)));
  }
  flush();
  return nodes;
}

export function mention(text) {
  return element("span", { class: "mention" }, text);
}

export function link(href, words) {
  if (!URL.canParse(href) || !/^(https?|mailto):/.test(href)) return words;
  return element("a", { href, target: "_blank", rel: "noopener noreferrer" }, words);
}

const TOKENS = {
  date_num: { dateStyle: "short" },
  date: { dateStyle: "long" },
  date_short: { dateStyle: "medium" },
  date_long: { dateStyle: "full" },
  date_pretty: { dateStyle: "long" },
  date_short_pretty: { dateStyle: "medium" },
  date_long_pretty: { dateStyle: "full" },
  time: { timeStyle: "short" },
  time_secs: { timeStyle: "medium" },
};

/** A time as whoever reads it has it; what cannot be shown is said as the bot says it. */
function date(seconds, format, said) {
  const at = new Date(seconds * 1000);
  if (Number.isNaN(at.getTime())) return said;
  const isToday = at.toDateString() === new Date().toDateString();
  const text = format.replace(/\{(\w+)\}/g, (token, name) => {
    if (name.endsWith("_pretty") && isToday) return "today";
    return TOKENS[name] ? new Intl.DateTimeFormat("en-GB", TOKENS[name]).format(at) : token;
  });
  return time(at, text);
}
