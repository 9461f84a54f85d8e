// The page: one person looking at one channel of a workspace, kept up to date by a stream of events.
import { Apps } from "./apps.js";
import { Blocks, problems } from "./blocks.js";
import { Composer } from "./composer.js";
import { Dialogs } from "./dialogs.js";
import { element, fillAvatar, icon } from "./dom.js";
import { drawn, filledIn } from "./form.js";
import { Lightbox } from "./lightbox.js";
import { MessageList } from "./list.js";
import { Live, post as sendOff } from "./live.js";
import { dutyOf, markOf, personOption } from "./menus.js";
import { Question } from "./question.js";
import { openRail, showChats, typingAnywhere } from "./rail.js";

const part = (id) => document.getElementById(id);

let world = null; // what the stream said last; null until then
let thread = null; // the time of the message whose thread is open
let messages = new Map(); // all of the channel and its threads, by their times
let filled = {}; // in the dialog that is open, as it was submitted last
const names = new Map(); // ids of people, groups and channels -> names

const question = new Question();
const apps = new Apps();
const lightbox = new Lightbox(() => composer.focus());
const dialogs = new Dialogs({
  submit: (view, values, places, files) => {
    filled = values;
    const body = { view: view.id, values: filledIn(view, values), files: places };
    return post("submit", body, files);
  },
  left: (view) => post("dismiss", { view: view.id }),
  lost: () => composer.focus(),
});

const actions = {
  names,
  around: () => world,
  isBot: (id) => id === world.bot.id,
  pings: ({ text = "", user }) => user !== world.me.id && text.includes(`<@${world.me.id}>`),
  press: (message, id, value) => refusalOf("press", { ts: message.ts, action_id: id, value }),
  ask: (message, asked) => question.confirmed(message.ts, asked),
  enlarge: (message, pictures, index) => lightbox.open(message.ts, pictures, index),
  openThread: ({ ts, thread_ts: parent }) => openThread(parent ?? ts),
  hasShortcuts: (message) => !apps.isEmpty && !message.is_ephemeral,
  openShortcuts: (message, left, top, tell) =>
    apps.open(left, top, async ({ callback_id: id }) =>
      tell(await refusalOf("shortcut", { callback_id: id, ts: message.ts })),
    ),
  // What one person alone sees is dismissed instead.
  mayDelete: ({ user, is_ephemeral: alone }) => !alone && (world.me.is_admin || user === world.me.id),
  remove: async ({ ts, user }) =>
    (await question.deletes(ts, names.get(user))) ? refusalOf("delete", { ts }) : "",
  dismiss: ({ ts }) => refusalOf("delete", { ts }),
};
const list = new MessageList(part("messages"), part("scroll"), part("newer"), actions);
const replies = new MessageList(part("replies"), part("thread-scroll"), part("thread-newer"), actions, {
  inThread: true,
});
const composer = new Composer(part("composer"), "text", "Message", {
  use: (text) => send("slash", { text }),
  say: (text, files) => send("say", { text }, files),
  shortcuts: (left, top, tell) => {
    const offered = world.shortcuts.filter(({ type }) => type === "global");
    if (!offered.length) return tell("The app has no shortcuts yet.");
    const use = async ({ callback_id: id }) => tell(await refusalOf("shortcut", { callback_id: id }));
    apps.open(left, top, use, offered);
  },
});
const inThread = new Composer(part("thread-composer"), "reply", "Reply", {
  say: (text, files) => send("say", { text, thread_ts: thread }, files),
});
const home = new Blocks({
  names,
  around: () => world,
  press: (id, value) => refusalOf("press", { view: world.home.id, action_id: id, value }),
  tell: (sentence) => part("home").lastElementChild.replaceChildren(...problems(sentence)),
  enlarge: (id) => {
    const pictures = Object.values(world.home.pictures);
    lightbox.open("home", pictures, pictures.findIndex((file) => file.id === id));
  },
  ask: (asked) => question.confirmed("home", asked),
});

// ---- the stream ----

const live = new Live(
  { state: begin, around: showAround, message: showMessage, gone: remove, view: showView, home: showHome },
  () => {
    part("lost").hidden = false;
    showPresence(false, "Reconnecting…");
  },
);

