// One cluster as a column: its numbers, its conversation and the message that is being written.
import type { Cluster, Turn } from "./cluster";
import { button, h, labelled, say, show } from "./dom";
import { bytes, count } from "./numbers";

export interface ClusterActions {
  settings(): { maxTokens: number; temperature: number };
  bytesPerToken(): number;
  fork(cluster: Cluster, turns: number, text: string): void;
  sendOutput(cluster: Cluster, turn: number): void;
  close(cluster: Cluster): void;
  changed(cluster: Cluster): void;
}

const kSpeakers = { system: "Instructions", user: "You", assistant: "Answer" };

export class ClusterView {
  readonly element: HTMLElement;
  private readonly state = h("span", { class: "state" });
  private readonly facts = h("dl", { class: "facts" });
  private readonly list = h("ol", { class: "turns" });
  private readonly scroller: HTMLElement;
  private readonly hints = h("ul", { class: "attachments" });
  private readonly text: HTMLTextAreaElement;
  private readonly failure = h("p", { class: "failure", role: "alert", hidden: true });
  private readonly sendButton = h("button", { type: "submit", class: "main" }, "Send");
  private readonly stopButton = button("Stop", () => this.cluster.stop(), { hidden: true });
  private streamed: HTMLElement | null = null;  // the text that is growing

