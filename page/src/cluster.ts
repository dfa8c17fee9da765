// A cluster: a named partition of the server, and the conversation in it. Knows no elements.
import * as api from "./api";

export type Role = "system" | "user" | "assistant";

// Another cluster's answer, to be sent as a message.
export interface Attachment {
  from: string;  // name of the partition
  turn: number;  // of its conversation, from 0
  text: string;  // as it is shown here; what is sent is what the server has
}

export interface Turn {
  role: Role;
  text: string;
  own: string;               // of it, what was written here
  sent: Attachment[];        // and what was attached
  received: api.Received[];  // outputs of others that are part of it, as the server tells
  stopped: boolean;          // an answer that is not finished
  note: string;              // what the server said of it
}

export interface Settings {
  maxTokens: number;
  temperature: number;
}

type Part = { type: "text"; text: string } | { type: "output"; partition: string; turn: number };

interface Chunk {
  choices?: { delta?: { content?: string }; finish_reason?: string | null }[];
  usage?: { prompt_tokens: number; completion_tokens: number; prompt_tokens_details?: { cached_tokens: number } };
  bulkhead?: { reuse?: { tokens: number; reason: string }; messages?: api.Received[] };
}

export class Cluster {
  readonly name: string;
  readonly id: string;
  turns: Turn[] = [];
  attachments: Attachment[] = [];
  editing: number | null = null;  // the turn that the next message replaces, with all that follows it
  info: api.Partition | null = null;
  reused = "";  // by the last answer, of the tokens before it
  private answering: AbortController | null = null;

  constructor(name: string, id: string) {
    this.name = name;
    this.id = id;
  }

  static restored(info: api.Partition): Cluster {
    const cluster = new Cluster(info.name ?? info.id, info.id);
    cluster.info = info;
    cluster.turns = (info.messages ?? []).map((message) => ({
      role: roleOf(message.role),
      text: message.content,
      own: message.content,
      sent: [],
      received: [],
      stopped: false,
      note: "",
    }));
    return cluster;
  }

  // As it was before turn number `turns`.
  beginning(name: string, id: string, turns: number): Cluster {
    const made = new Cluster(name, id);
    made.turns = this.turns.slice(0, turns).map((turn) => ({ ...turn }));
    return made;
  }

  get busy(): boolean {
    return this.answering !== null;
  }

  // The number of the last finished answer; null: there is none yet.
  get lastAnswer(): number | null {
    if (this.busy) return null;
    const last = this.turns.findLastIndex((turn) => turn.role === "assistant" && !turn.stopped);
    return last < 0 ? null : last;
  }

  stop(): void {
    this.answering?.abort();
  }

  // Sends a message and takes in the answer; `changed` is called for each piece. Refused, the conversation is as it
  // was before.
  async send(text: string, settings: Settings, changed: () => void): Promise<void> {
    const before = this.turns;
    const kept = before.slice(0, this.editing ?? before.length);
    const attachments = this.attachments;
    const question: Turn = {
      role: "user",
      text: wholeText(text, attachments),
      own: text,
      sent: attachments,
      received: attachments.map(({ from, turn }) => ({ from, turn })),
      stopped: false,
      note: "",
    };
    const answer: Turn = { role: "assistant", text: "", own: "", sent: [], received: [], stopped: false, note: "" };
    const messages = [...kept.map(messageOf), { role: "user", content: contentOf(text, attachments) }];
    this.turns = [...kept, question, answer];
    this.answering = new AbortController();
    changed();
    try {
      await this.takeAnswer(messages, settings, question, answer, this.answering.signal, changed);
      this.attachments = [];
      this.editing = null;
    } catch (failure) {
      const aborted = failure instanceof DOMException && failure.name === "AbortError";
      if (!aborted || answer.text === "") this.turns = before;
      if (!aborted) throw failure;
      answer.stopped = true;
      answer.note = "stopped";
      this.attachments = [];
      this.editing = null;
    } finally {
      this.answering = null;
      changed();
    }
  }

  private async takeAnswer(
    messages: unknown[],
    settings: Settings,
    question: Turn,
    answer: Turn,
    signal: AbortSignal,
    changed: () => void,
  ): Promise<void> {
    const body = {
      messages,
      max_tokens: settings.maxTokens,
      temperature: settings.temperature,
      stream: true,
      stream_options: { include_usage: true },
      bulkhead: { partition: this.name },
    };
    let reason = "";
    for await (const event of api.events("/v1/chat/completions", body, signal)) {
      const chunk = event as Chunk;
      answer.text += chunk.choices?.[0]?.delta?.content ?? "";
      if (chunk.bulkhead?.reuse) reason = chunk.bulkhead.reuse.reason;
      if (chunk.bulkhead?.messages) question.received = chunk.bulkhead.messages;
      if (chunk.usage) {
        const cached = chunk.usage.prompt_tokens_details?.cached_tokens ?? 0;
        this.reused = `${cached} of ${chunk.usage.prompt_tokens}`;
        answer.note = `${chunk.usage.completion_tokens} tokens; ${this.reused} before it reused (${reason})`;
      }
      changed();
    }
  }
}

function roleOf(role: string): Role {
  return role === "system" || role === "assistant" ? role : "user";
}

function messageOf(turn: Turn): api.Message {
  return { role: turn.role, content: turn.text };
}

function contentOf(text: string, attachments: Attachment[]): string | Part[] {
  if (attachments.length === 0) return text;
  const parts: Part[] = [];
  for (const { from, turn } of attachments) {
    parts.push({ type: "output", partition: from, turn }, { type: "text", text: "\n\n" });
  }
  if (text === "") parts.pop();
  else parts.push({ type: "text", text });
  return parts;
}

// The text that contentOf() becomes: history names it, whatever happens to the other cluster later.
function wholeText(text: string, attachments: Attachment[]): string {
  return [...attachments.map((one) => one.text), ...(text === "" ? [] : [text])].join("\n\n");
}
