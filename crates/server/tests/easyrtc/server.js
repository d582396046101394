// Serves the demo pages of open-easyrtc on loopback and prints their address. PORT is the port, or any free one.
const http = require("node:http");
const path = require("node:path");
const express = require("express");
const { Server } = require("socket.io");
const easyrtc = require("open-easyrtc");

const app = express();
app.use("/demos", express.static(path.join(path.dirname(require.resolve("open-easyrtc/package.json")), "demos")));
const server = http.createServer(app);
easyrtc.setOption("logLevel", "warning");
// No STUN or TURN: nothing here leaves the machine.
easyrtc.setOption("appIceServers", []);
easyrtc.listen(app, new Server(server), null, (error) => {
  if (error) throw error;
  server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
});
// Whoever started it holds the other end; when that is gone, so is this.
process.stdin.on("end", () => process.exit(0)).resume();
