// One message as a list item that follows its edits: only the parts that changed are drawn anew.
import { Choice } from "./choice.js";
import { Components } from "./components.js";
import { avatar, dots, element, icon, nameOf, path, problem, time } from "./dom.js";
import { markdown } from "./markdown.js";
import { optionsOf } from "./menus.js";
import { Parts } from "./parts.js";
import { picture } from "./picture.js";
import { isComponentsV2, picturesOf } from "./pictures.js";

const EPHEMERAL = 1 << 6;
const LOADING = 1 << 7;
const BUTTON = 2;
const LINK = 5;
const TYPED = 1; // a command's type
const STYLES = { 1: "primary", 4: "danger" };

export class MessageView {
  #actions;
  #components;
  #tools;
  #parts;

  /**
   * actions.names            Map of ids to names, for mentions
   * actions.pings(message)   whether it pings whoever looks
   * actions.mayDelete(message)
   * actions.remove(message)  a promise of the sentence of a refusal, or ""
   * actions.enlarge(message, pictures, index)
   * actions.show(id)         go to a message; whether it is here
   * actions.press(message, customId, values)  a promise of the sentence of a refusal, or ""
   * actions.world()          who and what a menu may offer
   * actions.hasApps(message) whether apps have commands for it
   * actions.openApps(message, left, top, tell)  their menu; tell(sentence) shows a refusal
   * actions.dismiss(message)
   */
  constructor(actions) {
    this.#actions = actions;
    this.#components = new Components({
      names: actions.names,
      control: (item) => this.#control(this.message, item),
      enlarge: (id) => this.#enlarge(id),
      redraw: () => this.#drawComponents(),
    });
    this.node = element("li", { class: "message", tabindex: "-1" });
    this.node.addEventListener("contextmenu", (event) => this.#rightClick(event));
    this.#tools = element("div", { class: "tools" });
    this.body = element("div", { class: "body" });
    this.#parts = new Parts(this.body, this.node);
  }

  update(message) {
    this.message = message;
    const used = message.interaction_metadata ?? null;
    this.node.dataset.id = message.id;
    this.node.classList.toggle("private", Boolean(message.flags & EPHEMERAL));
    if (!this.body.isConnected && !this.node.childElementCount) {
      if (used) this.node.append(usedLine(used));
      else if (message.referenced_message) this.node.append(this.#reply(message.referenced_message));
      this.node.append(avatar(nameOf(message.author)), this.body, this.#tools);
    }
    this.equip();
    this.node.classList.toggle("for-me", this.#actions.pings(message));
    const isV2 = isComponentsV2(message);
    const images = isV2 ? [] : picturesOf(message);
    const files = isV2 ? [] : message.attachments.filter((file) => !images.includes(file));
    const thinking = Boolean(message.flags & LOADING);
    const edited = message.edited_timestamp && !used;
    this.#parts.draw("head", [nameOf(message.author), Boolean(edited)], () => [head(message, edited)]);
    this.#parts.draw("text", [message.content, thinking], () =>
      thinking ? [thought(message)] : this.#text(message),
    );
    this.#parts.draw(
      "images",
      images.map((file) => file.id),
      () => (images.length ? [this.#grid(images)] : []),
    );
    this.#parts.draw(
      "files",
      files.map((file) => file.id),
      () => files.map(fileLink),
    );
    const rows = isV2 ? [] : message.components;
    this.#parts.draw("buttons", [rows], () => this.#rows(message, rows));
    this.#drawComponents();
    this.#say("");
    this.#parts.draw("note", [message.flags & EPHEMERAL], () =>
      message.flags & EPHEMERAL ? [this.#note(message)] : [],
    );
  }

  /** The pictures that may be seen now; a spoiler's only once it is revealed. */
  get pictures() {
    if (!isComponentsV2(this.message)) return picturesOf(this.message);
    return this.#components.pictures(this.message.components);
  }

  #drawComponents() {
    const components = isComponentsV2(this.message) ? this.message.components : [];
    const key = this.#components.key(components);
    this.#parts.draw("components", key, () => this.#components.draw(components));
  }

  #enlarge(id) {
    const { pictures } = this;
    const index = pictures.findIndex((file) => file.id === id);
    this.#actions.enlarge(this.message, pictures, index);
  }

  /** A press was not answered. */
  fail() {
    this.#say("The application did not respond");
  }

  #say(sentence) {
    this.#parts.draw("problem", [sentence], () => (sentence ? [problem(sentence)] : []));
  }

  #text(message) {
    if (!message.content) return [];
    return [
      element("div", { class: "content" }, ...markdown(message.content, this.#actions.names)),
    ];
  }

  #reply({ id, author }) {
    const show = () =>
      this.#say(this.#actions.show(id) ? "" : "The message that this replies to is gone.");
    const name = nameOf(author);
    const button = element("button", { type: "button", onclick: show }, "replies to ");
    button.append(element("b", {}, name));
    return element("div", { class: "used" }, avatar(name), button);
  }

  /** What can be done with it, above its corner. */
  equip() {
    const made = [];
    const tool = (name, drawing, onclick) =>
      element("button", { type: "button", "aria-label": name, title: name, onclick }, icon(drawing));
    if (this.#actions.hasApps(this.message)) {
      const open = (event) => {
        const { left, bottom } = event.currentTarget.getBoundingClientRect();
        this.#openApps(left, bottom);
      };
      const button = tool("Apps", "more", open);
      button.setAttribute("aria-haspopup", "menu");
      made.push(button);
    }
    if (this.#actions.mayDelete(this.message)) {
      const remove = async () => this.#say(await this.#actions.remove(this.message));
      made.push(tool("Delete message", "bin", remove));
    }
    const names = (buttons) => buttons.map(({ ariaLabel }) => ariaLabel).join();
    if (names(made) !== names([...this.#tools.children])) this.#tools.replaceChildren(...made);
  }

  #openApps(left, top) {
    this.#say("");
    this.#actions.openApps(this.message, left, top, (sentence) => this.#say(sentence));
  }

  /** Also a long touch, and the menu's key. Links and fields keep the browser's own menu. */
  #rightClick(event) {
    if (!this.#actions.hasApps(this.message) || event.target.closest("a, input, select")) return;
    event.preventDefault();
    this.#openApps(event.clientX, event.clientY);
  }

  #grid(images) {
    const grid = element("div", {
      class: images.length > 4 ? "images many" : "images",
      dataset: { count: images.length },
    });
    for (const file of images) {
      const enlarge = () => this.#enlarge(file.id);
      const properties = { type: "button", onclick: enlarge, dataset: { id: file.id } };
      grid.append(element("button", properties, picture(file)));
    }
    return grid;
  }

  #rows(message, rows) {
    return rows
      .map(({ components = [] }) => components)
      .filter((row) => row.length)
      .map((row) =>
        element("div", { class: "buttons" }, ...row.map((item) => this.#control(message, item))),
      );
  }

  #control(message, item) {
    return item.type === BUTTON ? this.#button(message, item) : this.#menu(message, item);
  }

  #menu(message, item) {
    const name = item.placeholder || "Make a selection";
    const choice = new Choice(item, optionsOf(item, this.#actions.world()), name, async () => {
      if (choice.values.length < choice.least) return;
      this.#say("");
      const refusal = await this.#actions.press(message, item.custom_id, choice.values);
      if (refusal) this.#say(refusal);
    });
    choice.reset();
    choice.focus.dataset.id = item.custom_id;
    return choice.node;
  }

  #button(message, item) {
    const label = [item.emoji?.name, item.label].filter(Boolean).join(" ");
    if (item.style === LINK) {
      return element("a", { href: item.url, target: "_blank", rel: "noopener noreferrer" }, label);
    }
    const press = async () => {
      if (button.ariaDisabled) return;
      button.ariaDisabled = "true"; // a truly disabled one would lose the focus
      this.#say("");
      const refusal = await this.#actions.press(message, item.custom_id);
      if (refusal) this.#say(refusal); // "" must not wipe a failure that overtook it
      button.ariaDisabled = null;
    };
    const button = element(
      "button",
      {
        type: "button",
        class: STYLES[item.style],
        disabled: item.disabled,
        onclick: press,
        dataset: { id: item.custom_id },
      },
      label,
    );
    return button;
  }

  #note(message) {
    const dismiss = element(
      "button",
      { type: "button", onclick: () => this.#actions.dismiss(message) },
      "Dismiss message",
    );
    return element("p", { class: "private-note" }, icon("eye"), "Only you can see this ·", dismiss);
  }
}

