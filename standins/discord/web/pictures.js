// The pictures of a message: which there are, and each as an element.
const COMPONENTS_V2 = 1 << 15;
const SECTION = 9;
const THUMBNAIL = 11;
const GALLERY = 12;
const CONTAINER = 17;

/** Whether a message has components and nothing else. */
export function isComponentsV2({ flags }) {
  return Boolean(flags & COMPONENTS_V2);
}

/** All pictures in reading order: { id, url, filename, description, width, height }. */
export function picturesOf(message) {
  if (isComponentsV2(message)) return picturesIn(message.components);
  return message.attachments.filter((file) => file.content_type?.startsWith("image/"));
}

/** The pictures in components; `isVeiled` says of what they lie in whether to leave them out. */
export function picturesIn(components, isVeiled = () => false) {
  return components.flatMap((component) => {
    if (isVeiled(component)) return [];
    if (component.type === CONTAINER) return picturesIn(component.components, isVeiled);
    if (component.type === SECTION) return picturesIn([component.accessory], isVeiled);
    const items = component.type === GALLERY ? component.items : [component];
    const isThere = component.type === GALLERY || component.type === THUMBNAIL;
    return isThere ? items.filter((item) => isOurs(item) && !isVeiled(item)).map(fileOf) : [];
  });
}

/** Whether an item's media is a picture of this server; the page shows no others. */
export function isOurs({ media }) {
  if (!URL.canParse(media.url)) return false; // such as http://[
  const { pathname, port } = new URL(media.url);
  if (port !== location.port || !pathname.startsWith("/attachments/")) return false;
  return media.content_type?.startsWith("image/") ?? true; // nothing is known of a bare address
}

/** An item's media in the shape of an attachment. */
export function fileOf({ media, description }) {
  const { pathname } = new URL(media.url);
  const filename = decodeURIComponent(pathname.slice(pathname.lastIndexOf("/") + 1));
  return { ...media, id: media.attachment_id ?? media.url, filename, description };
}
