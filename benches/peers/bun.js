// A server on Bun that echoes, and on /fan and /say publishes: bun bun.js PORT [deflate]
const deflate = Bun.argv[3] == "deflate";
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(Bun.argv[2]),
  fetch(request, server) {
    const role = request.url.endsWith("/fan") ? "fan" : request.url.endsWith("/say") ? "say" : "echo";
    return server.upgrade(request, { data: role }) ? undefined : new Response("a WebSocket, please", { status: 426 });
  },
  websocket: {
    perMessageDeflate: deflate,
    open(socket) {
      if (socket.data == "fan") socket.subscribe("fan");
    },
    message(socket, message) {
      if (socket.data == "say") server.publish("fan", message, deflate);
      else socket.send(message, deflate);
    },
  },
});
console.log(`listening on 127.0.0.1:${server.port}`);
