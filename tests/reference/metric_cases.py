#!/usr/bin/env python3
"""BLEU, chrF, chrF++ and ROUGE of many texts, by sacrebleu and rouge-score: tests/data/metric_cases.json.

With --write the file is written anew; without, it is made anew and compared.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

from fixture_file import keep
from rouge_score import rouge_scorer  # type: ignore[import-untyped]
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

FILE = Path(__file__).resolve().parents[1] / "data" / "metric_cases.json"

PAIRS: dict[str, tuple[str, list[str]]] = {
    "both empty": ("", [""]),
    "no reference given": ("a text", [""]),
    "empty hypothesis": ("", ["the pump failed"]),
    "empty reference": ("the pump failed", [""]),
    "white space only": (" \t\n ", ["\u3000\u2028 "]),
    "white space beside text": ("  the  pump\tfailed\n", ["the pump failed"]),
    "equal": ("The pump failed at 3 bar.", ["The pump failed at 3 bar."]),
    "one word, equal": ("pump", ["pump"]),
    "one word, other": ("pump", ["valve"]),
    "one letter": ("a", ["a"]),
    "two words of two": ("the pump", ["the pump"]),
    "three words of three": ("the pump failed", ["the pump failed"]),
    "letter case": ("THE PUMP FAILED", ["the pump failed"]),
    "nothing in common": ("alpha beta gamma delta", ["one two three four"]),
    "unigrams only": ("d c b a", ["a b c d"]),
    "bigrams only": ("a b x c d y", ["c d z a b w"]),
    "short hypothesis": ("the cat", ["the cat sat on the mat in the hall"]),
    "long hypothesis": ("the cat sat on the mat in the hall", ["the cat"]),
    "repeated words": ("the the the the the the the", ["the cat is on the mat"]),
    "repeated words in both": ("go go go go stop", ["go go stop go go go"]),
    "repeated letters": ("aaaaaaaaaa", ["aaaa"]),
    "two references": ("the cat is here", ["the cat sat there", "a cat is here now"]),
    "reference closer in length": ("a b c d e", ["a b c", "a b c d e f g h", "x y z a b c d"]),
    "references equally close": ("a b c d", ["a b c d e", "a b c"]),
    "equal references": ("a b c d", ["a b x d", "a b x d"]),
    "one of the references empty": ("a b c d", ["", "a b c d"]),
    "first reference better for words": ("alpha beta", ["alpha beta", "alphabeta"]),
    "points and commas": ("It costs 1,234.50, or 1.5.", ["It costs 1,234.50 , or 1.5 ."]),
    "point between letters": ("see a.b and c,d", ["see a . b and c , d"]),
    "point after digit": ("in 2024. and 5, 6", ["in 2024 . and 5 , 6"]),
    "point before digit": ("at .5 and ,5", ["at . 5 and , 5"]),
    "many points": ("wait... what.. no.", ["wait . . . what . . no ."]),
    "points at both ends": (".a.", ["., .a. ,"]),
    "dash after digit": ("1990-2000 and x-y and -5", ["1990 - 2000 and x-y and - 5"]),
    "digits and dashes": ("1-2-3--4", ["1 - 2 - 3 - - 4"]),
    "hyphens": ("state-of-the-art re-entry", ["state of the art re-entry"]),
    "apostrophes": ("it's the board's 'view'", ["its the boards view"]),
    "brackets": ("(hi) [there] {you} <me>", ["( hi ) [ there ] { you } < me >"]),
    "all ASCII signs": ("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", ["! \" # $ % & ' ( ) * + , - . / : ; < = > ? @ [ \\ ] ^ _ ` { | } ~"]),
    "signs only": ("?!", ["!?"]),
    "markdown": ("**Cause:** `seal` failed\n- one\n- two", ["Cause: seal failed; one, two"]),
    "entities": ("R&amp;D said &quot;a &lt; b&quot; &gt; c", ['R&D said "a < b" > c']),
    "entity made by an entity": ("&amp;lt; and &amp;amp;", ["< and &"]),
    "skipped": ("the <skipped>pump", ["the pump"]),
    "broken line": ("the pro-\nduction line", ["the production line"]),
    "dash at the end of the text": ("a line-\n", ["a line-"]),
    "lines": ("first line\nsecond line", ["first line second line"]),
    "carriage return": ("first\r\nsecond", ["first second"]),
    "separators U+001C to U+001F": ("a\x1cb\x1dc\x1ed\x1fe", ["a b c d e"]),
    "every white space": ("x".join(filter(str.isspace, map(chr, range(0x3001)))), ["x x x", "x" * 28]),
    "next line U+0085": ("a\x85b c", ["a b c"]),
    "no-break space": ("3\u00a0bar at 5\u202fm", ["3 bar at 5 m"]),
    "zero width space is none": ("a\u200bb", ["a b"]),
    "German": ("Die Gr\u00f6\u00dfe \u00fcbersteigt 5 \u00b5m.", ["Die Gro\u00dfe \u00fcbersteigt 5 \u03bcm."]),
    "French": ("Le d\u00e9bit est tomb\u00e9 \u00e0 l'\u00e9t\u00e9.", ["Le debit est tombe a l'ete."]),
    "combining accents": ("cafe\u0301 cre\u0300me", ["caf\u00e9 cr\u00e8me"]),
    "Greek": ("\u03b7 \u03b1\u03bd\u03c4\u03bb\u03af\u03b1 \u03c3\u03c4\u03b1\u03bc\u03ac\u03c4\u03b7\u03c3\u03b5", ["\u03b7 \u03b1\u03bd\u03c4\u03bb\u03af\u03b1 \u03b1\u03c0\u03ad\u03c4\u03c5\u03c7\u03b5"]),
    "Russian": ("\u043d\u0430\u0441\u043e\u0441 \u043e\u0442\u043a\u0430\u0437\u0430\u043b.", ["\u043d\u0430\u0441\u043e\u0441 \u0441\u043b\u043e\u043c\u0430\u043b\u0441\u044f."]),
    "Chinese": ("\u6c34\u6cf5\u5728\u4e09\u5df4\u65f6\u5931\u6548\u3002", ["\u6c34\u6cf5\u5728\u56db\u5df4\u5931\u6548\u3002"]),
    "Japanese with wide space": ("\u30dd\u30f3\u30d7\u3000\u6545\u969c", ["\u30dd\u30f3\u30d7 \u6545\u969c \u3057\u305f"]),
    "Arabic": ("\u062a\u0639\u0637\u0644\u062a \u0627\u0644\u0645\u0636\u062e\u0629", ["\u062a\u0648\u0642\u0641\u062a \u0627\u0644\u0645\u0636\u062e\u0629"]),
    "emoji": ("done \U0001f600\U0001f44d\U0001f3fd!", ["done \U0001f600 \U0001f44d !"]),
    "typographic quotes": ("\u201cit\u2019s\u201d \u2014 so", ["\"it's\" - so"]),
    "full width digits": ("\uff11\uff12\uff13.5", ["123.5"]),
    "Arabic digits around a point": ("\u0661.\u0662", ["\u0661 . \u0662"]),
    "Kelvin sign": ("5 \u212a and \u212aelvin", ["5 k and kelvin"]),
    "dotted capital I": ("\u0130stanbul", ["i stanbul"]),
    "sharp s and ligature": ("STRASSE \ufb01ne", ["stra\u00dfe fine"]),
    "numbers apart from letters": ("valve7 b12 3x", ["valve 7 b 12 3 x"]),
    "underscores": ("snake_case_name", ["snake case name"]),
    "code": ("for (int i = 0; i < n; ++i) x[i] += 1.0f;", ["for (int j = 0; j < n; j++) x[j] += 1.f;"]),
    "URL": ("see https://example.org/a-b?c=1&d=2.", ["see http://example.org/a_b?c=1"]),
    "word order": ("the board asked the engineer for the report", ["for the report the board asked the engineer"]),
    "very long word": ("x" * 300, ["x" * 200 + "y" * 100]),
}

WORDS = ["the", "a", "pump", "valve", "board", "report", "failed", "of", "at", "cost", "budget", "3", "1,200", "12.5", "bar", "%", "risk", "seal"]
WORDS += ["said,", "\u00dcber", "na\u00efve", "(see)", "it's", "Q3", "-", "&", "end."]
CORPORA = {
    "one segment": ["equal"],
    "one empty segment": ["both empty"],
    "words short of four": ["one word, equal", "two words of two", "three words of three"],
    "empty among others": ["both empty", "German", "empty hypothesis", "word order"],
    "no match of order four": ["bigrams only", "unigrams only"],
    "nothing in common": ["nothing in common", "one word, other"],
    "several references": ["two references", "reference closer in length", "references equally close"],
    "all": list(PAIRS),
}


def sentences(count: int) -> dict[str, tuple[str, list[str]]]:
    """References of random words, and hypotheses that differ from the first by a few edits."""
    draw = random.Random(20260601)
    pairs: dict[str, tuple[str, list[str]]] = {}
    for number in range(count):
        reference = [draw.choice(WORDS) for _ in range(draw.randint(4, 40))]
        changed = list(reference)
        for _ in range(draw.randint(0, 1 + len(reference) // 3)):
            at = draw.randrange(len(changed) + 1)
            changed[at : at + draw.randint(0, 2)] = [draw.choice(WORDS) for _ in range(draw.randint(0, 2))]
        others = [" ".join(draw.choice(WORDS) for _ in range(draw.randint(1, 30))) for _ in range(draw.randint(0, 2))]
        pairs[f"random {number}"] = (" ".join(changed), [" ".join(reference), *others])
    return pairs


def streams(references: list[list[str]]) -> list[list[str | None]]:
    """The first references of all segments, the second ones, and so on, as sacrebleu wants them."""
    return [[refs[i] if i < len(refs) else None for refs in references] for i in range(max(map(len, references)))]


def bleu(hypotheses: list[str], references: list[list[str]], sentence: bool) -> dict[str, Any]:
    metric: Any = BLEU(effective_order=sentence)
    score = metric.sentence_score(hypotheses[0], references[0]) if sentence else metric.corpus_score(hypotheses, streams(references))
    return {"score": score.score, "precisions": score.precisions, "brevity_penalty": score.bp, "tokens": [score.sys_len, score.ref_len]}


def chrf(hypotheses: list[str], references: list[list[str]], word_order: int, sentence: bool) -> float:
    metric: Any = CHRF(word_order=word_order)
    score = metric.sentence_score(hypotheses[0], references[0]) if sentence else metric.corpus_score(hypotheses, streams(references))
    return float(score.score)


def segments(pairs: dict[str, tuple[str, list[str]]]) -> list[dict[str, Any]]:
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)
    cases = []
    for name, (hypothesis, references) in pairs.items():
        rouge = scorer.score(references[0], hypothesis)
        cases.append(
            {
                "name": name,
                "hypothesis": hypothesis,
                "references": references,
                "bleu": bleu([hypothesis], [references], sentence=True),
                "chrf": chrf([hypothesis], [references], 0, sentence=True),
                "chrf++": chrf([hypothesis], [references], 2, sentence=True),
                "rouge": {key: [float(part) for part in score] for key, score in rouge.items()},
            }
        )
    return cases


def corpora(pairs: dict[str, tuple[str, list[str]]]) -> list[dict[str, Any]]:
    cases = []
    for name, members in (CORPORA | {"random": [n for n in pairs if n.startswith("random")]}).items():
        hypotheses = [pairs[member][0] for member in members]
        references = [pairs[member][1] for member in members]
        cases.append(
            {
                "name": name,
                "members": members,
                "bleu": bleu(hypotheses, references, sentence=False),
                "chrf": chrf(hypotheses, references, 0, sentence=False),
                "chrf++": chrf(hypotheses, references, 2, sentence=False),
            }
        )
    return cases


def make() -> dict[str, list[dict[str, Any]]]:
    pairs = PAIRS | sentences(22)
    return {"cases": segments(pairs), "corpora": corpora(pairs)}


if __name__ == "__main__":
    sys.exit(keep(FILE, make(), write="--write" in sys.argv))
