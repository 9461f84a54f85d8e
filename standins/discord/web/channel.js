// The page: one person looking at one channel, kept up to date by a stream of events.
import { Apps } from "./apps.js";
import { Composer } from "./composer.js";
import { Deletion } from "./deletion.js";
import { Dialogs } from "./dialogs.js";
import { day, element, fillAvatar, icon, nameOf } from "./dom.js";
import { Lightbox } from "./lightbox.js";
import { MessageView, unansweredRow } from "./message.js";
import { offered } from "./options.js";
import { picturesOf } from "./pictures.js";

const RETRY_MS = 500;
const NEAR_END_PX = 80;
const GROUP_MS = 7 * 60_000;

const part = (id) => document.getElementById(id);

let world = null; // what the stream's first event said; null until then
let stream = null;
let retry = 0;
const views = new Map(); // message id -> MessageView
const unanswered = new Map(); // interaction id -> list item
const DISMISSED = "dismissed";
const dismissed = new Set(JSON.parse(sessionStorage.getItem(DISMISSED) ?? "[]")); // ids of messages
const DM = 1; // kinds of channels, as Discord numbers them
const FORUM = 15;
const names = new Map(); // ids of people and channels -> names
const deletion = new Deletion();
const apps = new Apps();
const dialogs = new Dialogs({ submit: (body, files) => post("submit", body, files), lost: () => composer.focus() });
const lightbox = new Lightbox((id) => (views.get(id)?.node ?? composer).focus());
const composer = new Composer({
  use: (name, options, files) => {
    const places = Object.keys(files).map((option, place) => [option, [place]]);
    const body = { name, options, files: Object.fromEntries(places) };
    return send("slash", body, Object.values(files));
  },
  complete: (name, options, focused) => post("complete", { name, options, focused }),
  say: (content) => send("say", { content }),
});

// ---- the stream ----

/** Look at a channel as a person; both fall back to the world's first. */
function look(as, channel) {
  clearTimeout(retry);
  stream?.close();
  const wanted = new URLSearchParams(Object.entries({ as, channel }).filter(([, id]) => id));
  stream = new EventSource(`/page/api/events?${wanted}`);
  stream.addEventListener("state", ({ data }) => begin(JSON.parse(data)));
  stream.addEventListener("bot", ({ data }) => showBot(JSON.parse(data)));
  stream.addEventListener("places", ({ data }) => showPlaces(JSON.parse(data)));
  stream.addEventListener("message", ({ data }) => showMessage(JSON.parse(data)));
  stream.addEventListener("gone", ({ data }) => removeMessage(JSON.parse(data).id));
  stream.addEventListener("sent", ({ data }) => showSent(JSON.parse(data)));
  stream.addEventListener("dialog", ({ data }) => showDialog(JSON.parse(data)));
  stream.addEventListener("failed", ({ data }) => showFailed(JSON.parse(data)));
  stream.addEventListener("error", () => {
    part("lost").hidden = false;
    showPresence(false, "Reconnecting…");
    // The browser tries again by itself unless it has given the stream up.
    if (stream.readyState !== EventSource.CLOSED) return;
    clearTimeout(retry);
    retry = setTimeout(() => (world ? look(world.me.id, world.channel.id) : look()), RETRY_MS);
  });
}

/** What stands before a channel's name; before a person's, nothing. */
const mark = (channel) => (channel.type === DM ? "" : "#");

/** Everything anew: at the start, on another channel or person, and after a lost connection. */
function begin(state) {
  if (world && world.me.id !== state.me.id) dialogs.close();
  world = state;
  part("lost").hidden = true;
  const here = new URLSearchParams({ as: world.me.id, channel: world.channel.id });
  history.replaceState(null, "", `?${here}`);
  showPlaces({});
  const before = [...views.keys()];
  views.clear();
  unanswered.clear();
  part("messages").replaceChildren();
  for (const message of world.messages) showMessage(message, { quiet: true });
  for (const id of before) if (!views.has(id)) closeDialogs(id);
  showBot(world);
  showEmptiness();
  toEnd();
  document.body.dataset.ready = "true";
}

