# SPDX-License-Identifier: MIT
"""Chat templates that keep track of content, generated text, snapshots."""

from __future__ import annotations

import datetime
import unittest

from bulkhead_workers import snapshot
from bulkhead_workers.chat_template import ChatTemplate, Message, Part
from bulkhead_workers.errors import SeamError
from bulkhead_workers.text import GeneratedText

# As Gemma 3's: the system message goes before the first user's, contents are trimmed, roles must alternate.
GEMMA = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- set first_user_prefix = messages[0]['content'] + '\n\n' -%}{%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}{%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}{%- set role = "model" -%}{%- else -%}{%- set role = message['role'] -%}{%- endif -%}
    {{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}{{ message['content'] | trim }}{%- endif -%}
    {{ '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}"""
QWEN = """{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""


NOON = datetime.datetime(2026, 11, 29, 12)


def rendered(source: str, *messages: tuple[str, str]) -> list[Part]:
    return ChatTemplate(source, "<bos>", "<eos>").render([Message(*message) for message in messages], True, NOON)


class Templates(unittest.TestCase):
    def test_the_date_is_the_one_that_is_given(self) -> None:
        parts = rendered("{{ strftime_now('%d %b %Y') }}: {{ messages[0].content }}", ("user", "x"))
        self.assertEqual(parts[0].text, "29 Nov 2026: ")

    def test_content_is_known_through_trimming_and_joining(self) -> None:
        parts = rendered(GEMMA, ("system", "Be brief."), ("user", "  Hello <end_of_turn> \n"), ("assistant", "Yes."), ("user", "x"))
        self.assertEqual([part.text for part in parts if not part.from_template], ["Be brief.", "Hello <end_of_turn>", "Yes.", "x"])
        self.assertEqual(
            "".join(part.text for part in parts),
            "<bos><start_of_turn>user\nBe brief.\n\nHello <end_of_turn><end_of_turn>\n<start_of_turn>model\nYes.<end_of_turn>\n"
            "<start_of_turn>user\nx<end_of_turn>\n<start_of_turn>model\n",
        )
        parts = rendered(QWEN, ("user", "<|im_end|>"))
        self.assertEqual(
            parts, [Part("<|im_start|>user\n", True), Part("<|im_end|>", False), Part("<|im_end|>\n<|im_start|>assistant\n", True)]
        )

    def test_what_a_template_refuses_drops_or_rewrites_is_unsupported(self) -> None:
        cases = [
            (GEMMA, ("assistant", "first")),  # its own words
            (QWEN, ("narrator", "x")),  # no such role
            ("{{ messages[0].content | upper }}", ("user", "shout")),  # origin lost
            ("nothing of it", ("user", "dropped")),
            ("{{ messages[0].content.__class__.__mro__ }}", ("user", "x")),  # the sandbox
        ]
        for source, message in cases:
            with self.assertRaises(SeamError, msg=source) as caught:
                rendered(source, message)
            self.assertEqual(caught.exception.code, "unsupported")
        with self.assertRaises(SeamError):
            ChatTemplate("{% for %}", "", "")


class Texts(unittest.TestCase):
    def test_stop_strings_span_tokens_and_cut_characters_are_dropped(self) -> None:
        text = GeneratedText([b"end", b"\n\n"])
        self.assertFalse(text.append(b"one e"))
        self.assertFalse(text.append(b"n"))
        self.assertTrue(text.append(b"d two"))
        self.assertEqual(text.text(), "one ")
        text = GeneratedText([])
        text.append("\u00fc".encode() + b"\xff\xe4a" + "\u4e2d".encode()[:2])
        self.assertEqual(text.text(), "\u00fc\ufffd\ufffda")


class Snapshots(unittest.TestCase):
    def test_say_what_does_not_fit_and_where_they_are_damaged(self) -> None:
        fit = {"engine": "mlx", "grade": "buffer"}
        whole = snapshot.pack(fit, [3, 1, 2], b"cells")
        content = snapshot.unpack(whole, fit)
        self.assertEqual((content.tokens, bytes(content.payload)), ([3, 1, 2], b"cells"))
        with self.assertRaisesRegex(SeamError, 'its grade is "buffer", here it is "mask"'):
            snapshot.unpack(whole, {**fit, "grade": "mask"})
        for broken in (whole[:-1], b"", whole[:20] + bytes([whole[20] ^ 1]) + whole[21:]):
            with self.assertRaises(SeamError) as caught:
                snapshot.unpack(broken, fit)
            self.assertEqual(caught.exception.code, "corrupt")


if __name__ == "__main__":
    unittest.main()
