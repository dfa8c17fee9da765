// Drives the page in a real browser against a real server and a real model.
//   node browser.mjs PROGRAM MODEL FOLDER      FOLDER: for screenshots
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import axe from "axe-core";
import { chromium } from "playwright-core";

const [program, model, folder] = process.argv.slice(2);
const kKey = "the key of this test";
const kPatience = 120_000;
mkdirSync(folder, { recursive: true });

async function startServer() {
  const flags = ["serve", "-m", model, "--port", "0", "--json", "-c", "2048", "--api-key", kKey];
  const child = spawn(program, flags, { stdio: ["ignore", "pipe", "inherit"] });
  const address = await new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    createInterface({ input: child.stdout }).once("line", (line) => resolve(JSON.parse(line).listening));
  });
  return { child, address };
}

function startBrowser() {
  const executablePath = process.env.BULKHEAD_CHROMIUM || "/usr/bin/chromium";
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

const { child, address } = await startServer();
const ended = new Promise((resolve) => child.once("exit", resolve));
const browser = await startBrowser();
const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: "light" });
await context.addInitScript({ content: axe.source });
const page = await context.newPage();
page.setDefaultTimeout(kPatience);
const complaints = [];  // of the page's policy and scripts
const strangers = [];   // requests to anybody else
page.on("pageerror", (error) => complaints.push(error.message));
page.on("console", (message) => {
  if (message.type() !== "error") return;
  // A browser says of each 4xx that it is one; those are expected, and tested for.
  if (!/status of 4\d\d/.test(message.text())) complaints.push(message.text());
});
page.on("request", (request) => {
  const url = request.url();
  if (!url.startsWith(`${address}/`) && !url.startsWith("blob:")) strangers.push(url);
});

async function api(path) {
  const response = await fetch(address + path, { headers: { Authorization: `Bearer ${kKey}` } });
  assert.equal(response.status, 200, path);
  return response.json();
}

const cluster = (name) => page.getByRole("region", { name, exact: true });
const turns = (name) => cluster(name).locator(".turn");
const texts = (name) => cluster(name).locator(".turn .text").allTextContents();
const composer = (name) => cluster(name).getByLabel(`Message to ${name}`);

async function newCluster(name) {
  await page.getByRole("button", { name: "New cluster" }).press("Enter");
  await page.getByRole("dialog").getByLabel("Name").fill(name);
  await page.keyboard.press("Enter");
  await cluster(name).waitFor();
}

// Sends by keyboard, and waits for the whole answer.
async function ask(name, text) {
  const before = await turns(name).count();
  await composer(name).fill(text);
  await composer(name).press("Enter");
  await answered(name, before + 2);
}

async function answered(name, count) {
  await page.waitForFunction(
    ([name, count]) => {
      const log = document.querySelector(`[role=log][aria-label="Conversation of ${name}"]`);
      const all = log.querySelectorAll(".turn");
      return log.getAttribute("aria-busy") === "false" && all.length === count && all[count - 1].querySelector(".note");
    },
    [name, count],
    { timeout: kPatience },
  );
}

