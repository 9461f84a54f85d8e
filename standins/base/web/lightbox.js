// One image large, over the page. A modal <dialog>: the browser keeps the focus inside, closes it
// on Escape and gives the focus back.
import { path } from "./dom.js";

const part = (name) => document.getElementById(`lightbox${name}`);

export class Lightbox {
  #dialog = part("");
  #images = [];
  #index = 0;

  constructor() {
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

  open(images, index) {
    this.#images = images;
    const single = images.length === 1;
    part("-previous").hidden = single;
    part("-next").hidden = single;
    this.#show(index);
    this.#dialog.showModal();
    part("-close").focus();
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
