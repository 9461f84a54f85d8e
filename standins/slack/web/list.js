// Messages one below the other, of a channel or of a thread, with their days.
import { day, element } from "./dom.js";
import { MessageView } from "./message.js";
import { Scroller } from "./scroller.js";

const GROUP_S = 5 * 60;

export class MessageList {
  #node;
  #make;
  #views = new Map(); // ts -> MessageView
  #scroller;

  /**
   * node     the list
   * scroll, newer  as of a `Scroller`
   * actions  as of a `MessageView`
   */
  constructor(node, scroll, newer, actions, options) {
    this.#node = node;
    this.#scroller = new Scroller(scroll, node, newer);
    this.#make = () => new MessageView(actions, options);
  }

  get views() {
    return this.#views;
  }

  /** Nothing but these. */
  fill(messages) {
    this.#views.clear();
    this.#node.replaceChildren();
    for (const message of messages) this.#put(message);
    this.#group();
    this.toEnd();
  }

  /** One that is new or has changed; whether it is new. */
  show(message) {
    const sticky = this.#scroller.isSticking;
    const isNew = !this.#views.has(message.ts);
    this.#put(message);
    if (isNew) this.#group();
    this.#scroller.follow(sticky || !isNew);
    return isNew;
  }

  /** Take one away; whether it had the focus. */
  remove(ts) {
    const view = this.#views.get(ts);
    if (!view) return false;
    const focused = view.node.contains(document.activeElement);
    view.node.remove();
    this.#views.delete(ts);
    this.#group();
    return focused;
  }

  equip() {
    for (const view of this.#views.values()) view.equip();
  }

  toEnd() {
    this.#scroller.toEnd();
  }

  #put(message) {
    const known = this.#views.get(message.ts);
    const view = known ?? this.#make();
    view.update(message);
    if (known) return;
    this.#views.set(message.ts, view);
    this.#node.append(view.node);
  }

  /** The days between them; and somebody's next message within minutes goes on without a head. */
  #group() {
    for (const heading of this.#node.querySelectorAll(".day")) heading.remove();
    let before = null;
    let shown = "";
    for (const { message, node } of this.#views.values()) {
      const heading = day(new Date(Number(message.ts) * 1000));
      const isNewDay = heading !== shown;
      if (isNewDay) {
        node.before(element("li", { class: "day", role: "separator", "aria-label": heading }, heading));
      }
      shown = heading;
      const plain = !message.is_ephemeral;
      const goesOn =
        plain && !isNewDay && before?.user === message.user && message.ts - before.ts < GROUP_S;
      node.classList.toggle("goes-on", Boolean(goesOn));
      before = plain ? message : null;
    }
  }
}
