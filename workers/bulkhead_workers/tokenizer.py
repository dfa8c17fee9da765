# SPDX-License-Identifier: MIT
"""Text to tokens and back, as the seam wants it (src/engine/engine.h, Tokenizer): content can never become a control token, and the pieces
of its tokens join to its very bytes.

Both engines read the same Hugging Face tokenizer. What it would do to plain text on its own account (a space before it, Unicode
normalization) is taken out, as the llama engine does.
"""

from __future__ import annotations

import datetime
import json
import struct
from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer as Backend
from transformers.convert_slow_tokenizer import bytes_to_unicode

from .chat_template import ChatTemplate, Message, Part, find_source
from .errors import SeamError, unsupported

# Spellings that end a generation in llama.cpp (src/llama-vocab.cpp), whatever the model's files say.
ENDS = frozenset(
    [
        *("<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>", "<|endoftext|>"),
        *("</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>"),
        *("<|tool_response>", "<\uff5cend\u2581of\u2581sentence\uff5c>", "[e~[", "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
        *("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>"),
    ]
)


def _without_own_changes(step: Any) -> Any:
    """A normalizer or pre-tokenizer without what changes the text's bytes."""
    if step is None or step["type"] in ("Prepend", "NFC", "NFD", "NFKC", "NFKD"):
        return None
    for field in ("normalizers", "pretokenizers"):
        if field in step:
            step[field] = [kept for inner in step[field] if (kept := _without_own_changes(inner)) is not None]
    if step["type"] == "Metaspace":
        step["prepend_scheme"] = "never"
    if step["type"] == "ByteLevel":
        step["add_prefix_space"] = False
    return step


def _is_byte_level(description: Any) -> bool:
    return '"ByteLevel"' in json.dumps([description["pre_tokenizer"], description["decoder"]])


class TextTokenizer:
    """`tokenizer`: a fast tokenizer of transformers. `vocabulary`: how many logits the model gives. `ends`: further tokens that end a
    generation, as the model's files name them. Any thread."""

    def __init__(self, tokenizer: Any, vocabulary: int, ends: Iterable[int]) -> None:
        description = json.loads(tokenizer.backend_tokenizer.to_str())
        spellings: dict[int, str] = {index: text for text, index in tokenizer.get_vocab().items()}
        self.ends = frozenset(ends) | {index for index, text in spellings.items() if text in ENDS}
        added = description["added_tokens"]
        self._controls = self.ends | {token["id"] for token in added if token["special"]}
        for token in added:
            token["special"] = token["id"] in self._controls
        for step in ("normalizer", "pre_tokenizer"):
            description[step] = _without_own_changes(description[step])
        description["truncation"] = description["padding"] = None
        self._content = Backend.from_str(json.dumps(description))
        self._content.encode_special_tokens = True  # they are not read, but spelled out
        self._template = Backend.from_str(json.dumps(description))
        plain = {token["id"]: token["content"] for token in added}
        from_byte = {character: byte for byte, character in bytes_to_unicode().items()} if _is_byte_level(description) else {}
        self._words = [self._word(index, spellings.get(index), plain, from_byte) for index in range(vocabulary)]
        self.bos = self._find_bos(tokenizer)
        self._chat: ChatTemplate | None = None
        self._no_template = "the model brings no chat template"
        source = find_source(tokenizer.chat_template)
        if source is not None:
            try:
                self._chat = ChatTemplate(source, tokenizer.bos_token or "", tokenizer.eos_token or "")
            except SeamError as error:
                self._no_template = error.message

    @staticmethod
    def _word(index: int, spelling: str | None, plain: dict[int, str], from_byte: dict[str, int]) -> bytes:
        if spelling is None:
            return b""
        if index in plain:
            # Added tokens are matched as they stand, but SentencePiece's spaces are spaces there too.
            return plain[index].encode() if from_byte else plain[index].replace("\u2581", " ").encode()
        if from_byte:
            return bytes(from_byte[character] for character in spelling) if set(spelling) <= from_byte.keys() else spelling.encode()
        if len(spelling) == 6 and spelling.startswith("<0x") and spelling.endswith(">"):
            return bytes([int(spelling[3:5], 16)])
        return spelling.replace("\u2581", " ").encode()

    @staticmethod
    def _find_bos(tokenizer: Any) -> int | None:
        begun = tokenizer("x")["input_ids"]
        bos = tokenizer.bos_token_id
        return int(bos) if bos is not None and begun[:1] == [bos] else None

    @property
    def has_template(self) -> bool:
        return self._chat is not None

    def piece(self, token: int) -> bytes:
        """The raw bytes a token stands for; b"" for control tokens."""
        return b"" if token in self._controls else self._words[token]

    def vocabulary(self) -> bytes:
        """Of each token: u32 length and bytes of its piece, the same of its spelling, u8 whether it ends a generation."""
        made = bytearray()
        for token, spelling in enumerate(self._words):
            piece = self.piece(token)
            made += struct.pack("<I", len(piece)) + piece + struct.pack("<I", len(spelling)) + spelling
            made.append(token in self.ends)
        return bytes(made)

    def tokenize(self, text: str) -> list[int]:
        tokens: list[int] = self._content.encode(text, add_special_tokens=False).ids
        control = next((place for place, token in enumerate(tokens) if token in self._controls), None)
        if control is None:
            return tokens
        # Merging may spell out a control token even though none was read. Cut within its spelling, so that it cannot form.
        before = b"".join(self._words[token] for token in tokens[:control])
        cut = len(before.decode(errors="ignore")) + 1
        if cut >= len(text):
            spelling = self._words[tokens[control]].decode(errors="replace")
            raise SeamError("bad_input", f'"{spelling}" cannot be written as plain text')
        return self.tokenize(text[:cut]) + self.tokenize(text[cut:])

    def tokenize_template(self, text: str) -> list[int]:
        tokens: list[int] = self._template.encode(text, add_special_tokens=False).ids
        return tokens

    def _count_controls(self, parts: list[Part]) -> int:
        texts = [part.text for part in parts if part.from_template]
        return sum(token in self._controls for text in texts for token in self.tokenize_template(text))

    def render_chat(self, messages: list[Message], open_assistant_turn: bool, now: datetime.datetime) -> list[Part]:
        if self._chat is None:
            raise unsupported("", self._no_template, "use a raw text format")
        parts = self._chat.render(messages, open_assistant_turn, now)
        # A template may compute with content in ways that lose its origin. Where content spells control tokens, the template's own share
        # must hold as many of them as with harmless content.
        spelled = [any(token in self._controls for token in self.tokenize_template(message.content)) for message in messages]
        if any(spelled):
            harmless = [Message(m.role, "x" * len(m.content) if bad else m.content) for m, bad in zip(messages, spelled, strict=True)]
            if self._count_controls(self._chat.render(harmless, open_assistant_turn, now)) != self._count_controls(parts):
                raise unsupported("", "the chat template turns message content into control tokens", "use a raw text format")
        if self.bos is None:
            return parts
        bos = self._words[self.bos].decode()
        begun = bool(parts) and parts[0].from_template and parts[0].text.startswith(bos)
        return parts if begun else [Part(bos, True), *parts]
