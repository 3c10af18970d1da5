// The WebSocket to the server: what it tells, and questions with their answers.

const AGAIN = [300, 1000, 2000, 5000];

export class Live {
  constructor(onPush, onState) {
    Object.assign(this, { onPush, onState, last: 0, tries: 0, waiting: new Map() });
    this.open();
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss://" : "ws://";
    const socket = this.socket = new WebSocket(scheme + location.host + "/_wsh/live");
    socket.onopen = () => {
      this.tries = 0;
      this.onState("open");
    };
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.push) return this.onPush(message);
      const waiting = this.waiting.get(message.id);
      this.waiting.delete(message.id);
      if (!waiting) return;
      if ("error" in message) waiting.fail(new Error(message.error));
      else waiting.done(message.ok);
    };
    socket.onclose = () => {
      for (const { fail } of this.waiting.values()) fail(new Error("closed"));
      this.waiting.clear();
      this.onState("closed");
      setTimeout(() => this.open(), AGAIN[Math.min(this.tries++, AGAIN.length - 1)]);
    };
  }

  /** Has something done; its answer. */
  ask(name, question = {}) {
    if (this.socket.readyState !== WebSocket.OPEN) return Promise.reject(new Error("closed"));
    const id = ++this.last;
    return new Promise((done, fail) => {
      this.waiting.set(id, { done, fail });
      this.socket.send(JSON.stringify({ ...question, id, do: name }));
    });
  }
}
