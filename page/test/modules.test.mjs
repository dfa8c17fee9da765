// What needs no browser: events out of bytes, numbers, and what a message becomes.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "page-"));
after(() => rmSync(folder, { recursive: true }));
await build({
  absWorkingDir: join(here, ".."),
  entryPoints: ["src/events.ts", "src/numbers.ts", "src/cluster.ts"],
  outdir: folder,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  format: "esm",
  logLevel: "warning",
});
const { eventData } = await import(join(folder, "events.mjs"));
const { bytes, count, plural, seconds } = await import(join(folder, "numbers.mjs"));
const { Cluster } = await import(join(folder, "cluster.mjs"));

// The bytes of `text` in pieces of `size`.
function streamed(text, size) {
  const all = new TextEncoder().encode(text);
  return new ReadableStream({
    start(controller) {
      for (let at = 0; at < all.length; at += size) controller.enqueue(all.slice(at, at + size));
      controller.close();
    },
  });
}

async function dataOf(text, size) {
  const found = [];
  for await (const data of eventData(streamed(text, size))) found.push(data);
  return found;
}

test("events are the same however their bytes come", async () => {
  const text = 'data: {"a":"\u00e9\u20ac\u{1f600}"}\n\n: ping\n\nevent: x\ndata: two\ndata: lines\n\ndata:tight\r\n\r\ndata: [DONE]\n\n';
  const expected = ['{"a":"\u00e9\u20ac\u{1f600}"}', "two\nlines", "tight", "[DONE]"];
  for (const size of [1, 2, 3, 7, 1000]) assert.deepEqual(await dataOf(text, size), expected, `pieces of ${size}`);
});

test("an event that was cut off is none", async () => {
  assert.deepEqual(await dataOf("data: whole\n\ndata: cut", 4), ["whole"]);
  assert.deepEqual(await dataOf("", 4), []);
});

test("numbers are for people", () => {
  assert.equal(bytes(1023), "1,023 B");
  assert.equal(bytes(1024), "1.0 KiB");
  assert.equal(bytes(35 * 1024 * 1024), "35 MiB");
  assert.equal(count(1234567), "1,234,567");
  assert.equal(plural(1, "token"), "1 token");
  assert.equal(plural(0, "token"), "0 tokens");
  assert.equal(seconds(0.123), "0.12 s");
});

// Answers each request with these events; gives the bodies that were sent.
function serve(...answers) {
  const bodies = [];
  globalThis.sessionStorage = { getItem: () => "a key", setItem() {}, removeItem() {} };
  globalThis.fetch = async (path, options) => {
    assert.equal(path, "/v1/chat/completions");
    assert.equal(options.headers.Authorization, "Bearer a key");
    bodies.push(JSON.parse(options.body));
    const answer = answers.shift();
    const text = answer.events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("");
    return new Response(answer.error ? JSON.stringify(answer.error) : text, { status: answer.status ?? 200 });
  };
  return bodies;
}

const said = (text) => ({ choices: [{ delta: { content: text } }] });
const settings = { maxTokens: 9, temperature: 0 };

test("an output is sent as a part and kept as its text", async () => {
  const bodies = serve(
    { events: [said("of"), { ...said("fice"), bulkhead: { messages: [{ from: "p-1", turn: 1, sha256: "ab" }] } }] },
    { events: [said("yes")] },
  );
  const bob = new Cluster("bob", "p-2");
  bob.attachments = [{ from: "alice", turn: 1, text: "her answer" }];
  let changes = 0;
  await bob.send("Is it right?", settings, () => ++changes);
  assert.deepEqual(bodies[0].messages, [
    {
      role: "user",
      content: [
        { type: "output", partition: "alice", turn: 1 },
        { type: "text", text: "\n\n" },
        { type: "text", text: "Is it right?" },
      ],
    },
  ]);
  assert.deepEqual(bodies[0].bulkhead, { partition: "bob" });
  assert.equal(bob.turns[0].text, "her answer\n\nIs it right?");
  assert.deepEqual(bob.turns[0].received, [{ from: "p-1", turn: 1, sha256: "ab" }]);
  assert.equal(bob.turns[1].text, "office");
  assert.deepEqual(bob.attachments, []);
  assert.ok(changes >= 4);
  await bob.send("Sure?", settings, () => {});
  assert.deepEqual(bodies[1].messages, [
    { role: "user", content: "her answer\n\nIs it right?" },
    { role: "assistant", content: "office" },
    { role: "user", content: "Sure?" },
  ]);
});

test("an edited turn replaces all that follows, and what is refused changes nothing", async () => {
  const refused = { error: { error: { message: "no", param: "messages[0]" } }, status: 400, events: [] };
  const bodies = serve({ events: [said("one")] }, { events: [said("two")] }, refused, { events: [said("new")] });
  const alice = new Cluster("alice", "p-1");
  await alice.send("first", settings, () => {});
  await alice.send("second", settings, () => {});
  assert.equal(alice.lastAnswer, 3);
  alice.editing = 0;
  await assert.rejects(alice.send("changed", settings, () => {}), /messages\[0\]: no/);
  assert.deepEqual(alice.turns.map((turn) => turn.text), ["first", "one", "second", "two"]);
  assert.equal(alice.editing, 0);
  await alice.send("changed", settings, () => {});
  assert.deepEqual(bodies[3].messages, [{ role: "user", content: "changed" }]);
  assert.deepEqual(alice.turns.map((turn) => turn.text), ["changed", "new"]);
  assert.equal(alice.editing, null);
});