/** Who there is and where: a channel came or went, or somebody has other roles. */
function showPlaces(places) {
  Object.assign(world, places);
  names.clear();
  for (const person of world.people) names.set(person.id, nameOf(person));
  for (const channel of world.channels) names.set(channel.id, channel.name);
  const title = `${mark(world.channel)}${world.channel.name}`;
  document.title = `${title} · ${world.guild.name}`;
  showRail();
  part("channel-name").textContent = world.channel.name;
  part("welcome-channel").textContent = title;
  part("topic").textContent = world.channel.topic ?? "";
  for (const view of views.values()) view.equip();
}

function showBot({ online, commands }) {
  Object.assign(world, { online, commands });
  showPresence(online, `${nameOf(world.bot)} is ${online ? "online" : "offline"}`);
  composer.offer(offered(commands, world), `${mark(world.channel)}${world.channel.name}`);
  apps.offer(commands.filter(({ type }) => type === ON_MESSAGES));
  for (const view of views.values()) view.equip();
  showEmptiness();
}

function showPresence(online, text) {
  part("bot-status").dataset.online = String(online);
  part("bot-status").lastElementChild.textContent = text;
}

// ---- messages ----

const actions = {
  names,
  pings: ({ mentions, mention_everyone, mention_roles }) =>
    mention_everyone ||
    mentions.some(({ id }) => id === world.me.id) ||
    mention_roles.some((id) => world.me.roles.includes(id)),
  // What one person alone sees is dismissed instead.
  mayDelete: ({ author, flags }) =>
    !(flags & EPHEMERAL) && (world.me.moderates || author.id === world.me.id),
  remove: async (message) => {
    if (!(await deletion.confirmed(message))) return "";
    const { refusal = "" } = await post("delete", { message_id: message.id });
    return refusal;
  },
  enlarge: (message, pictures, index) => lightbox.open(message.id, pictures, index),
  show: (id) => {
    const node = views.get(id)?.node;
    node?.scrollIntoView({ block: "center" });
    node?.focus();
    return Boolean(node);
  },
  press: async (message, customId, values = []) => {
    const body = { message_id: message.id, custom_id: customId, values };
    const { refusal = "" } = await post("press", body);
    return refusal;
  },
  world: () => world,
  hasApps: ({ flags }) => !apps.isEmpty && !(flags & EPHEMERAL),
  openApps: (message, left, top, tell) =>
    apps.open(left, top, async (name) => tell(await send("menu", { message_id: message.id, name }))),
  dismiss: (message) => {
    dismissed.add(message.id);
    sessionStorage.setItem(DISMISSED, JSON.stringify([...dismissed]));
    removeMessage(message.id);
  },
};

function showMessage(message, { quiet = false } = {}) {
  if (dismissed.has(message.id)) return;
  const sticky = sticking;
  const known = views.get(message.id);
  const view = known ?? new MessageView(actions);
  const before = known ? picturesOf(known.message).length : 0;
  view.update(message);
  lightbox.follow(message.id, view.pictures);
  if (!known) {
    views.set(message.id, view);
    const sent = unanswered.get(message.interaction_metadata?.id);
    unanswered.delete(message.interaction_metadata?.id);
    if (sent) sent.replaceWith(view.node);
    else append(view.node, new Date(message.timestamp));
    group();
  }
  showEmptiness();
  if (quiet) return;
  follow(sticky);
  const author = nameOf(message.author);
  const images = picturesOf(message).length;
  const text = view.body.querySelector(".content, .thinking")?.textContent;
  if (images > before) announce(`${author} posted ${images} ${images === 1 ? "image" : "images"}.`);
  else if (!known) {
    announce(`${author}${actions.pings(message) ? " mentions you" : ""}: ${text ?? "a message"}`);
  }
}

