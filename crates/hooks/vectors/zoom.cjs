// Signs as Zoom's documentation says, and lets Zoom's own library judge: it has to take what is signed, refuse what is
// not, and answer the question whether the address is ours. Called by make.py with the secret and the time.
const { createHmac } = require("node:crypto");
const { AwsLambdaReceiver } = require("@zoom/rivet/meetings");

const [secret, seconds] = process.argv.slice(2);
console.debug = () => {};
const receiver = new AwsLambdaReceiver({ webhooksSecretToken: secret }).start();
const receive = (body, signature) =>
  receiver({ body, headers: { "x-zm-signature": signature, "x-zm-request-timestamp": seconds } }, {});

(async () => {
  const vectors = [];
  for (const payload of [
    { event: "meeting.ended", event_ts: 1790000000000, payload: { object: { id: "1", topic: "é 🎧" } } },
    { event: "endpoint.url_validation", payload: { plainToken: "qgg8vlvZRS6UYooatFL8Aw" }, event_ts: 1790000000000 },
  ]) {
    const body = JSON.stringify(payload);
    const signature = "v0=" + createHmac("sha256", secret).update(`v0:${seconds}:${body}`).digest("hex");
    const answer = await receive(body, signature);
    const forged = await receive(body, signature.replace(/.$/, (last) => (last === "0" ? "1" : "0")));
    if (answer.statusCode !== 200 || forged.statusCode !== 400) throw new Error(JSON.stringify([answer, forged]));
    const said = JSON.parse(answer.body);
    vectors.push({ body, signature, challenge: said.encryptedToken ? said : undefined });
  }
  const { version } = JSON.parse(require("node:fs").readFileSync(require.resolve("@zoom/rivet").replace(/index\.cjs$/, "package.json")));
  process.stdout.write(JSON.stringify({ version, vectors }));
})();