  constructor(
    private readonly cluster: Cluster,
    private readonly actions: ClusterActions,
  ) {
    const name = cluster.name;
    this.scroller = h("div", { class: "scroller", role: "log", tabindex: 0, "aria-label": `Conversation of ${name}` }, this.list);
    this.text = h("textarea", { rows: 3, placeholder: "Enter sends, Shift+Enter makes a line" });
    const form = h(
      "form",
      { class: "composer" },
      this.hints,
      labelled(`Message to ${name}`, this.text),
      this.failure,
      h("p", { class: "actions" }, this.sendButton, this.stopButton),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.send();
    });
    this.text.addEventListener("keydown", (event) => this.key(event));
    const heading = h("h3", { id: `cluster-${cluster.id}` }, name);
    const all = (): number => cluster.turns.length;
    this.element = h(
      "section",
      { class: "cluster", "aria-labelledby": heading.id },
      h("header", {}, heading, this.state),
      this.facts,
      h(
        "p",
        { class: "actions" },
        button("Send last answer", () => this.sendLast(), { "aria-label": `Send last answer of ${name} to another` }),
        button("Fork", () => actions.fork(cluster, all(), ""), { "aria-label": `Fork ${name}` }),
        button("Delete", () => actions.close(cluster), { "aria-label": `Delete ${name}` }),
      ),
      this.scroller,
      form,
    );
    this.draw();
  }

  // Puts a text where the next message is written.
  write(text: string): void {
    this.text.value = text;
    this.focus();
  }

  focus(): void {
    this.text.focus();
  }

  draw(): void {
    this.list.replaceChildren(...this.cluster.turns.map((turn, index) => this.turn(turn, index)));
    this.drawHints();
    this.drawState();
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  drawFacts(): void {
    const info = this.cluster.info;
    if (info === null) return;
    const memory = info.kv_bytes ?? info.tokens * this.actions.bytesPerToken();
    const rows: [string, string][] = [
      ["Tokens", count(info.tokens)],
      ["Memory", info.parked === true ? "parked" : bytes(memory)],
      ["Reused last", this.cluster.reused || "-"],
      ["From fork", count(info.ledger.reused_tokens)],
      ["Prefilled", count(info.ledger.prefilled_tokens)],
      ["Generated", count(info.ledger.generated_tokens)],
      ["Messages", count(info.ledger.messages_received)],
    ];
    this.facts.replaceChildren(...rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  }

  private drawState(): void {
    const busy = this.cluster.busy;
    this.state.textContent = busy ? "answering" : "";
    this.scroller.setAttribute("aria-busy", String(busy));
    show(this.stopButton, busy);
    this.sendButton.disabled = busy;
  }

  private drawHints(): void {
    const { attachments, editing } = this.cluster;
    const items = attachments.map((one) =>
      h(
        "li",
        {},
        `Output of ${one.from}, turn ${one.turn + 1} `,
        button("Leave out", () => {
          this.cluster.attachments = attachments.filter((other) => other !== one);
          this.drawHints();
        }),
      ),
    );
    if (editing !== null) {
      items.push(h("li", {}, `Replaces turn ${editing + 1} and all that follows it `, button("Keep it", () => this.edit(null))));
    }
    this.hints.replaceChildren(...items);
    show(this.hints, items.length > 0);
  }

  private turn(turn: Turn, index: number): HTMLElement {
    const body = h("p", { class: "text" }, turn.text);
    const item = h("li", { class: `turn ${turn.role}` }, h("p", { class: "speaker" }, kSpeakers[turn.role]));
    for (const one of turn.received) {
      item.append(h("p", { class: "from" }, `With the output of ${one.from}, turn ${one.turn + 1}`));
    }
    item.append(body);
    if (turn.note !== "") item.append(h("p", { class: "note" }, turn.note));
    const growing = this.cluster.busy && index === this.cluster.turns.length - 1;
    if (growing) this.streamed = body;
    else if (!this.cluster.busy) item.append(this.turnActions(turn, index));
    return item;
  }

  private turnActions(turn: Turn, index: number): HTMLElement {
    const { cluster, actions } = this;
    const which = `turn ${index + 1} of ${cluster.name}`;
    const row = h("p", { class: "actions small" });
    if (turn.role === "user") {
      row.append(
        button("Edit", () => this.edit(index), { "aria-label": `Edit ${which}` }),
        button("Fork and edit", () => actions.fork(cluster, index, turn.own), { "aria-label": `Fork and edit ${which}` }),
      );
    } else if (turn.role === "assistant") {
      const send = button("Send", () => actions.sendOutput(cluster, index), { "aria-label": `Send ${which} to another` });
      if (!turn.stopped) row.append(send);
      row.append(
        button("Fork here", () => actions.fork(cluster, index + 1, ""), { "aria-label": `Fork here, behind ${which}` }),
      );
    }
    return row;
  }

  private edit(index: number | null): void {
    const turn = index === null ? undefined : this.cluster.turns[index];
    this.cluster.editing = index;
    this.cluster.attachments = turn?.sent ?? [];
    this.write(turn?.own ?? "");
    this.drawHints();
  }

  private sendLast(): void {
    const last = this.cluster.lastAnswer;
    if (last === null) this.fail("there is no finished answer to send");
    else this.actions.sendOutput(this.cluster, last);
  }

  private key(event: KeyboardEvent): void {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      void this.send();
    } else if (event.key === "Escape") {
      if (this.cluster.busy) this.cluster.stop();
      else if (this.cluster.editing !== null) this.edit(null);
    }
  }

  private fail(text: string): void {
    this.failure.textContent = text;
    show(this.failure, text !== "");
  }

  private async send(): Promise<void> {
    const { cluster } = this;
    const text = this.text.value.trim();
    if (cluster.busy || (text === "" && cluster.attachments.length === 0)) return;
    this.fail("");
    this.text.value = "";
    let length = -1;  // how many turns were drawn while it is answered
    const changed = (): void => {
      const last = cluster.turns.at(-1);
      if (cluster.busy && length === cluster.turns.length && this.streamed !== null && last !== undefined) {
        this.streamed.textContent = last.text;
        this.scroller.scrollTop = this.scroller.scrollHeight;
        return;
      }
      length = cluster.turns.length;
      this.draw();
    };
    try {
      await cluster.send(text, this.actions.settings(), changed);
      say(`${cluster.name} has answered`);
    } catch (failure) {
      this.text.value = text;
      this.fail(failure instanceof Error ? failure.message : String(failure));
    }
    this.actions.changed(cluster);
  }
}