// What axe-core calls serious or critical, in the page and in the report's frame.
async function checkAccess(what) {
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1280, 375]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 900 });
      for (const frame of page.frames()) {
        const found = await frame.evaluate(async () => (await globalThis.axe.run(document, { iframes: false })).violations);
        const grave = found.filter((one) => one.impact === "serious" || one.impact === "critical");
        const said = grave.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" | ")}`);
        assert.deepEqual(said, [], `axe-core: ${what}, ${colorScheme}, ${width} px, ${frame.url()}`);
      }
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(wide <= 0, `${what} is ${wide} px wider than ${width} px`);
      await page.screenshot({ path: join(folder, `${what}-${colorScheme}-${width}.png`), fullPage: width === 375 });
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1280, height: 900 });
}

const steps = [
  ["asks for the key, and keeps it in the tab alone", async () => {
    await page.goto(address);
    await page.getByText("invalid API key").waitFor();
    await page.getByLabel("API key").fill(kKey);
    await page.getByLabel("API key").press("Enter");
    await page.getByText("2,048 tokens a partition").waitFor();
    await page.getByText("invalid API key").waitFor({ state: "hidden" });
    const kept = await page.evaluate(() => [Object.values(sessionStorage), JSON.stringify(localStorage), document.cookie]);
    assert.deepEqual(kept[0], [kKey]);
    assert.ok(!kept[1].includes(kKey) && !kept[2].includes(kKey));
    await page.reload();
    await page.getByText("2,048 tokens a partition").waitFor();
  }],
  ["holds a conversation in two clusters at the same time", async () => {
    await page.getByLabel("Most new tokens").fill("32");
    await page.getByLabel("Temperature").fill("0");
    await newCluster("alice");
    await newCluster("bob");
    await page.evaluate(() => {
      globalThis.seen = new Set();
      const log = document.querySelector('[role=log][aria-label="Conversation of alice"]');
      const note = () => globalThis.seen.add(log.querySelector(".turn.assistant .text")?.textContent ?? "");
      new MutationObserver(note).observe(log, { subtree: true, childList: true, characterData: true });
    });
    await composer("alice").fill("Write one sentence about a harbour.");
    await composer("bob").fill("Write one sentence about a bridge.");
    await composer("alice").press("Enter");
    await composer("bob").press("Enter");
    await Promise.all([answered("alice", 2), answered("bob", 2)]);
    assert.ok((await page.evaluate(() => globalThis.seen.size)) > 4, "the answer grew while it was drawn");
    await ask("alice", "And one more.");
    assert.equal(await turns("alice").count(), 4);
    const note = await turns("alice").nth(3).locator(".note").textContent();
    const [, reused] = /(\d+) of \d+ before it reused \(continues\)/.exec(note) ?? assert.fail(note);
    assert.ok(Number(reused) > 30, note);
    const shown = await api("/v1/partitions/alice");
    assert.deepEqual(shown.messages.map((one) => one.content), await texts("alice"));
    await cluster("alice").getByText(String(shown.tokens), { exact: true }).first().waitFor();
  }],
  ["shows texts as texts", async () => {
    await newCluster("mallory");
    const markup = '<img src=x onerror="document.title=\'owned\'"><b>bold</b><script>document.title="owned"</script>';
    await ask("mallory", markup);
    assert.equal((await texts("mallory"))[0], markup);
    assert.equal(await turns("mallory").locator("img, b, script").count(), 0);
    assert.equal(await page.title(), "Bulkhead");
  }],
  ["sends the output of one to another", async () => {
    const output = (await texts("alice"))[3];
    await cluster("alice").getByRole("button", { name: "Send turn 4 of alice to another" }).click();
    await page.getByRole("dialog").getByLabel("To").selectOption("bob");
    await page.getByRole("dialog").getByRole("button", { name: "Attach" }).click();
    await cluster("bob").getByText("Output of alice, turn 4").waitFor();
    await composer("bob").press("Escape");
    await cluster("bob").getByText("Output of alice, turn 4").waitFor();
    await ask("bob", "What is this sentence about?");
    await turns("bob").nth(2).getByText("With the output of").waitFor();
    const { received, messages } = await api("/v1/partitions/bob");
    assert.equal(received.length, 1);
    assert.equal(received[0].turn, 3);
    assert.equal(received[0].sha256, createHash("sha256").update(output).digest("hex"));
    assert.equal(messages[2].content, `${output}\n\nWhat is this sentence about?`);
    assert.equal((await texts("bob"))[2], messages[2].content);
    await page.getByText("alice sent its output to bob: turn 4").waitFor();
    await ask("bob", "Why?");
    const note = await turns("bob").nth(5).locator(".note").textContent();
    assert.match(note, /\(continues\)/, "history that holds a message goes on");
  }],
  ["forks and edits", async () => {
    const before = await texts("alice");
    await cluster("alice").getByRole("button", { name: "Fork and edit turn 3 of alice" }).click();
    await page.getByRole("dialog").getByLabel("Names, separated by commas").fill("carol");
    await page.keyboard.press("Enter");
    await cluster("carol").waitFor();
    assert.equal(await composer("carol").inputValue(), "And one more.");
    await ask("carol", "And one about fish.");
    assert.deepEqual((await texts("carol")).slice(0, 3), [...before.slice(0, 2), "And one about fish."]);
    assert.deepEqual(await texts("alice"), before, "the fork's source stays as it was");
    await page.getByText("carol was forked from alice").waitFor();
    await cluster("carol").getByRole("button", { name: "Edit turn 1 of carol", exact: true }).click();
    await cluster("carol").getByText("Replaces turn 1 and all that follows it").waitFor();
    await composer("carol").fill("Write one sentence about fish.");
    await composer("carol").press("Enter");
    await answered("carol", 2);
    assert.equal((await api("/v1/partitions/carol")).turns, 2);
    assert.deepEqual(await texts("alice"), before);
  }],
  ["stops an answer, and goes on behind it", async () => {
    await page.getByLabel("Most new tokens").fill("1500");
    await composer("mallory").fill("Count from one to one thousand, every number.");
    await composer("mallory").press("Enter");
    await page.waitForFunction(() => {
      const log = document.querySelector('[role=log][aria-label="Conversation of mallory"]');
      return (log.querySelectorAll(".turn")[3]?.querySelector(".text").textContent.length ?? 0) > 10;
    });
    await composer("mallory").press("Escape");
    await answered("mallory", 4);
    assert.equal(await turns("mallory").nth(3).locator(".note").textContent(), "stopped");
    await page.getByLabel("Most new tokens").fill("16");
    const again = cluster("mallory").getByRole("button", { name: "Send turn 4 of mallory to another" });
    assert.equal(await again.count(), 0, "only finished answers are sent");
    await ask("mallory", "Enough.");
    await page.waitForFunction(() => /; 0 jobs run/.test(document.getElementById("totals").textContent));
  }],
  ["says what was refused, and keeps what was written", async () => {
    await page.getByLabel("Most new tokens").fill("16");
    await composer("bob").fill("word ".repeat(3000));
    await composer("bob").press("Enter");
    await cluster("bob").getByText("a partition holds 2048").waitFor();
    assert.equal((await composer("bob").inputValue()).length, 14_999);
    await composer("bob").fill("");
    await page.getByRole("button", { name: "New cluster" }).click();
    await page.getByRole("dialog").getByLabel("Name").fill("alice");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").getByText(/alice/).waitFor();
    await page.waitForTimeout(2500);  // a poll that works takes no other notice away
    await page.getByRole("alert").getByText(/alice/).waitFor();
    await page.getByRole("button", { name: "Dismiss" }).click();
    await page.locator("#notice").waitFor({ state: "hidden" });
  }],
  ["is accessible with conversations", () => checkAccess("clusters")],
  ["is accessible in a dialog", async () => {
    await page.getByRole("button", { name: "New cluster" }).click();
    await checkAccess("dialog");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
  }],
  ["deletes a cluster that answers, and finds the others again when it is loaded anew", async () => {
    await page.getByLabel("Most new tokens").fill("1500");
    await composer("mallory").fill("Count from one to one thousand, every number.");
    await composer("mallory").press("Enter");
    await page.getByText("answering", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Delete mallory" }).click();
    await cluster("mallory").waitFor({ state: "detached" });
    const before = await texts("bob");
    await page.reload();
    await cluster("carol").waitFor();
    assert.deepEqual(await texts("bob"), before);
    assert.equal(await cluster("mallory").count(), 0);
    await page.getByLabel("Most new tokens").fill("16");
    await ask("bob", "Go on.");
    assert.match(await turns("bob").last().locator(".note").textContent(), /\(continues\)/);
  }],
  ["refuses a scenario with its place", async () => {
    await page.getByRole("link", { name: "Run" }).click();
    const field = page.getByLabel("Scenario (JSON)");
    const example = await field.inputValue();
    await field.fill(example.replace('"role": "user"', '"role": "king"'));
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await page.getByText("scenario.turns[0].role").waitFor();
    await field.fill("{");
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await page.getByText(/JSON/).first().waitFor();
    await field.fill(example);
  }],
  ["runs the four conditions, shows outputs as they come, and the report", async () => {
    await page.getByLabel("New tokens of each output").fill("24");
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await page.waitForFunction(() => [...document.querySelectorAll(".outputs td .text")].some((one) => one.textContent !== ""));
    assert.equal(await page.getByRole("heading", { name: "Report" }).count(), 0, "text is there before the report is");
    await page.screenshot({ path: join(folder, "run-at-work.png") });
    await page.getByRole("heading", { name: "Report" }).waitFor({ timeout: 300_000 });
    const cells = await page.locator(".outputs td .text").allTextContents();
    assert.equal(cells.length, 16);
    assert.ok(cells.every((text) => text !== ""), "an output of each cluster under each condition");
    assert.equal(await page.locator(".outputs th").getByText("finished").count(), 4);
    const frame = page.frameLocator("iframe");
    await frame.getByRole("heading", { name: "Bulkhead report" }).waitFor();
    await frame.locator("svg.logo").waitFor();
    assert.ok((await frame.locator("svg").count()) > 3, "its charts are drawn");
  }],
  ["saves results and report", async () => {
    for (const name of ["results.json", "report.html"]) {
      const [download] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("button", { name: `Save ${name}` }).click(),
      ]);
      assert.equal(download.suggestedFilename(), name);
      await download.saveAs(join(folder, name));
    }
  }],
  ["is accessible with a report", async () => {
    await page.locator("iframe").scrollIntoViewIfNeeded();
    await checkAccess("report");
    assert.equal(await page.frameLocator("iframe").locator("[data-fault]").count(), 0, "the report was drawn whole");
  }],
  ["keeps the report where it can reach nothing", async () => {
    const frame = page.frames().find((one) => one.url().endsWith("/report-frame"));
    const reached = await frame.evaluate(async () => {
      const tries = { page: () => parent.document.title, key: () => sessionStorage.length, server: () => fetch("/health") };
      const reached = [];
      for (const [name, attempt] of Object.entries(tries)) {
        try {
          await attempt();
          reached.push(name);
        } catch {
          // as it should be
        }
      }
      return reached;
    });
    assert.deepEqual(reached, []);
    for (let i = complaints.length - 1; i >= 0; --i) {
      if (/Refused to connect|Content Security Policy|Blocked a frame/.test(complaints[i])) complaints.splice(i, 1);
    }
  }],
  ["turns dark on request", async () => {
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await background();
    await page.getByRole("button", { name: "Theme: auto" }).click();
    await page.getByRole("button", { name: "Theme: light" }).click();
    await page.getByRole("button", { name: "Theme: dark" }).waitFor();
    assert.notEqual(await background(), light);
  }],
  ["asks nobody else, and breaks no rule of its own", async () => {
    assert.deepEqual(strangers, []);
    assert.deepEqual(complaints, []);
  }],
];

let passed = 0;
let failed = 0;
for (const [name, step] of steps) {
  const begin = Date.now();
  try {
    await step();
    ++passed;
    console.log(`ok      ${name} (${((Date.now() - begin) / 1000).toFixed(1)} s)`);
  } catch (failure) {
    ++failed;
    console.log(`FAILED  ${name}\n${failure.stack}`);
    await page.screenshot({ path: join(folder, `failed-${failed}.png`), fullPage: true }).catch(() => undefined);
    break;  // what follows stands on it
  }
}
await browser.close();
child.kill("SIGTERM");
assert.equal(await ended, 0, "the server ends as it should");
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
