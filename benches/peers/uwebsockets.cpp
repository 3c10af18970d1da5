// A bare echo server on uWebSockets. setup.sh builds it.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "App.h"

struct Nothing {};

int main(int argc, char **argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: %s PORT\n", argv[0]);
        return 2;
    }
    int port = std::atoi(argv[1]);
    uWS::App()
        .ws<Nothing>("/*", {
            .compression = uWS::DISABLED,
            .maxPayloadLength = 16 * 1024 * 1024,
            .idleTimeout = 120,
            .maxBackpressure = 64 * 1024 * 1024,
            .message = [](auto *ws, std::string_view message, uWS::OpCode opcode) { ws->send(message, opcode); },
        })
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