function append(node, date) {
  const list = part("messages");
  const heading = day(date);
  if (list.dataset.day !== heading || !list.childElementCount) {
    list.append(element("li", { class: "day", role: "separator", "aria-label": heading }, heading));
    list.dataset.day = heading;
  }
  list.append(node);
}

/** A person's next message within a few minutes goes on without a new head. */
function group() {
  let before = null;
  for (const node of part("messages").children) {
    const message = views.get(node.dataset.id)?.message;
    const plain = message && !message.interaction_metadata && !message.referenced_message;
    const goesOn =
      plain &&
      before?.author.id === message.author.id &&
      new Date(message.timestamp) - new Date(before.timestamp) < GROUP_MS;
    node.classList.toggle("goes-on", Boolean(goesOn));
    before = plain ? message : null;
  }
}

function removeMessage(id) {
  const view = views.get(id);
  if (!view) return;
  if (view.node.contains(document.activeElement)) composer.focus();
  view.node.remove();
  views.delete(id);
  closeDialogs(id);
  group();
  showEmptiness();
}

/** Close what is open over the page because of a message that is gone. */
function closeDialogs(id) {
  lightbox.follow(id, []);
  deletion.forget(id);
}

const EPHEMERAL = 1 << 6; // a message's flag
const COMMAND = 2; // an interaction's type; others are a press and a submitted dialog
const PRESS = 3;
const ON_MESSAGES = 3; // a command's type

function showSent(interaction) {
  if (interaction.type === COMMAND && !answerTo(interaction)) showUnanswered(interaction, false);
}

function showFailed(interaction) {
  if (interaction.type === COMMAND) showUnanswered(interaction, true);
  else if (interaction.type === PRESS) views.get(interaction.message_id)?.fail();
}

function showDialog(form) {
  unanswered.get(form.interaction_id)?.remove();
  unanswered.delete(form.interaction_id);
  showEmptiness();
  dialogs.open(form, world.bot, world, names);
}

function answerTo({ id }) {
  return [...views.values()].some(({ message }) => message.interaction_metadata?.id === id);
}

/** A command that was sent, or that the bot never answered. */
function showUnanswered({ id, name, command_type }, failed) {
  const sticky = sticking;
  const used = { user: world.me, name, command_type };
  const row = unansweredRow(used, world.bot, failed, () => {
    row.remove();
    unanswered.delete(id);
    composer.focus();
    showEmptiness();
  });
  const known = unanswered.get(id);
  if (known) known.replaceWith(row);
  else append(row, new Date());
  unanswered.set(id, row);
  showEmptiness();
  follow(sticky);
}

function showEmptiness() {
  const empty = views.size === 0 && unanswered.size === 0;
  if (empty) part("messages").replaceChildren(); // a day alone says nothing
  part("examples").hidden = !(empty && exampleCommand());
  part("welcome-text").replaceChildren(
    ...(world.commands.length || world.online
      ? ["Type ", element("kbd", {}, "/"), " to see what the bot can do."]
      : ["The bot is not here yet. Its commands appear as soon as it is."]),
  );
}

function announce(text) {
  part("announce").textContent = text;
}

// ---- scrolling: the end stays in sight unless somebody reads further up ----

const scroll = part("scroll");
let sticking = true;

function toEnd() {
  scroll.scrollTop = scroll.scrollHeight;
  sticking = true;
  part("newer").hidden = true;
}

function follow(sticky) {
  if (sticky) toEnd();
  else part("newer").hidden = false;
}

scroll.addEventListener("scroll", () => {
  sticking = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < NEAR_END_PX;
  if (sticking) part("newer").hidden = true;
});
const resized = new ResizeObserver(() => sticking && toEnd());
resized.observe(scroll);
resized.observe(part("messages"));
part("newer").addEventListener("click", toEnd);

