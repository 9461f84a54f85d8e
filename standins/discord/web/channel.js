// The page: one person looking at one channel, kept up to date by a stream of events.
import { Apps } from "./apps.js";
import { Composer } from "./composer.js";
import { Dialogs } from "./dialogs.js";
import { day, element, fillAvatar, icon, nameOf } from "./dom.js";
import { drawn } from "./form.js";
import { Lightbox } from "./lightbox.js";
import { Live, post as sendOff } from "./live.js";
import { MessageView, unansweredRow } from "./message.js";
import { offered } from "./options.js";
import { picturesOf } from "./pictures.js";
import { Question } from "./question.js";
import { openRail, showChats, typingAnywhere } from "./rail.js";
import { Scroller } from "./scroller.js";

const GROUP_MS = 7 * 60_000;

const part = (id) => document.getElementById(id);

let world = null; // what the stream's first event said; null until then
const views = new Map(); // message id -> MessageView
const unanswered = new Map(); // interaction id -> list item
const DISMISSED = "dismissed";
const dismissed = new Set(JSON.parse(sessionStorage.getItem(DISMISSED) ?? "[]")); // ids of messages
const DM = 1; // kinds of channels, as Discord numbers them
const FORUM = 15;
const names = new Map(); // ids of people, roles and channels -> names
const question = new Question();
const apps = new Apps();
const dialogs = new Dialogs({
  submit: (form, values, places, files) =>
    post("submit", { interaction_id: form.interaction_id, values, files: places }, files),
  lost: () => composer.focus(),
});
const lightbox = new Lightbox((id) => (views.get(id)?.node ?? composer).focus());
const scroller = new Scroller(part("scroll"), part("messages"), part("newer"));
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

const live = new Live(
  {
    state: begin,
    bot: showBot,
    places: showPlaces,
    message: (message) => showMessage(message),
    gone: ({ id }) => removeMessage(id),
    sent: showSent,
    dialog: showDialog,
    failed: showFailed,
  },
  () => {
    part("lost").hidden = false;
    showPresence(false, "Reconnecting…");
  },
);

/** What stands before a channel's name; before a person's, nothing. */
const mark = (channel) => (channel.type === DM ? "" : "#");

/** Everything anew: at the start, on another channel or person, and after a lost connection. */
function begin(state) {
  if (world && world.me.id !== state.me.id) dialogs.close();
  world = state;
  part("lost").hidden = true;
  const here = new URLSearchParams({ as: world.me.id, channel: world.channel.id });
  history.replaceState(null, "", `?${here}`);
  showChats(world.chats);
  showPlaces({});
  const before = [...views.keys()];
  views.clear();
  unanswered.clear();
  part("messages").replaceChildren();
  for (const message of world.messages) showMessage(message, { quiet: true });
  for (const id of before) if (!views.has(id)) closeDialogs(id);
  showBot(world);
  showEmptiness();
  scroller.toEnd();
  document.body.dataset.ready = "true";
}

/** Who there is and where: a channel came or went, or somebody has other roles. */
function showPlaces(places) {
  Object.assign(world, places);
  names.clear();
  for (const person of world.people) names.set(person.id, nameOf(person));
  for (const channel of world.channels) names.set(channel.id, channel.name);
  for (const role of world.roles) names.set(role.id, role.name);
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
    if (!(await question.deletes(message.id, nameOf(message.author)))) return "";
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
    apps.open(left, top, async ({ name }) => tell(await send("menu", { message_id: message.id, name }))),
  dismiss: (message) => {
    dismissed.add(message.id);
    sessionStorage.setItem(DISMISSED, JSON.stringify([...dismissed]));
    removeMessage(message.id);
  },
};

function showMessage(message, { quiet = false } = {}) {
  if (dismissed.has(message.id)) return;
  const sticky = scroller.isSticking;
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
  scroller.follow(sticky);
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
  question.forget(id);
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
  const { title, components } = form;
  dialogs.open({ about: form, title, bot: nameOf(world.bot), ...drawn(components, world, names) });
}

function answerTo({ id }) {
  return [...views.values()].some(({ message }) => message.interaction_metadata?.id === id);
}

/** A command that was sent, or that the bot never answered. */
function showUnanswered({ id, name, command_type }, failed) {
  const sticky = scroller.isSticking;
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
  scroller.follow(sticky);
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
  const drawing = channel.type === DM ? "message" : channel.parent_id ? "thread" : "hash";
  if (channel.type === FORUM) {
    const forum = element("div", { class: "forum" });
    forum.append(icon("file"), name);
    return element("li", {}, forum);
  }
  const open = () => {
    openRail(false);
    live.look(world.me.id, channel.id);
  };
  const current = channel.id === world.channel.id ? "page" : null;
  const button = element("button", { type: "button", "aria-current": current, onclick: open });
  button.append(icon(drawing), name);
  return element("li", { class: channel.parent_id ? "within" : "" }, button);
}

part("me").addEventListener("change", () => live.look(part("me").value, world.channel.id));
// ---- sending ----

/** Post something done by this person, with files if any; its { id }, or a { refusal }. */
function post(what, body, files = []) {
  return sendOff(what, { as: world.me.id, channel: world.channel.id, ...body }, files);
}

async function send(what, body, files = []) {
  const { refusal = "" } = await post(what, body, files);
  if (!refusal) scroller.toEnd();
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

const asked = new URLSearchParams(location.search);
live.look(asked.get("as"), asked.get("channel"));
typingAnywhere(composer);
