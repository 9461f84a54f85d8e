// A picture of a message.
import { element, path } from "./dom.js";

/** A file's <img>, which fades in when it has loaded. */
export function picture(file) {
  const image = element("img", {
    alt: file.description || file.filename,
    width: file.width,
    height: file.height,
    loading: "lazy",
    decoding: "async",
  });
  image.addEventListener("load", () => (image.dataset.loaded = ""));
  image.addEventListener("error", () => (image.dataset.loaded = "")); // shows the alt text
  image.src = path(file.url);
  return image;
}