// ---- the rail ----

function showRail() {
  fillAvatar(part("server-avatar"), world.guild.name);
  part("server-name").textContent = world.guild.name;
  part("channels").replaceChildren(...world.channels.map(railEntry));
  const people = world.people.filter((person) => !person.bot);
  part("me").replaceChildren(
    ...people.map((person) => {
      const duty = person.duty && ` (${person.duty})`;
      return element("option", { value: person.id }, `${nameOf(person)}${duty}`);
    }),
  );
  part("me-duty").textContent = world.me.duty ? `You are the ${world.me.duty}` : "You are";
  part("me").value = world.me.id;
  part("me-name").textContent = nameOf(world.me);
  fillAvatar(part("me-avatar"), nameOf(world.me));
}

/** A channel, a thread in one, a forum that is no place itself, or somebody's direct messages. */
function railEntry(channel) {
  const name = element("span", {}, channel.name);
  const look_ = channel.type === DM ? "message" : channel.parent_id ? "thread" : "hash";
  if (channel.type === FORUM) {
    const forum = element("div", { class: "forum" });
    forum.append(icon("file"), name);
    return element("li", {}, forum);
  }
  const open = () => {
    openRail(false);
    look(world.me.id, channel.id);
  };
  const current = channel.id === world.channel.id ? "page" : null;
  const button = element("button", { type: "button", "aria-current": current, onclick: open });
  button.append(icon(look_), name);
  return element("li", { class: channel.parent_id ? "within" : "" }, button);
}

function openRail(open) {
  part("rail").classList.toggle("shown", open);
  part("show-rail").setAttribute("aria-expanded", String(open));
  if (open) part("channels").querySelector("[aria-current]")?.focus();
}

part("me").addEventListener("change", () => look(part("me").value, world.channel.id));
part("show-rail").addEventListener("click", () => openRail(true));
part("scrim").addEventListener("click", () => openRail(false));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !part("rail").classList.contains("shown")) return;
  openRail(false);
  part("show-rail").focus();
});

// ---- sending ----

/** Post something done by this person, with files if any; its { id }, or a { refusal }. */
async function post(what, body, files = []) {
  const request = JSON.stringify({ as: world.me.id, channel: world.channel.id, ...body });
  const form = new FormData();
  form.append("payload_json", request);
  for (const [place, file] of files.entries()) form.append(`files[${place}]`, file);
  const sent = files.length
    ? { body: form }
    : { body: request, headers: { "Content-Type": "application/json" } };
  try {
    const response = await fetch(`/page/api/${what}`, { method: "POST", ...sent });
    return await response.json();
  } catch {
    return { refusal: "The playground did not answer. Try again once the connection is back." };
  }
}

async function send(what, body, files = []) {
  const { refusal = "" } = await post(what, body, files);
  if (!refusal) toEnd();
  return refusal;
}

/** The command behind the example prompts: the one whose first required option is a prompt. */
function exampleCommand() {
  return offered(world.commands, world).find(
    ({ options }) => options.find(({ required }) => required)?.name === "prompt",
  );
}

for (const example of part("examples").querySelectorAll("button")) {
  example.addEventListener("click", () =>
    composer.start(exampleCommand(), { prompt: example.textContent }),
  );
}

// Whoever types while nothing has the focus means the composer.
document.addEventListener("keydown", (event) => {
  const idle = document.activeElement === document.body || document.activeElement === scroll;
  const character =
    event.key.length === 1 &&
    event.key !== " " &&
    !event.ctrlKey &&
    !event.metaKey &&
    !event.altKey;
  if (idle && character && !document.querySelector("dialog[open]")) composer.focus();
});

const asked = new URLSearchParams(location.search);
look(asked.get("as"), asked.get("channel"));
// Ready to type and to paste; but on a phone the focus would bring up the keyboard unasked.
if (matchMedia("(hover: hover)").matches) composer.focus();
