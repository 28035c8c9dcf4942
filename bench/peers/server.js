// node: the echo of net and the hello of http.
"use strict";

const http = require("node:http");
const net = require("node:net");

const BACKLOG = 4096;

const servers = {
  echo: () => net.createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    socket.pipe(socket);
  }),
  http: () => http.createServer((request, response) => {
    response.writeHead(200, { "Content-Type": "text/plain", "Content-Length": 13 });
    response.end("Hello, world\n");
  }),
};

const [workload, address] = process.argv.slice(2);
const [host, port] = address.split(":");
const server = servers[workload]();
process.on("SIGTERM", () => process.exit(0));
server.listen({ host, port: Number(port), backlog: BACKLOG }, () => {
  console.log(`listening on ${host}:${server.address().port}`);
});
