# SPDX-License-Identifier: MIT
"""A model's chat template, rendered so that every byte is known to come from the template or from a message.

The template runs in Jinja's sandbox, set up as transformers does it. Message contents go in as `Content`, a text that knows what it is and
stays so through the operations that templates use; where one writes it out, it is bracketed with marks that no content can hold, and the
marks are taken out of the finished text.
"""

from __future__ import annotations

import datetime
import json
import re
import secrets
from dataclasses import dataclass
from typing import Any, SupportsIndex

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .errors import SeamError, unsupported

ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True)
class Message:
    role: str
    content: str


@dataclass(frozen=True)
class Part:
    text: str
    from_template: bool


class Content(str):
    """Text whose pieces know where they come from. Joining and trimming keep that; any other operation gives a plain text, which then
    counts as the template's own (and render() refuses where that would matter)."""

    parts: tuple[Part, ...]

    @staticmethod
    def of(parts: tuple[Part, ...]) -> Content:
        made = Content("".join(part.text for part in parts))
        made.parts = parts
        return made

    def __add__(self, other: str) -> Content:
        return Content.of(self.parts + parts_of(other))

    def __radd__(self, other: str) -> Content:
        return Content.of(parts_of(other) + self.parts)

    def __str__(self) -> str:
        return self

    def _cut(self, begin: int, end: int) -> Content:
        kept = []
        at = 0
        for part in self.parts:
            text = part.text[max(0, begin - at) : max(0, end - at)]
            at += len(part.text)
            if text:
                kept.append(Part(text, part.from_template))
        return Content.of(tuple(kept))

    def lstrip(self, chars: str | None = None, /) -> Content:
        return self._cut(len(self) - len(str.lstrip(self, chars)), len(self))

    def rstrip(self, chars: str | None = None, /) -> Content:
        return self._cut(0, len(str.rstrip(self, chars)))

    def strip(self, chars: str | None = None, /) -> Content:
        return self.lstrip(chars).rstrip(chars)

    def __getitem__(self, key: SupportsIndex | slice) -> Content:
        if isinstance(key, slice) and key.step in (None, 1):
            begin, end, _ = key.indices(len(self))
            return self._cut(begin, end)
        return Content.of((Part(str.__getitem__(self, key), True),))


def parts_of(text: str) -> tuple[Part, ...]:
    return text.parts if isinstance(text, Content) else (Part(text, True),)


class _Marks:
    """Brackets around content, made anew for each rendering so that no content can hold them."""

    def __init__(self) -> None:
        name = secrets.token_hex(8)
        self.begin, self.end = f"\ufdd0{name}(", f"){name}\ufdd1"

    def written(self, value: Any) -> Any:
        if not isinstance(value, Content):
            return value
        return "".join(part.text if part.from_template else self.begin + part.text + self.end for part in value.parts)

    def split(self, text: str) -> list[Part]:
        parts: list[Part] = []
        for index, piece in enumerate(re.split(f"{re.escape(self.begin)}|{re.escape(self.end)}", text)):
            from_template = index % 2 == 0
            if piece and parts and parts[-1].from_template == from_template:
                parts[-1] = Part(parts[-1].text + piece, from_template)
            elif piece:
                parts.append(Part(piece, from_template))
        return parts


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


class ChatTemplate:
    """Raises `unsupported` when the source is no template."""

    def __init__(self, source: str, bos: str, eos: str) -> None:
        self._source = source
        self._bos = bos
        self._eos = eos
        try:
            self._environment(_Marks(), datetime.datetime.min).parse(source)
        except jinja2.TemplateError as error:
            raise unsupported("", f"the model's chat template cannot be read: {error}") from error

    @staticmethod
    def _environment(marks: _Marks, now: datetime.datetime) -> ImmutableSandboxedEnvironment:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols], finalize=marks.written
        )
        environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = now.strftime
        return environment

    def render(self, messages: list[Message], open_assistant_turn: bool, now: datetime.datetime) -> list[Part]:
        """`now`: what templates that print the date take for the time.

        `unsupported`, with the template's own words, when it refuses, drops a message or loses track of what is content.
        """
        for message in messages:
            if message.role not in ROLES:
                raise unsupported("", f'there is no chat role "{message.role}"', "use system, developer, user, assistant or tool")
        marks = _Marks()
        try:
            text = self._environment(marks, now).from_string(self._source).render(
                messages=[{"role": m.role, "content": Content.of((Part(m.content, False),))} for m in messages],
                bos_token=self._bos,
                eos_token=self._eos,
                add_generation_prompt=open_assistant_turn,
            )
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise unsupported(
                "", f"the model's chat template refuses: {error}", "change the roles, or use a raw text format"
            ) from error
        parts = marks.split(text)
        contents = [part.text for part in parts if not part.from_template]
        for message in messages:
            if not any(message.content.strip() in content for content in contents) and message.content.strip():
                raise unsupported("", f"the chat template drops or rewrites the {message.role} message", "use a raw text format")
        return parts


def find_source(template: Any) -> str | None:
    """The default template of what a tokenizer holds: a text, a table of them, or nothing."""
    if isinstance(template, dict):
        template = template.get("default")
    return template if isinstance(template, str) and template else None


__all__ = ["ROLES", "ChatTemplate", "Content", "Message", "Part", "SeamError", "find_source", "parts_of"]