/** The last row after a command: sent and not yet answered, or never answered. */
export function unansweredRow(used, bot, failed, dismiss) {
  const line = failed
    ? problem("The application did not respond")
    : element("p", { class: "thinking" }, dots(), "Sending command…");
  const body = element(
    "div",
    { class: "body" },
    head({ author: bot, timestamp: new Date().toISOString() }),
    line,
  );
  if (failed) {
    const button = element("button", { type: "button", onclick: dismiss }, "Dismiss message");
    body.append(
      element("p", { class: "private-note" }, icon("eye"), "Only you can see this ·", button),
    );
  }
  return element(
    "li",
    { class: failed ? "message private" : "message" },
    usedLine(used),
    avatar(nameOf(bot)),
    body,
  );
}

/** Who did what: used a command, or pressed something; a dialog came of one or the other. */
function usedLine(used) {
  const name = nameOf(used.user);
  const first = used.triggering_interaction_metadata ?? used;
  const command = first.command_type === TYPED ? `/${first.name}` : first.name;
  const what = command
    ? [" used ", element("span", { class: "command" }, command)]
    : [first === used ? " pressed a button" : " filled in a form"];
  return element(
    "div",
    { class: "used" },
    avatar(name),
    element("span", {}, element("b", {}, name), ...what),
  );
}

function head(message, edited = false) {
  const line = element("div", { class: "head" }, element("b", {}, nameOf(message.author)));
  if (message.author.bot) line.append(element("span", { class: "tag" }, "BOT"));
  line.append(time(new Date(message.timestamp)));
  if (edited) line.append(element("span", { class: "edited" }, "(edited)"));
  return line;
}

function thought(message) {
  return element("p", { class: "thinking" }, dots(), `${nameOf(message.author)} is thinking…`);
}

function fileLink(file) {
  const link = element("a", { href: path(file.url), download: file.filename }, file.filename);
  return element("div", { class: "files" }, link);
}
