// The components of a message that has nothing else (Discord's Components V2), as DOM nodes.
import { element, icon, path } from "./dom.js";
import { markdown } from "./markdown.js";
import { picture } from "./picture.js";
import { fileOf, isOurs, picturesIn } from "./pictures.js";

const ROW = 1;
const SECTION = 9;
const TEXT = 10;
const THUMBNAIL = 11;
const GALLERY = 12;
const FILE = 13;
const SEPARATOR = 14;
const CONTAINER = 17;

const LARGE = 2; // a separator's spacing
const KB = 1024;

/** Draws one message's components again and again; what did not change stays the same node. */
export class Components {
  #tools;
  #revealed = new Set(); // what somebody chose to see, by #keyOf
  #made = new Map(); // nodes by what they were made of
  #kept = new Map(); // those of them that this drawing uses

  /**
   * tools.names        Map of ids to names, for mentions
   * tools.control(item) the node of a button or a menu
   * tools.enlarge(id)  show a picture large
   * tools.redraw()     something was revealed
   */
  constructor(tools) {
    this.#tools = tools;
  }

  /** The pictures that no veil covers. */
  pictures(components) {
    return picturesIn(components, (item) => this.#isVeiled(item));
  }

  /** What a drawing depends on. */
  key(components) {
    this.#forget(components);
    return [components, [...this.#revealed]];
  }

  draw(components) {
    this.#kept = new Map();
    const nodes = this.#blocks(components, "");
    this.#made = this.#kept;
    return nodes;
  }

  /** What is no spoiler any more is veiled anew when it becomes one again. */
  #forget(components) {
    for (const item of spoilable(components)) {
      if (!item.spoiler) this.#revealed.delete(this.#keyOf(item));
    }
  }

  #keyOf(item) {
    const media = item.media ?? item.file;
    return media ? (media.attachment_id ?? media.url) : String(item.id);
  }

  #isVeiled(item) {
    return Boolean(item.spoiler) && !this.#revealed.has(this.#keyOf(item));
  }

  #reveal(item) {
    this.#revealed.add(this.#keyOf(item));
    this.#tools.redraw();
  }

  #once(key, build) {
    const made = JSON.stringify(key);
    const node = this.#made.get(made) ?? build();
    this.#kept.set(made, node);
    return node;
  }

  #blocks(components, place) {
    return components.map((item, index) => this.#block(item, `${place}/${index}`)).filter(Boolean);
  }

  #block(item, place) {
    if (item.type === CONTAINER) return this.#container(item, place);
    if (item.type === SECTION) return this.#section(item, place);
    if (item.type === GALLERY) return this.#gallery(item, place);
    if (item.type === FILE) return this.#file(item, place);
    return this.#once([place, item], () => {
      if (item.type === TEXT) return this.#text(item);
      if (item.type === SEPARATOR) return separator(item);
      if (item.type !== ROW) return null;
      return element("div", { class: "buttons" }, ...item.components.map(this.#tools.control));
    });
  }

  #text({ content }) {
    return element("div", { class: "content" }, ...markdown(content, this.#tools.names));
  }

  #container(item, place) {
    const inside = element("div", { class: "inside" }, ...this.#blocks(item.components, place));
    const node = element("div", { class: "container" }, inside);
    if (item.accent_color !== null) {
      node.classList.add("accented");
      node.style.setProperty("--bar", `#${item.accent_color.toString(16).padStart(6, "0")}`);
    }
    return this.#isVeiled(item) ? this.#veiled(item, node, inside) : node;
  }

  #section(item, place) {
    const texts = element("div", { class: "texts" }, ...this.#blocks(item.components, place));
    const { accessory } = item;
    const beside =
      accessory.type === THUMBNAIL
        ? this.#tile(accessory, `${place}/accessory`)
        : this.#once([place, accessory], () => {
            return element("div", { class: "buttons" }, this.#tools.control(accessory));
          });
    const kind = accessory.type === THUMBNAIL ? "section with-thumbnail" : "section";
    return element("div", { class: kind }, texts, beside);
  }

  #gallery({ items }, place) {
    const tiles = items.map((item, index) => this.#tile(item, `${place}/${index}`));
    const name = items.length === 1 ? "1 picture" : `${items.length} pictures`;
    const properties = { class: "gallery", role: "group", "aria-label": name };
    return element("div", { ...properties, dataset: { count: items.length } }, ...tiles);
  }

  /** A picture of a gallery or a thumbnail: a click reveals it, then enlarges it. */
  #tile(item, place) {
    const veiled = this.#isVeiled(item);
    return this.#once([place, item, veiled], () => {
      if (!isOurs(item)) return elsewhere(item);
      const file = fileOf(item);
      const act = veiled ? () => this.#reveal(item) : () => this.#tools.enlarge(file.id);
      const button = element(
        "button",
        {
          type: "button",
          class: veiled && "veiled",
          "aria-label": veiled && "Spoiler: show the picture",
          onclick: act,
          dataset: { id: file.id },
        },
        picture(file),
      );
      button.style.setProperty("--width", file.width);
      button.style.setProperty("--height", file.height);
      if (veiled) button.append(veil());
      return button;
    });
  }

  #file(item, place) {
    const veiled = this.#isVeiled(item);
    return this.#once([place, item, veiled], () => {
      const link = element("a", { href: path(item.file.url), download: item.name }, item.name);
      const inside = element(
        "div",
        { class: "file" },
        icon("file"),
        element("span", {}, link, element("small", {}, size(item.size))),
      );
      const node = element("div", {}, inside);
      return veiled ? this.#veiled(item, node, inside) : node;
    });
  }

  /** The node with what is in it blurred and out of reach until somebody asks for it. */
  #veiled(item, node, inside) {
    inside.inert = true;
    const button = element(
      "button",
      {
        type: "button",
        class: "lift",
        "aria-label": "Spoiler: show what is hidden",
        onclick: () => this.#reveal(item),
      },
      veil(),
    );
    node.classList.add("veiled");
    node.append(button);
    return node;
  }
}

function* spoilable(components) {
  for (const item of components) {
    yield item;
    if (item.type === GALLERY) yield* item.items;
    if (item.type === CONTAINER) yield* spoilable(item.components);
    if (item.type === SECTION) yield item.accessory;
  }
}

function separator({ divider, spacing }) {
  const kind = spacing === LARGE ? "separator large" : "separator";
  return divider
    ? element("hr", { class: kind })
    : element("div", { class: kind, "aria-hidden": "true" });
}

function veil() {
  return element("span", { class: "veil", "aria-hidden": "true" }, "Spoiler");
}

/** A picture of another server, or a file that is none: only its address. */
function elsewhere({ media, description }) {
  const link = { class: "elsewhere", href: media.url, target: "_blank", rel: "noopener noreferrer" };
  const host = URL.canParse(media.url) ? new URL(media.url).host : media.url;
  return element("a", link, icon("open"), description || host);
}

function size(bytes) {
  if (bytes < KB) return `${bytes} bytes`;
  const [amount, unit] = bytes < KB * KB ? [bytes / KB, "KB"] : [bytes / (KB * KB), "MB"];
  return `${amount.toFixed(2)} ${unit}`;
}
