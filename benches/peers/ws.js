// An echo server on Node's `ws`: NODE_PATH=.../node_modules node ws.js PORT [deflate | tls KEY CERTIFICATE]
const fs = require("fs");
const https = require("https");
const { WebSocketServer } = require("ws");

const [port, variant, key, certificate] = process.argv.slice(2);
const host = "127.0.0.1";
const started = () => console.log(`listening on ${host}:${port}`);

let echo;
if (variant === "tls") {
  const server = https.createServer({ key: fs.readFileSync(key), cert: fs.readFileSync(certificate) });
  echo = new WebSocketServer({ server, perMessageDeflate: false });
  server.listen(Number(port), host, started);
} else {
  // `true` takes the defaults: windows kept in both directions, zlib's own level, ten compressions at once. Its threshold
  // of 1,024 bytes counts only where no window is kept.
  echo = new WebSocketServer({ host, port: Number(port), perMessageDeflate: variant === "deflate" });
  echo.on("listening", started);
}
echo.on("connection", (socket) => {
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  // A peer that breaks off is the benchmark's business.
  socket.on("error", () => {});
});
