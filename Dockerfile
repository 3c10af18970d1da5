# docker build -t wsh-server . && docker run --rm -p 9998:9998 -v "$PWD/handlers:/handlers:ro" wsh-server
FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM debian:bookworm-slim
COPY --from=build /src/target/release/wsh-server /usr/bin/
COPY handlers /handlers
USER nobody
EXPOSE 9998
# Outside of the container nobody reaches it unless its port is published, and then everybody whom the publisher lets in.
ENTRYPOINT ["wsh-server", "-w", "/handlers"]
CMD ["--public"]
