"""Texts from a description, made short and plain for a model.

A description is somebody else's text in our prompt: markup goes, what hides or reorders a line goes, and
what reads like an order to a model is told, not judged.
"""

import html
import re
import unicodedata
from functools import lru_cache
from typing import Final

MAX_TOOL_CHARS: Final = 300
MAX_FIELD_CHARS: Final = 160
MAX_READ_CHARS: Final = 4_000  # of any text; what stands behind is not read

_FENCE: Final = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_COMMENT: Final = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_BREAK: Final = re.compile(r"<\s*(?:br|p|/p|li|div|/div|h[1-6])\b[^<>]{0,200}>", re.IGNORECASE)
_TAG: Final = re.compile(
    r"</?(?:a|abbr|article|b|blockquote|br|caption|center|code|col|dd|del|details|div|dl|dt|em|figure|font|h[1-6]|hr|i|"
    r"img|ins|kbd|label|li|mark|ol|p|pre|q|s|samp|script|section|small|span|strike|strong|style|sub|summary|sup|table|"
    r"tbody|td|tfoot|th|thead|tr|tt|u|ul|var)\b[^<>]{0,300}>",
    re.IGNORECASE,
)
_LINK: Final = re.compile(r"!?\[([^\[\]]{0,300})\]\([^()\s]{0,500}(?:\s[^()]{0,100})?\)")
_REFERENCE: Final = re.compile(r"\[([^\[\]]{1,300})\]\[[^\[\]]{0,100}\]")
_MARK: Final = re.compile(r"^[ \t]*(?:#{1,6}|[*+-]|>|\d+\.)[ \t]+|[*_]{2,}|`+|^[ \t]*[-=]{3,}[ \t]*$", re.MULTILINE)
_RULED: Final = re.compile(r"^\s*\|.*$", re.MULTILINE)
_PARAGRAPH: Final = re.compile(r"\n\s*\n")
_SENTENCE: Final = re.compile(
    r"(?<!\be\.g)(?<!\bi\.e)(?<!\betc)(?<!\bvs)(?<!\bcf)(?<!\bNo)[.!?](?=\s+[\"'(\[]?[A-Z0-9])"
)
_ORDER: Final = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b[^.]{0,30}\b(?:instructions?|prompts?|rules|guidelines|directions)\b"
    r"|\bsystem prompt\b|</?(?:system|assistant|important|instructions?)>"
    r"|\bdo not (?:tell|inform|mention|reveal)\b[^.]{0,40}\buser\b"
    r"|\b(?:before|after) (?:using|calling) (?:this|any) tool\b|\bread (?:the )?file\b[^.]{0,60}\b(?:ssh|env|secret)",
    re.IGNORECASE,
)


def suspicion(text: str) -> str:
    """Return why a text should be read by a person before a model reads it, or an empty string."""
    if any(_hides(char) and char not in "\n\r\t" for char in text[:MAX_READ_CHARS]):
        return "the text holds invisible characters"
    if _ORDER.search(text[:MAX_READ_CHARS]):
        return "the text reads like an order to a model"
    return ""


@lru_cache(maxsize=50_000)
def first_sentence(text: str, limit: int) -> str:
    """Return the first sentence of a text in plain words, at most `limit` characters, or an empty string."""
    return cut(_first(plain(text)), limit)


def plain(text: str) -> str:
    """Return a text without markup, on one line; an empty string when there are no words in it."""
    text = text[:MAX_READ_CHARS]
    if "<" in text or "&" in text:
        text = html.unescape(_TAG.sub("", _BREAK.sub("\n\n", _COMMENT.sub("", text))))
        text = _TAG.sub("", text)
    text = _FENCE.sub("", text)
    text = _MARK.sub("", _RULED.sub("", _REFERENCE.sub(r"\1", _LINK.sub(r"\1", text))))
    paragraphs = [" ".join(part.split()) for part in _PARAGRAPH.split(text)]
    whole = next((part for part in paragraphs if any(char.isalnum() for char in part)), "")
    return "".join(char for char in whole if not _hides(char)).strip()


def cut(text: str, limit: int) -> str:
    """Return a text of at most `limit` characters, cut at a word where that is near."""
    if len(text) <= limit:
        return text
    short = text[: limit - 1]
    space = short.rfind(" ")
    return (short[:space] if space > limit // 2 else short).rstrip(" ,;:") + "…"


def _first(text: str) -> str:
    end = _SENTENCE.search(text)
    return text[: end.end()] if end else text


def _hides(char: str) -> bool:
    return not " " <= char <= "~" and unicodedata.category(char) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
