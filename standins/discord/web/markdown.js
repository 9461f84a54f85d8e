// The part of Discord's markdown that bots write, as DOM nodes. What it does not know stays text.
import { element, time } from "./dom.js";
import { inlineOf } from "./inline.js";

const FENCE = /```(?:[\w+-]+\n|\n)?([\s\S]+?)\n?```\n?/g;
const LINE = /^(?:(#{1,3}) +|(-#) +|(>) +|([-*]) +)(.+)$/;

const INLINE = [
  [/\\([^\p{L}\p{N}\s])/uy, ([, char]) => [char]],
  [/(`+)([\s\S]*?[^`])\1(?!`)/y, ([, , code]) => [element("code", {}, code.trim() || code)]],
  [/\*\*([\s\S]+?)\*\*(?!\*)/y, ([, inner], names, depth) => [wrap("strong", inner, names, depth)]],
  [/__([\s\S]+?)__(?!_)/y, ([, inner], names, depth) => [wrap("u", inner, names, depth)]],
  [/~~([\s\S]+?)~~/y, ([, inner], names, depth) => [wrap("s", inner, names, depth)]],
  [
    /\*(?![\s*])([^*]+?)(?<!\s)\*(?!\*)/y,
    ([, inner], names, depth) => [wrap("em", inner, names, depth)],
  ],
  [
    /(?<![\p{L}\p{N}_])_([^_]+?)_(?![\p{L}\p{N}_])/uy,
    ([, inner], names, depth) => [wrap("em", inner, names, depth)],
  ],
  [
    /<t:(-?\d{1,12})(?::([tTdDfFR]))?>/y,
    ([, seconds, style]) => [timestamp(Number(seconds), style)],
  ],
  [/<@!?(\d+)>/y, ([, id], names) => [mention(`@${names.get(id) ?? "unknown"}`)]],
  [
    /<@&(\d+)>/y, // the role of everybody has its @ in its name
    ([, id], names) => [mention(`@${(names.get(id) ?? "unknown").replace(/^@/, "")}`)],
  ],
  [/<#(\d+)>/y, ([, id], names) => [mention(`#${names.get(id) ?? "unknown"}`)]],
  [/<\/([^:>\n]{1,100}):\d+>/y, ([, name]) => [mention(`/${name}`)]],
  [/\[([^[\]\n]+)\]\((https?:\/\/[^\s()<>]+)\)/y, ([, words, href]) => [link(words, href)]],
];

/**
 * Nodes for a message's text.
 *
 * names  Map of ids of people, roles and channels to their names, for mentions
 */
export function markdown(text, names = new Map()) {
  const nodes = [];
  let from = 0;
  for (const fence of text.matchAll(FENCE)) {
    nodes.push(...lines(text.slice(from, fence.index), names));
    nodes.push(element("pre", {}, fence[1]));
    from = fence.index + fence[0].length;
  }
  nodes.push(...lines(text.slice(from), names));
  return nodes;
}

function lines(text, names) {
  const nodes = [];
  let plain = []; // neighbouring lines of running text share one run of inline nodes
  const flush = () => {
    nodes.push(...inline(plain.join("\n"), names, 0));
    plain = [];
  };
  for (const line of text.replace(/\n$/, "").split("\n")) {
    const [, heading, small, quote, item, rest] = LINE.exec(line) ?? [];
    if (rest === undefined) {
      plain.push(line);
      continue;
    }
    flush();
    const children = inline(rest, names, 0);
    if (heading) nodes.push(element("h3", {}, ...children));
    else if (small) nodes.push(element("div", { class: "small" }, ...children));
    else if (quote) nodes.push(element("blockquote", {}, ...children));
    else if (item) nodes.push(element("div", {}, "• ", ...children));
  }
  flush();
  return nodes;
}

const inline = inlineOf("\\`*_~<[", INLINE);

function wrap(name, inner, names, depth) {
  return element(name, {}, ...inline(inner, names, depth));
}

function mention(text) {
  return element("span", { class: "mention" }, text);
}

function link(words, href) {
  if (!URL.canParse(href)) return words; // such as http://[
  return element("a", { href, target: "_blank", rel: "noopener noreferrer" }, words);
}

const STYLES = {
  t: { timeStyle: "short" },
  T: { timeStyle: "medium" },
  d: { dateStyle: "short" },
  D: { dateStyle: "long" },
  f: { dateStyle: "long", timeStyle: "short" },
  F: { dateStyle: "full", timeStyle: "short" },
};
const SPANS = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

function timestamp(seconds, style = "f") {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return `<t:${seconds}>`;
  if (style !== "R")
    return time(date, new Intl.DateTimeFormat("en-GB", STYLES[style]).format(date));
  const node = time(date, relative(seconds));
  ticking.set(node, seconds);
  return node;
}

const RELATIVE = new Intl.RelativeTimeFormat("en-GB", { numeric: "auto" });

function relative(seconds) {
  const away = seconds - Date.now() / 1000;
  const [unit, size] = SPANS.find(([, span]) => Math.abs(away) >= span) ?? ["second", 1];
  return RELATIVE.format(Math.round(away / size), unit);
}

// "in 20 seconds" must not stand there for a minute.
const ticking = new Map();
setInterval(() => {
  for (const [node, seconds] of ticking) {
    if (node.isConnected) node.textContent = relative(seconds);
    else ticking.delete(node);
  }
}, 1000);
