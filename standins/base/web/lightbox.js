// One image large, over the page. A modal <dialog>: the browser keeps the focus inside, closes it
// on Escape and gives the focus back.
import { path } from "./dom.js";

const part = (name) => document.getElementById(`lightbox${name}`);

export class Lightbox {
  #dialog = part("");
  #owner = null;
  #images = [];
  #index = 0;

  /** lost(owner)  called when it has closed and what had the focus before is gone */
  constructor(lost) {
    this.#dialog.addEventListener("close", () => {
      const active = document.activeElement;
      if (active === document.body || this.#dialog.contains(active)) lost(this.#owner);
    });
    part("-previous").addEventListener("click", () => this.#show(this.#index - 1));
    part("-next").addEventListener("click", () => this.#show(this.#index + 1));
    part("-close").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog || event.target.matches("figure, .room"))
        this.#dialog.close();
    });
    this.#dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") this.#show(this.#index - 1);
      else if (event.key === "ArrowRight") this.#show(this.#index + 1);
      else if (event.key === "Home") this.#show(0);
      else if (event.key === "End") this.#show(this.#images.length - 1);
      else return;
      event.preventDefault();
    });
  }

  /**
   * owner   whose images they are, for `follow`
   * images  { id, url, filename, description, width, height }
   */
  open(owner, images, index) {
    this.#owner = owner;
    this.#take(images, index);
    this.#dialog.showModal();
    part("-close").focus();
  }

  /** These are the owner's images now: stay at the one shown or at its place; close without any. */
  follow(owner, images) {
    if (!this.#dialog.open || owner !== this.#owner) return;
    if (!images.length) return this.#dialog.close();
    const ids = images.map(({ id }) => id);
    if (ids.join() === this.#images.map(({ id }) => id).join()) return;
    const same = ids.indexOf(this.#images[this.#index].id);
    this.#take(images, same >= 0 ? same : Math.min(this.#index, images.length - 1));
  }

  #take(images, index) {
    this.#images = images;
    const single = images.length === 1;
    part("-previous").hidden = single;
    part("-next").hidden = single;
    this.#show(index);
  }

  #show(index) {
    this.#index = (index + this.#images.length) % this.#images.length;
    const file = this.#images[this.#index];
    const caption = file.description || file.filename;
    const image = part("-image");
    image.src = path(file.url);
    image.alt = caption;
    image.width = file.width;
    image.height = file.height;
    image.style.setProperty("--width", file.width);
    image.style.setProperty("--height", file.height);
    part("-caption").textContent = caption;
    part("-count").textContent = `${this.#index + 1} of ${this.#images.length}`;
    part("-open").href = path(file.url);
    part("-save").href = path(file.url);
    part("-save").download = file.filename;
  }
}
