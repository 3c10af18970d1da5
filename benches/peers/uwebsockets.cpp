// A bare server on uWebSockets: echoes, and on /fan and /say publishes. setup.sh builds it.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "App.h"

struct Nothing {};

using Socket = uWS::WebSocket<false, true, Nothing>;

uWS::App::WebSocketBehavior<Nothing> echo() {
    return {
        .compression = uWS::DISABLED,
        .maxPayloadLength = 16 * 1024 * 1024,
        .idleTimeout = 120,
        .maxBackpressure = 64 * 1024 * 1024,
        .message = [](Socket *ws, std::string_view message, uWS::OpCode opcode) { ws->send(message, opcode); },
    };
}

int main(int argc, char **argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: %s PORT\n", argv[0]);
        return 2;
    }
    int port = std::atoi(argv[1]);
    uWS::App app;
    auto subscribe = echo();
    subscribe.open = [](Socket *ws) { ws->subscribe("fan"); };
    auto publish = echo();
    publish.message = [&app](Socket *, std::string_view message, uWS::OpCode opcode) {
        app.publish("fan", message, opcode);
    };
    app.ws<Nothing>("/fan", std::move(subscribe))
        .ws<Nothing>("/say", std::move(publish))
        .ws<Nothing>("/*", echo())
        .listen("127.0.0.1", port, [port](auto *socket) {
            if (!socket) {
                std::fprintf(stderr, "cannot listen on port %d\n", port);
                std::exit(1);
            }
            std::printf("listening on 127.0.0.1:%d\n", port);
            std::fflush(stdout);
        })
        .run();
}
