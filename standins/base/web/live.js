// What comes from the server, as it happens, and what goes there.
const RETRY_MS = 500;

/** One stream of events at a time, which comes back by itself. */
export class Live {
  #hear;
  #lost;
  #stream = null;
  #retry = 0;

  /**
   * hear  what to do at each event, by its name, with its data
   * lost(again)  called when the connection is lost; `again` is called where the browser gave up
   */
  constructor(hear, lost) {
    this.#hear = hear;
    this.#lost = lost;
  }

  /** Look at a place as somebody; what is not given falls back to the world's first. */
  look(as, channel) {
    clearTimeout(this.#retry);
    this.#stream?.close();
    const wanted = new URLSearchParams(Object.entries({ as, channel }).filter(([, id]) => id));
    const stream = new EventSource(`/page/api/events?${wanted}`);
    this.#stream = stream;
    for (const [name, act] of Object.entries(this.#hear)) {
      stream.addEventListener(name, ({ data }) => act(JSON.parse(data)));
    }
    stream.addEventListener("error", () => {
      this.#lost();
      // The browser tries again by itself unless it has given the stream up.
      if (stream.readyState !== EventSource.CLOSED) return;
      clearTimeout(this.#retry);
      this.#retry = setTimeout(() => this.look(as, channel), RETRY_MS);
    });
  }
}

/** Post something that was done, with files if any; what is answered, or a { refusal }. */
export async function post(what, body, files = []) {
  const request = JSON.stringify(body);
  const form = new FormData();
  form.append("payload_json", request);
  for (const [place, file] of files.entries()) form.append(`files[${place}]`, file);
  const sent = files.length
    ? { body: form }
    : { body: request, headers: { "Content-Type": "application/json" } };
  try {
    const response = await fetch(`/page/api/${what}`, { method: "POST", ...sent });
    return await response.json();
  } catch {
    return { refusal: "The playground did not answer. Try again once the connection is back." };
  }
}
