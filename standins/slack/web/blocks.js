// Block Kit as DOM nodes: of a message, a dialog's words, the home tab.
import { carousel } from "./carousel.js";
import { Choice } from "./choice.js";
import { element, icon, problem } from "./dom.js";
import { picture } from "./picture.js";
import { link, mention, mrkdwn, plain } from "./mrkdwn.js";
import { optionsOf, pickerOf } from "./menus.js";

const PRESSED = "button";

/** The words of a text object. */
export function wordsOf({ type, text }, names) {
  return type === "mrkdwn" ? mrkdwn(text, names) : [text];
}

/** The pictures that blocks show, in reading order. */
export function picturesIn(blocks, pictures) {
  return blocks.flatMap((block) => {
    if (block.type === "carousel") return picturesIn(block.elements, pictures);
    const shown = [block, block.accessory ?? {}, block.icon ?? {}, block.hero_image ?? {}];
    const elements = block.type === "context" ? block.elements : shown;
    return elements.flatMap(({ type, slack_file: file, alt_text: description }) => {
      const found = type === "image" && file ? pictures[file.id ?? file.url] : null;
      return found ? [{ ...found, description }] : [];
    });
  });
}

export class Blocks {
  #tools;
  #pictures = {};
  #kept = new Map(); // blocks that stay as they were, with what they load
  #drawn = new Map();

  /**
   * tools.names            Map of ids to names
   * tools.around()         who and what menus offer
   * tools.press(id, value) a promise of the sentence of a refusal, or ""
   * tools.tell(sentence)   show a refusal, "" takes it away
   * tools.enlarge(id)      show a picture large
   * tools.ask(question)    a promise of whether to go on
   */
  constructor(tools) {
    this.#tools = tools;
  }

