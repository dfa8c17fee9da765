// The server's routes, as this page uses them.
import { eventData } from "./events";

export interface Received {
  from: string;  // id or name
  turn: number;
  sha256?: string;
  tokens?: number;
}

export interface Message {
  role: string;
  content: string;
}

export interface Partition {
  id: string;
  name: string | null;
  busy: boolean;
  turns: number;
  tokens: number;
  ledger: {
    prefilled_tokens: number;
    reused_tokens: number;
    generated_tokens: number;
    messages_received: number;
  };
  forked_from?: string | null;
  parked?: boolean;
  kv_bytes?: number;
  messages?: Message[];
  received?: Received[];
}

export interface Props {
  model_alias: string;
  n_ctx: number;
  isolation: string;
  grade: string;
  chat_template: boolean;
  kv_bytes_per_token?: number;
}

export class ApiError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

interface ErrorBody {
  error?: { message?: string; param?: string | null };
}

export function errorOf(body: unknown, status: number): ApiError {
  const error = typeof body === "object" && body !== null ? (body as ErrorBody).error : undefined;
  const message = error?.message ?? `the server answered with status ${status}`;
  return new ApiError(status, error?.param ? `${error.param}: ${message}` : message);
}

const kKey = "bulkhead.key";

// The key lives as long as the tab.
export function savedKey(): string {
  return sessionStorage.getItem(kKey) ?? "";
}

export function saveKey(key: string): void {
  if (key === "") sessionStorage.removeItem(kKey);
  else sessionStorage.setItem(kKey, key);
}

async function ask(method: string, path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = {};
  const key = savedKey();
  if (key !== "") headers["Authorization"] = `Bearer ${key}`;
  const options: RequestInit = { method, headers, cache: "no-store" };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  if (signal !== undefined) options.signal = signal;
  let response: Response;
  try {
    response = await fetch(path, options);
  } catch (failure) {
    if (failure instanceof DOMException && failure.name === "AbortError") throw failure;
    throw new ApiError(0, "the server cannot be reached");
  }
  if (!response.ok) throw errorOf(await response.json().catch(() => null), response.status);
  return response;
}

async function json<T>(method: string, path: string, body?: unknown): Promise<T> {
  return (await (await ask(method, path, body)).json()) as T;
}

function at(id: string): string {
  return `/v1/partitions/${encodeURIComponent(id)}`;
}

export const props = (): Promise<Props> => json("GET", "/props");
export const partitions = async (): Promise<Partition[]> =>
  (await json<{ data: Partition[] }>("GET", "/v1/partitions")).data;
export const partition = (id: string): Promise<Partition> => json("GET", at(id));
export const declare = (name: string): Promise<Partition> => json("POST", "/v1/partitions", { name });
export const fork = async (id: string, names: string[], turns: number): Promise<Partition[]> =>
  (await json<{ data: Partition[] }>("POST", `${at(id)}/fork`, { names, turns })).data;
export const remove = (id: string): Promise<unknown> => json("DELETE", at(id));
export const metrics = async (): Promise<string> => (await ask("GET", "/metrics", undefined)).text();

// Each event of an answer, parsed. "[DONE]" is none.
export async function* events(path: string, body: unknown, signal: AbortSignal): AsyncGenerator<unknown> {
  const response = await ask("POST", path, body, signal);
  if (response.body === null) return;
  for await (const data of eventData(response.body)) {
    if (data === "[DONE]") continue;
    const event = JSON.parse(data) as unknown;
    if (typeof event === "object" && event !== null && "error" in event && !("type" in event)) {
      throw errorOf(event, 500);
    }
    yield event;
  }
}
