// Server-sent events out of a stream of bytes: the data of each, as it comes.

export async function* eventData(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
      let end = rest.search(/\r?\n\r?\n/);
      while (end >= 0) {
        const data = dataOf(rest.slice(0, end));
        rest = rest.slice(end).replace(/^\r?\n\r?\n/, "");
        if (data !== null) yield data;
        end = rest.search(/\r?\n\r?\n/);
      }
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => undefined);  // a stream that was aborted cannot be cancelled again
  }
}

// null: a comment, or an event without data.
function dataOf(event: string): string | null {
  const lines: string[] = [];
  for (const line of event.split(/\r?\n/)) {
    if (line.startsWith("data:")) lines.push(line.slice(line[5] === " " ? 6 : 5));
  }
  return lines.length === 0 ? null : lines.join("\n");
}