  /** The nodes of blocks; `pictures` says of the files what is known. */
  draw(blocks, pictures) {
    this.#pictures = pictures;
    this.#drawn = new Map();
    const nodes = blocks.map((block) => this.#once(block));
    this.#kept = this.#drawn;
    return nodes;
  }

  /** The node of a block, the one before where it is the same. */
  #once(block) {
    const files = picturesIn([block], this.#pictures).map(({ id }) => id);
    const key = JSON.stringify([block, files]);
    const node = this.#kept.get(key) ?? this.#block(block);
    this.#drawn.set(key, node);
    return node;
  }

  #block(block) {
    const make = {
      section: () => this.#section(block),
      header: () => element("h3", { class: "block-header" }, block.text.text),
      divider: () => element("hr", { class: "separator" }),
      image: () => this.#image(block),
      context: () => this.#context(block),
      card: () => this.#card(block),
      carousel: () => carousel(block.elements.map((card) => this.#card(card))),
      actions: () =>
        element("div", { class: "buttons" }, ...block.elements.map((one) => this.#control(one))),
      rich_text: () => element("div", { class: "content" }, ...block.elements.map((one) => this.#rich(one))),
      markdown: () => element("div", { class: "content" }, block.text),
      input: () => "",
    }[block.type];
    return make?.() ?? element("p", { class: "small" }, `This page does not show a ${block.type}.`);
  }

  #section({ text, fields = [], accessory }) {
    const texts = element("div", { class: "texts" });
    if (text) texts.append(element("div", { class: "content" }, ...wordsOf(text, this.#tools.names)));
    if (fields.length) {
      const shown = fields.map((one) => element("div", {}, ...wordsOf(one, this.#tools.names)));
      texts.append(element("div", { class: "content fields-of-two" }, ...shown));
    }
    const section = element("div", { class: "section" }, texts);
    if (accessory?.type === "image") section.append(this.#image(accessory));
    else if (accessory) section.append(element("div", { class: "buttons" }, this.#control(accessory)));
    return section;
  }

  #image({ title, slack_file: file, image_url: url, alt_text: description }) {
    const caption = title ? [element("figcaption", { class: "small" }, title.text)] : [];
    if (!file) return element("figure", { class: "block-image" }, ...caption, elsewhere(url, description));
    const found = this.#pictures[file.id ?? file.url];
    if (!found) {
      return element("p", { class: "small" }, icon("file"), `${description} (the file is gone)`);
    }
    const enlarge = () => this.#tools.enlarge(found.id);
    const button = element("button", { type: "button", onclick: enlarge, dataset: { id: found.id } });
    button.append(picture({ ...found, description }));
    return element("figure", { class: "block-image" }, ...caption, button);
  }

  #card({ hero_image: hero, icon: small, title, subtitle, body, subtext, actions = [] }) {
    const line = (name, text) =>
      text ? [element("p", { class: name }, ...wordsOf(text, this.#tools.names))] : [];
    return element(
      "div",
      { class: "shown-card" },
      ...(hero ? [this.#image(hero)] : []),
      ...(small ? [this.#image(small)] : []),
      ...line("card-title", title),
      ...line("small", subtitle),
      ...line("content", body),
      ...line("small", subtext),
      ...(actions.length
        ? [element("div", { class: "buttons" }, ...actions.map((one) => this.#control(one)))]
        : []),
    );
  }

  #context({ elements }) {
    const shown = elements.map((one) => {
      if (one.type !== "image") return element("span", {}, ...wordsOf(one, this.#tools.names));
      const found = one.slack_file && this.#pictures[one.slack_file.id ?? one.slack_file.url];
      return found ? picture({ ...found, description: one.alt_text }) : element("span", {}, one.alt_text);
    });
    return element("div", { class: "content small context" }, ...shown);
  }

  #rich(part) {
    if (part.type === "rich_text_list") {
      const items = part.elements.map((one) => element("li", {}, ...this.#spans(one.elements)));
      return element(part.style === "ordered" ? "ol" : "ul", {}, ...items);
    }
    const name = { rich_text_preformatted: "pre", rich_text_quote: "blockquote" }[part.type] ?? "div";
    return element(name, {}, ...this.#spans(part.elements ?? []));
  }

  #spans(elements) {
    const { names } = this.#tools;
    return elements.map(({ type, text, url, style = {}, ...one }) => {
      if (type === "user") return mention(`@${names.get(one.user_id) ?? "unknown"}`);
      if (type === "usergroup") return mention(`@${names.get(one.usergroup_id) ?? "group"}`);
      if (type === "channel") return mention(`#${names.get(one.channel_id) ?? "unknown"}`);
      if (type === "broadcast") return mention(`@${one.range}`);
      if (type === "emoji") return `:${one.name}:`;
      const words = type === "link" ? link(url, text ?? url) : (text ?? "");
      const wrapped = { bold: "strong", italic: "em", strike: "s", code: "code" };
      return Object.entries(wrapped).reduce(
        (inner, [look, name]) => (style[look] ? element(name, {}, inner) : inner),
        words,
      );
    });
  }

  /** Something to press or to choose from. */
  #control(item) {
    if (item.type === PRESSED) return this.#button(item);
    if (item.type === "datepicker" || item.type === "timepicker") return this.#picker(item);
    const options = optionsOf(item, this.#tools.around());
    const name = item.placeholder?.text || "Choose";
    const choice = new Choice(pickerOf(item, options), options, name, async () => {
      if (!choice.values.length && !item.type.startsWith("multi")) return;
      const several = item.type.startsWith("multi") || item.type === "checkboxes";
      this.#press(item, several ? choice.values : choice.values[0]);
    });
    choice.reset();
    choice.focus.dataset.id = item.action_id;
    return choice.node;
  }

  #picker(item) {
    const [type, value] =
      item.type === "datepicker" ? ["date", item.initial_date] : ["time", item.initial_time];
    const choose = () => input.value && this.#press(item, input.value);
    const input = element("input", { type, value, onchange: choose, dataset: { id: item.action_id } });
    input.ariaLabel = item.placeholder?.text || (type === "date" ? "Date" : "Time");
    return input;
  }

  #button(item) {
    const press = async () => {
      if (button.ariaDisabled) return;
      button.ariaDisabled = "true"; // a truly disabled one would lose the focus
      await this.#press(item, item.value ?? null);
      button.ariaDisabled = null;
    };
    const button = element(
      item.url ? "a" : "button",
      {
        ...(item.url
          ? { href: safe(item.url), target: "_blank", rel: "noopener noreferrer" }
          : { type: "button" }),
        class: item.style,
        "aria-label": item.accessibility_label,
        onclick: press,
        dataset: { id: item.value ? `${item.action_id} ${item.value}` : item.action_id },
      },
      item.text.text,
    );
    return button;
  }

  async #press(item, value) {
    const { confirm } = item;
    if (confirm) {
      const question = {
        title: confirm.title.text,
        text: plain(confirm.text.text),
        yes: confirm.confirm.text,
        no: confirm.deny.text,
        safe: confirm.style !== "danger",
      };
      if (!(await this.#tools.ask(question))) return;
    }
    this.#tools.tell("");
    const refusal = await this.#tools.press(item.action_id, value);
    if (refusal) this.#tools.tell(refusal); // "" must not wipe a failure that overtook it
  }
}

/** A sentence about what went wrong, as the part of a message. */
export const problems = (sentence) => (sentence ? [problem(sentence)] : []);

/** A picture of another server: only its address. */
function elsewhere(url, description) {
  const link = { class: "elsewhere", href: safe(url), target: "_blank", rel: "noopener noreferrer" };
  return element("a", link, icon("open"), description);
}

/** An address that leads to a page, and runs nothing. */
function safe(url) {
  return URL.canParse(url) && /^https?:$/.test(new URL(url).protocol) ? url : null;
}
