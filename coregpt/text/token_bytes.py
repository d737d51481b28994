"""What bytes each id of a `tokenizers` JSON stands for.

Two alphabets are known: the one of byte-level BPE, in which every byte is one printable letter, and that of
SentencePiece, with a low line for a space and `<0x0A>` for a byte. Whether the result adds up to a text is checked on
the text itself (`coregpt.text.pieces`), so that a tokenizer that changes letters is noticed.

Source: `bytes_to_unicode` in GPT-2's encoder.py.
"""

import functools
import re
from collections.abc import Mapping
from typing import Any

HEX_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
SPACE = "▁"


@functools.cache
def byte_letters() -> dict[str, int]:
    """Byte by letter: printable bytes stand for themselves, the others for letters from 256 on, in their order."""
    own = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in own]
    return {chr(byte): byte for byte in own} | {chr(256 + place): byte for place, byte in enumerate(others)}


def is_byte_level(tokenizer: Mapping[str, Any]) -> bool:
    """Whether a part of it turns bytes into letters."""
    parts = [tokenizer.get(name) or {} for name in ("pre_tokenizer", "decoder")]
    inner = [each for part in parts for each in (part, *part.get("pretokenizers", ()), *part.get("decoders", ()))]
    return any(each.get("type") == "ByteLevel" for each in inner)


def bytes_by_id(tokenizer: Mapping[str, Any], ids: Mapping[str, int]) -> list[bytes]:
    """By id; empty for ids that are none. `tokenizer` is its JSON, `ids` its vocabulary with added tokens."""
    added = {each["content"] for each in tokenizer.get("added_tokens", ())}
    convert = _of_letters if is_byte_level(tokenizer) else _of_piece
    found = [b""] * (max(ids.values()) + 1)
    for token, id_ in ids.items():
        found[id_] = token.encode() if token in added else convert(token)
    return found


def _of_letters(token: str) -> bytes:
    letters = byte_letters()
    return b"".join(bytes([letters[each]]) if each in letters else each.encode() for each in token)


def _of_piece(token: str) -> bytes:
    match = HEX_BYTE.fullmatch(token)
    return bytes([int(match[1], 16)]) if match else token.replace(SPACE, " ").encode()