/** Everything anew: at the start, on another channel or person, and after a lost connection. */
function begin(state) {
  const isSame = world?.me.id === state.me.id && world.channel.id === state.channel.id;
  if (world && world.me.id !== state.me.id) dialogs.close();
  world = state;
  part("lost").hidden = true;
  const here = new URLSearchParams({ as: world.me.id, channel: world.channel.id });
  history.replaceState(null, "", `?${here}`);
  showChats(world.chats);
  messages = new Map(world.messages.map((message) => [message.ts, message]));
  showAround({});
  list.fill([...messages.values()].filter(isInChannel));
  if (!isSame) showTab("messages");
  if (isSame && messages.has(thread)) openThread(thread, { quiet: true });
  else closeThread();
  showView(state.view);
  showHome(state.home);
  showEmptiness();
  document.body.dataset.ready = "true";
}

/** Who there is and where, and what the app offers. */
function showAround(around) {
  Object.assign(world, around);
  names.clear();
  for (const { id, real_name: name } of world.people) names.set(id, name);
  for (const { id, handle } of world.groups) names.set(id, handle);
  for (const { id, name } of world.channels) names.set(id, name);
  const { channel, people } = world;
  const title = titleOf(channel);
  document.title = `${title} · ${world.team.name}`;
  part("channel-name").textContent = channel.name;
  part("channel-icon").setAttribute("href", `/page/icons.svg#icon-${markOf(channel)}`);
  part("welcome-channel").textContent = title;
  part("topic").textContent = topicOf(channel);
  part("thread-place").textContent = title;
  showRail();
  const { real_name: name } = world.bot;
  showPresence(world.online, `${name} is ${world.online ? "online" : "offline"}`);
  const closed = channel.is_archived ? "This channel is archived: nothing can be written here." : "";
  composer.offer({ commands: world.commands, people, closed, placeholder: `Message ${title} or type /` });
  inThread.offer({ commands: [], people, closed, placeholder: `Reply, or mention @${world.bot.name}` });
  apps.offer(world.shortcuts.filter(({ type }) => type === "message"));
  part("tabs").hidden = !(channel.is_im && world.has_home);
  list.equip();
  replies.equip();
  showEmptiness();
}

const titleOf = ({ is_im: direct, name }) => (direct ? name : `#${name}`);

function topicOf(channel) {
  if (channel.is_im) return "The app, and you alone";
  if (channel.is_archived) return "Archived";
  const who = channel.is_ext_shared ? "Shared with another workspace" : channel.is_private ? "Private" : "";
  const bot = channel.has_bot ? "" : `${world.bot.real_name} is not in this channel`;
  return [who, bot].filter(Boolean).join(" · ");
}

function showPresence(online, text) {
  part("bot-status").dataset.online = String(online);
  part("bot-status").lastElementChild.textContent = text;
}

// ---- messages ----

const isInChannel = (message) => !message.thread_ts || message.thread_ts === message.ts || message.subtype === "thread_broadcast";
const isInThread = (message) => thread !== null && [message.ts, message.thread_ts].includes(thread);

function showMessage(message) {
  messages.set(message.ts, message);
  let isNew = false;
  for (const [place, belongs] of [[list, isInChannel(message)], [replies, isInThread(message)]]) {
    if (!belongs) continue;
    isNew = place.show(message) || isNew;
    lightbox.follow(message.ts, place.views.get(message.ts).pictures);
  }
  // What is only for them is nowhere else to be seen.
  if (message.is_ephemeral && message.thread_ts && thread === null) openThread(message.thread_ts, { quiet: true });
  showEmptiness();
  if (isNew) announce(message);
}

function announce(message) {
  const view = list.views.get(message.ts) ?? replies.views.get(message.ts);
  const said = view.body.querySelector(".content")?.textContent ?? "a message";
  const author = names.get(message.user);
  part("announce").textContent = `${author}${actions.pings(message) ? " mentions you" : ""}: ${said}`;
}

function remove({ ts }) {
  messages.delete(ts);
  lightbox.follow(ts, []);
  question.forget(ts);
  if (ts === thread) closeThread();
  const focused = [list.remove(ts), replies.remove(ts)].some(Boolean);
  if (focused) composer.focus();
  showEmptiness();
}

function showEmptiness() {
  const empty = !list.views.size;
  const { channel, commands, bot } = world;
  const isReady = empty && world.online && channel.has_bot && !channel.is_archived;
  part("examples").hidden = !(isReady && commands.length);
  part("welcome-text").replaceChildren(
    ...(!channel.has_bot
      ? [`${bot.real_name} is not in this channel, and draws nothing here.`]
      : world.online
        ? ["Type ", element("kbd", {}, "/"), " to see what the app can do."]
        : ["The app is not here yet. It can be used as soon as it is."]),
  );
}

