// One message as a list item that follows its changes: only the parts that changed are drawn anew.
import { Blocks, picturesIn, problems } from "./blocks.js";
import { avatar, element, icon, time } from "./dom.js";
import { mrkdwn } from "./mrkdwn.js";
import { Parts } from "./parts.js";
import { picture } from "./picture.js";

export class MessageView {
  #actions;
  #blocks;
  #parts;
  #tools;
  #inThread;

  /**
   * actions.names            Map of ids to names
   * actions.around()         who and what there is
   * actions.press(message, action_id, value)  a promise of the sentence of a refusal, or ""
   * actions.ask(message, question)  a promise of whether to go on
   * actions.enlarge(message, pictures, index)
   * actions.openThread(message)
   * actions.hasShortcuts(message)
   * actions.openShortcuts(message, left, top, tell)  their menu; tell(sentence) shows a refusal
   * actions.mayDelete(message)
   * actions.remove(message)  a promise of the sentence of a refusal, or ""
   * actions.dismiss(message) the same
   *
   * inThread  it is drawn in its thread, and not in the channel
   */
  constructor(actions, { inThread = false } = {}) {
    this.#actions = actions;
    this.#inThread = inThread;
    this.#blocks = new Blocks({
      names: actions.names,
      around: actions.around,
      press: (id, value) => actions.press(this.message, id, value),
      tell: (sentence) => this.#say(sentence),
      enlarge: (id) => this.#enlarge(id),
      ask: (question) => actions.ask(this.message, question),
    });
    this.node = element("li", { class: "message", tabindex: "-1" });
    this.node.addEventListener("contextmenu", (event) => this.#rightClick(event));
    this.body = element("div", { class: "body" });
    this.#tools = element("div", { class: "tools" });
    this.#parts = new Parts(this.body, this.node);
  }

  update(message) {
    this.message = message;
    const { blocks = [], files = [], pictures } = message;
    const name = this.#actions.names.get(message.user) ?? "somebody";
    const isPrivate = Boolean(message.is_ephemeral);
    this.node.dataset.id = message.ts;
    this.node.classList.toggle("private", isPrivate);
    this.node.classList.toggle("for-me", this.#actions.pings(message));
    if (!this.node.childElementCount) this.node.append(avatar(name), this.body, this.#tools);
    this.equip();
    const draw = (...part) => this.#parts.draw(...part);
    draw("note", [isPrivate], () => (isPrivate ? [this.#note()] : []));
    draw("head", [name, Boolean(message.edited), message.subtype], () => [this.#head(name)]);
    draw("text", [blocks.length ? "" : message.text], () => this.#text(blocks.length ? "" : message.text));
    draw("blocks", [blocks, Object.keys(pictures)], () => this.#blocks.draw(blocks, pictures));
    draw("files", [files, Object.keys(pictures)], () => files.map((file) => this.#file(file)));
    draw("reactions", [message.reactions ?? []], () => this.#reactions(message.reactions ?? []));
    const replies = this.#inThread ? 0 : (message.reply_count ?? 0);
    draw("thread", [replies], () => (replies ? [this.#thread(replies)] : []));
    this.#say("");
  }

  /** Its pictures, in reading order. */
  get pictures() {
    const { blocks = [], files = [], pictures } = this.message;
    const shared = files.map(({ id }) => pictures[id]).filter((file) => file?.is_picture);
    return [...picturesIn(blocks, pictures), ...shared];
  }

  /** What can be done with it, above its corner. */
  equip() {
    const made = [];
    const tool = (name, drawing, onclick) =>
      element("button", { type: "button", "aria-label": name, title: name, onclick }, icon(drawing));
    if (!this.#inThread && !this.message.is_ephemeral) {
      made.push(tool("Reply in thread", "message", () => this.#actions.openThread(this.message)));
    }
    if (this.#actions.hasShortcuts(this.message)) {
      const open = (event) => {
        const { left, bottom } = event.currentTarget.getBoundingClientRect();
        this.#openShortcuts(left, bottom);
      };
      const button = tool("More actions", "more", open);
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

  #say(sentence) {
    this.#parts.draw("problem", [sentence], () => problems(sentence));
  }

  #enlarge(id) {
    const { pictures } = this;
    this.#actions.enlarge(this.message, pictures, pictures.findIndex((file) => file.id === id));
  }

  #openShortcuts(left, top) {
    this.#say("");
    this.#actions.openShortcuts(this.message, left, top, (sentence) => this.#say(sentence));
  }

  /** Also a long touch, and the menu's key. Links and fields keep the browser's own menu. */
  #rightClick(event) {
    const own = event.target.closest("a, input, select");
    if (own || !this.#actions.hasShortcuts(this.message)) return;
    event.preventDefault();
    this.#openShortcuts(event.clientX, event.clientY);
  }

  #head(name) {
    const { user, ts, edited, subtype } = this.message;
    const line = element("div", { class: "head" }, element("b", {}, name));
    if (this.#actions.isBot(user)) line.append(element("span", { class: "tag" }, "APP"));
    line.append(time(new Date(Number(ts) * 1000)));
    // The app changes what it shows all the time, and Slack does not say so.
    if (edited && !this.#actions.isBot(user)) line.append(element("span", { class: "edited" }, "(edited)"));
    if (subtype === "thread_broadcast") line.append(element("span", { class: "edited" }, "also in a thread"));
    return line;
  }

  #text(text) {
    return text ? [element("div", { class: "content" }, ...mrkdwn(text, this.#actions.names))] : [];
  }

  #file({ id, name }) {
    const found = this.message.pictures[id];
    if (!found) return element("p", { class: "small" }, `${name ?? "A file"} was deleted.`);
    if (!found.is_picture) {
      const link = element("a", { href: found.url, download: found.filename }, found.filename);
      return element("div", { class: "files" }, link);
    }
    const enlarge = () => this.#enlarge(id);
    const button = element("button", { type: "button", onclick: enlarge, dataset: { id } }, picture(found));
    return element("figure", { class: "block-image" }, button);
  }

  #reactions(reactions) {
    return reactions.map(({ name, users, count }) => {
      const who = users.map((id) => this.#actions.names.get(id)).join(", ");
      return element("span", { class: "reaction", title: who }, `:${name}: ${count}`);
    });
  }

  #thread(replies) {
    const open = () => this.#actions.openThread(this.message);
    const words = replies === 1 ? "1 reply" : `${replies} replies`;
    const properties = { type: "button", class: "replies", onclick: open, dataset: { id: "thread" } };
    return element("button", properties, icon("message"), words);
  }

  #note() {
    const dismiss = async () => this.#say(await this.#actions.dismiss(this.message));
    const button = element("button", { type: "button", onclick: dismiss }, "Dismiss message");
    return element("p", { class: "private-note" }, icon("eye"), "Only visible to you ·", button);
  }
}

