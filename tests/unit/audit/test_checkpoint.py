"""Checkpoints against C2SP's published examples, and against forgers."""

from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent_gateway.audit.checkpoint import (
    MAX_NOTE_CHARS,
    BadNote,
    Checkpoint,
    Signer,
    Verifier,
    open_note,
    parse_vkey,
)
from agent_gateway.audit.verify import proofs

ORIGIN = Signer("gateway.acme.example", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
SIGNER = ORIGIN.for_log("w0")
ROOT = bytes(range(32))
NOTE = SIGNER.sign(7, ROOT)

# The key and note of Go's golang.org/x/mod/sumdb/note documentation.
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_a_key_and_a_signature_of_another_implementation_hold() -> None:
    verifier = parse_vkey(GO_VKEY)
    assert (verifier.name, verifier.vkey) == ("PeterNeumann", GO_VKEY)
    with pytest.raises(BadNote, match="a checkpoint has an origin, a size and a root"):
        open_note(GO_NOTE, [verifier])  # signed, but no checkpoint
    with pytest.raises(BadNote, match="does not fit the note"):
        open_note(GO_NOTE.replace("answer", "Answer"), [verifier])


def test_a_checkpoint_reads_as_c2sp_says() -> None:
    lines = NOTE.split("\n")
    assert lines[:4] == ["gateway.acme.example/w0", "7", b64encode(ROOT).decode(), ""]
    assert lines[4].startswith("\u2014 gateway.acme.example/w0 ")
    assert lines[5:] == [""]
    assert open_note(NOTE, [SIGNER.verifier]) == Checkpoint("gateway.acme.example/w0", 7, ROOT)


@given(size=st.integers(min_value=0, max_value=2**63), root=st.binary(min_size=32, max_size=32))
def test_what_was_signed_is_what_is_read_here_and_by_the_verifier(size: int, root: bytes) -> None:
    note = SIGNER.sign(size, root)
    assert open_note(note, [SIGNER.verifier]) == Checkpoint(SIGNER.name, size, root)
    assert proofs.open_note(note, [ORIGIN.verifier.vkey]) == (SIGNER.name, size, root)


def test_a_key_comes_back_from_its_text() -> None:
    assert parse_vkey(f" {SIGNER.verifier.vkey}\n") == SIGNER.verifier


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "name",
        "name+c74f20a3",
        "name+c74f20a3+!",
        GO_VKEY.replace("P", "Q", 1),
        GO_VKEY.replace("c7", "c8"),
        GO_VKEY[:-4],
    ],
)
def test_a_damaged_key_is_refused(vkey: str) -> None:
    with pytest.raises(BadNote):
        parse_vkey(vkey)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u00a0b"])
def test_a_name_that_would_break_the_format_is_refused(name: str) -> None:
    with pytest.raises(BadNote, match="is no key name"):
        Verifier(name, bytes(32))


def test_signatures_of_witnesses_are_ignored_and_a_false_one_of_a_known_key_is_not() -> None:
    witness = Signer("witness.example", Ed25519PrivateKey.from_private_bytes(bytes(32)))
    text = Checkpoint(SIGNER.name, 7, ROOT).text
    signature = b64encode(witness.verifier.key_id + witness.key.sign(text.encode())).decode()
    signed = f"{NOTE}\u2014 witness.example {signature}\n"
    assert open_note(signed, [SIGNER.verifier]).size == 7
    assert open_note(signed, [SIGNER.verifier, witness.verifier]).size == 7
    assert proofs.open_note(signed, [SIGNER.verifier.vkey])[1] == 7
    false = b64encode(witness.verifier.key_id + bytes(64)).decode()
    with pytest.raises(BadNote, match=r"the signature of `witness[.]example` does not fit"):
        open_note(f"{NOTE}\u2014 witness.example {false}\n", [SIGNER.verifier, witness.verifier])


def test_a_note_that_no_known_key_signed_is_refused() -> None:
    with pytest.raises(BadNote, match="no known key has signed this note"):
        open_note(NOTE, [ORIGIN.for_log("w1").verifier])
    with pytest.raises(BadNote, match="no known key"):
        open_note(NOTE, [])


def signed(text: str) -> str:
    """Any text, truly signed."""
    signature = b64encode(SIGNER.verifier.key_id + SIGNER.key.sign(text.encode())).decode()
    return f"{text}\n\u2014 {SIGNER.name} {signature}\n"


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n\n",
        NOTE[:-1],
        NOTE.replace("\n\n", "\n"),
        NOTE.replace("\u2014", "-"),
        NOTE + "\u2014 a b c\n",
        NOTE + "\u2014 name AAAA\n",
        NOTE + "\u2014 name !!!!\n",
        NOTE.replace("\n7", "\n7\r"),
        "x" * MAX_NOTE_CHARS + NOTE,
        NOTE + "\u2014 name AAAAAAAA\n" * 17,
        signed("origin\n07\n" + b64encode(ROOT).decode() + "\n"),
        signed("origin\n-7\n" + b64encode(ROOT).decode() + "\n"),
        signed("origin\n7\n" + b64encode(ROOT[:-1]).decode() + "\n"),
        signed("origin\n7\nAB==\n"),
        signed("origin\n7\n"),
        signed("\n7\n" + b64encode(ROOT).decode() + "\n"),
    ],
)
def test_a_malformed_note_is_refused(note: str) -> None:
    with pytest.raises(BadNote):
        open_note(note, [SIGNER.verifier])


@given(position=st.integers(min_value=0, max_value=len(NOTE) - 1), character=st.characters(codec="utf-8"))
def test_a_note_with_one_other_character_is_refused_or_the_same(position: int, character: str) -> None:
    note = NOTE[:position] + character + NOTE[position + 1 :]
    if note != NOTE:
        with pytest.raises(BadNote):
            open_note(note, [SIGNER.verifier])
        with pytest.raises(ValueError):
            proofs.open_note(note, [SIGNER.verifier.vkey])


def test_a_private_key_is_not_in_its_repr() -> None:
    assert repr(SIGNER) == "Signer(name='gateway.acme.example/w0')"