// ---- threads ----

function openThread(ts, { quiet = false } = {}) {
  thread = ts;
  part("thread").hidden = false;
  document.body.classList.add("in-thread");
  replies.fill([...messages.values()].filter(isInThread));
  if (!quiet) inThread.focus();
}

function closeThread() {
  if (thread === null) return;
  const opener = list.views.get(thread)?.node;
  const focused = part("thread").contains(document.activeElement);
  thread = null;
  part("thread").hidden = true;
  document.body.classList.remove("in-thread");
  replies.fill([]);
  if (focused) (opener ?? composer).focus();
}

part("thread-close").addEventListener("click", closeThread);
part("thread").addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.defaultPrevented) closeThread();
});

// ---- dialogs and the home tab ----

function showView(view) {
  const before = dialogs.about;
  world.view = view;
  if (!view) return dialogs.close();
  if (before?.id === view.id && before.hash === view.hash) return;
  const kept = before?.id === view.id ? filled : {};
  const tools = {
    names,
    around: () => world,
    press: (id, value) => refusalOf("press", { view: view.id, action_id: id, value }),
    tell: (sentence) => (part("form-problem").textContent = sentence),
    enlarge: () => {}, // a dialog lies over everything
    ask: (asked) => question.confirmed(view.id, asked),
  };
  dialogs.open({
    about: view,
    title: view.title.text,
    bot: world.bot.real_name,
    submit: view.submit?.text ?? null,
    cancel: view.close?.text ?? "Close",
    ...drawn(view, tools, kept),
  });
}

function showHome(view) {
  world.home = view;
  const blocks = view
    ? home.draw(view.blocks, view.pictures)
    : [element("p", {}, "The app has shown nothing here yet.")];
  part("home").replaceChildren(...blocks, element("div"));
}

function showTab(name) {
  for (const one of ["messages", "home"]) part(`show-${one}`).ariaPressed = String(one === name);
  part("home").hidden = name !== "home";
  part("scroll").hidden = part("composer").hidden = name === "home";
  if (name === "home") post("home", {});
}

part("show-messages").addEventListener("click", () => showTab("messages"));
part("show-home").addEventListener("click", () => showTab("home"));

// ---- the rail ----

function showRail() {
  fillAvatar(part("team-avatar"), world.team.name);
  part("team-name").textContent = world.team.name;
  const entries = (direct) => world.channels.filter((one) => one.is_im === direct).map(railEntry);
  part("rooms").replaceChildren(...entries(false));
  part("direct").replaceChildren(...entries(true));
  const people = world.people.filter((person) => !person.is_bot);
  part("me").replaceChildren(...people.map((one) => personOption(one, one.id === world.me.id)));
  fillAvatar(part("me-avatar"), world.me.real_name);
  part("me-name").textContent = world.me.real_name;
  const duty = dutyOf(world.me);
  part("me-duty").textContent = duty ? `You are (${duty})` : "You are";
}

function railEntry(channel) {
  const open = () => {
    openRail(false);
    live.look(world.me.id, channel.id);
  };
  const current = channel.id === world.channel.id ? "page" : null;
  const button = element("button", { type: "button", "aria-current": current, onclick: open });
  button.append(icon(markOf(channel)), element("span", {}, channel.name));
  return element("li", {}, button);
}

part("me").addEventListener("change", () => live.look(part("me").value, world.channel.id));

// ---- sending ----

/** Post something done by this person, with files if any; what is answered, or a { refusal }. */
function post(what, body, files = []) {
  return sendOff(what, { as: world.me.id, channel: world.channel.id, ...body }, files);
}

async function refusalOf(what, body) {
  const { refusal = "" } = await post(what, body);
  return refusal;
}

async function send(what, body, files = []) {
  const { refusal = "" } = await post(what, body, files);
  if (!refusal) (body.thread_ts ? replies : list).toEnd();
  return refusal;
}

for (const example of part("examples").querySelectorAll("button")) {
  example.addEventListener("click", () =>
    composer.start(`${world.commands[0].command} ${example.textContent}`),
  );
}

const asked = new URLSearchParams(location.search);
live.look(asked.get("as"), asked.get("channel"));
typingAnywhere(composer);
