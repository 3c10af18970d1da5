// What is on the screen as a HAR file: HTTP Archive 1.2 with the `_webSocketMessages` that browsers write.

import { base64Of } from "./form.js";

/** The file's text, of the rows of one connection or of several. */
export function har(rows, known, version) {
  const connections = Map.groupBy(rows, (row) => row.connection);
  const entries = [...connections].map(([connection, rows]) => entry(connection, rows, known.get(connection)));
  return JSON.stringify({
    log: { version: "1.2", creator: { name: "wsh-server console", version }, pages: [], entries },
  }, null, 1);
}

function entry(connection, rows, item) {
  const messages = rows.filter((row) => (row.opcode === 1 || row.opcode === 2) && !row.part);
  const started = item?.opened ?? rows[0].time;
  const scheme = location.protocol === "https:" ? "wss://" : "ws://";
  const headers = [{ name: "Host", value: location.host }];
  if (item?.protocol) headers.push({ name: "Sec-WebSocket-Protocol", value: item.protocol });
  return {
    _resourceType: "websocket",
    // As the client sees it: what came in here was sent there.
    _webSocketMessages: messages.map((row) => ({
      type: row.way === "in" ? "send" : "receive", time: row.time, opcode: row.opcode,
      data: row.opcode === 1 ? row.text : row.data ?? base64Of(new TextEncoder().encode(row.text)),
    })),
    _wsh: {
      connection, handler: item?.handler, version: item?.version,
      others: rows.filter((row) => row.opcode > 2).map(({ time, way, opcode, code, text, data }) => ({ time, way, opcode, code, text, data })),
      cut: messages.filter((row) => row.cut).length,
    },
    startedDateTime: new Date(started * 1000).toISOString(),
    time: Math.max(0, (rows.at(-1).time - started) * 1000),
    request: {
      method: "GET", url: scheme + location.host + encodeURI(item?.path ?? "/"), httpVersion: "HTTP/1.1", cookies: [], headers,
      queryString: [], headersSize: -1, bodySize: 0,
    },
    response: {
      status: 101, statusText: "Switching Protocols", httpVersion: "HTTP/1.1", cookies: [], headers: [], redirectURL: "",
      content: { size: 0, mimeType: "x-unknown" }, headersSize: -1, bodySize: 0,
    },
    cache: {},
    timings: { send: 0, wait: 0, receive: 0 },
  };
}

/** Has the browser keep a file. */
export function save(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
