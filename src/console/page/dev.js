// For a page that is being developed: it is loaded anew when its files change, and a strip says what
// is wrong with the handlers that it is connected to. A script of --dev; --no-inject leaves it out.
"use strict";
(() => {
  const Native = WebSocket;
  const paths = new Set();
  let socket = null, strip = null, dismissed = "";

  // The page's own connections, of which only the paths are of interest here.
  window.WebSocket = new Proxy(Native, {
    construct(target, given, made) {
      const connection = Reflect.construct(target, given, made);
      const { host, pathname } = new URL(connection.url);
      if (host === location.host) note(decoded(pathname));
      return connection;
    },
  });

  function decoded(path) {
    try {
      return decodeURIComponent(path);
    } catch {
      return path;
    }
  }

  function note(path) {
    if (paths.has(path)) return;
    paths.add(path);
    if (socket && socket.readyState === Native.OPEN) socket.send(path);
  }

  function connect() {
    const scheme = location.protocol === "https:" ? "wss://" : "ws://";
    socket = new Native(scheme + location.host + "/_wsh/preview");
    socket.onopen = () => paths.forEach((path) => socket.send(path));
    socket.onmessage = (event) => {
      const told = JSON.parse(event.data);
      if (told.push === "files") changed(told.files);
      if (told.push === "faults") show(told.faults);
    };
    socket.onclose = () => setTimeout(connect, 1000);
  }

  function isOurs(path) {
    if (path === decoded(location.pathname)) return true;
    return performance.getEntriesByType("resource").some(({ name }) => {
      const { host, pathname } = new URL(name, location.href);
      return host === location.host && decoded(pathname) === path;
    });
  }

  function changed(files) {
    const others = files.filter((path) => {
      const sheets = [...document.querySelectorAll("link[rel~=stylesheet]")];
      const own = sheets.filter((sheet) => decoded(new URL(sheet.href).pathname) === path);
      own.forEach(renew);
      return !own.length && isOurs(path);
    });
    if (others.length) location.reload();
  }

  // The one before stays until the new one is there, so that nothing flickers.
  function renew(sheet) {
    const address = new URL(sheet.href);
    address.searchParams.set("wsh", Date.now());
    const next = sheet.cloneNode();
    next.href = address;
    next.onload = next.onerror = () => sheet.remove();
    sheet.after(next);
  }

  const isChinese = (document.documentElement.lang || navigator.language).startsWith("zh");
  const words = isChinese
    ? { broken: "保存的版本有错误，仍由之前的版本服务", never: "有错误，还不能服务", console: "控制台", hide: "隐藏" }
    : { broken: "broken save: the version before goes on serving", never: "broken: it does not serve yet", console: "console", hide: "Hide" };

  const STYLE = `
    :host { all: initial; position: fixed; inset: auto 0 0 0; z-index: 2147483647; color-scheme: light dark; }
    div { font: 14px/1.4 system-ui, sans-serif; color: #fff; background: #8c1d18; padding: .5rem 1rem; max-height: 40vh;
          overflow: auto; display: grid; grid-template-columns: 1fr auto auto; gap: .25rem 1rem; align-items: start; }
    p { margin: 0; overflow-wrap: anywhere; grid-column: 1; } b { font-weight: 600; }
    pre { margin: 0 0 .25rem; font: 12px/1.35 ui-monospace, Menlo, Consolas, monospace; overflow-x: auto; grid-column: 1 / -1; }
    a, button { font: inherit; color: #fff; grid-row: 1; } a { grid-column: 2; } button { grid-column: 3; background: none;
          border: 1px solid #fff; border-radius: .3rem; cursor: pointer; }
    :focus-visible { outline: 2px solid #fff; outline-offset: 2px; }`;

  function element(tag, text) {
    const made = document.createElement(tag);
    made.textContent = text;
    return made;
  }

  function show(faults) {
    const text = JSON.stringify(faults.map(({ handler, report }) => [handler, report]));
    strip?.remove();
    strip = null;
    if (!faults.length) dismissed = "";
    if (!faults.length || text === dismissed) return;
    strip = document.createElement("wsh-strip");
    const root = strip.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    const box = document.createElement("div");
    box.setAttribute("role", "alert");
    for (const fault of faults.slice(0, 3)) {
      const line = element("p", "");
      const what = fault.kind === "broken" ? (fault.serves ? words.broken : words.never) : fault.message;
      line.append(element("b", fault.handler), ": " + what);
      const report = element("pre", fault.report);
      report.tabIndex = 0;
      box.append(line, report);
    }
    const link = element("a", words.console);
    link.href = "/_wsh/#/faults";
    link.target = "_blank";
    const hide = element("button", words.hide);
    hide.onclick = () => {
      dismissed = text;
      strip?.remove();
      strip = null;
    };
    box.append(link, hide);
    root.append(box);
    document.documentElement.append(strip);
  }

  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && strip) strip.shadowRoot.querySelector("button").click();
  });
  connect();
})();
