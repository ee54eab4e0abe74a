"""The audit keys on disk: made once, private, never replaced."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent_gateway.audit.keys import sealing_secret, signing_key
from gateway_policies.refusal import Unavailable


def test_a_key_is_made_once_and_then_read(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "audit.pem"
    first = signing_key(path).private_bytes_raw()
    assert signing_key(path).private_bytes_raw() == first
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert [entry.name for entry in path.parent.iterdir()] == ["audit.pem"]


def test_a_secret_is_made_once_and_then_read(tmp_path: Path) -> None:
    path = tmp_path / "seal.key"
    first = sealing_secret(path)
    assert (len(first), sealing_secret(path)) == (32, first)
    assert sealing_secret(tmp_path / "other.key") != first


def test_workers_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    path = tmp_path / "audit.pem"
    with ThreadPoolExecutor(16) as pool:
        keys = list(pool.map(signing_key, [path] * 32))
    assert len({key.private_bytes_raw() for key in keys}) == 1


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "audit.pem"
    signing_key(path)
    path.chmod(0o640)
    with pytest.raises(Unavailable) as refused:
        signing_key(path)
    assert refused.value.message == (
        "the audit key file `audit.pem` cannot be used: others than its owner may read it (chmod 600)"
    )


def test_a_file_with_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "audit.pem"
    path.write_bytes(b"something else")
    path.chmod(0o600)
    with pytest.raises(Unavailable, match="it holds no private key in PEM form"):
        signing_key(path)
    with pytest.raises(Unavailable, match="it does not hold 32 bytes"):
        sealing_secret(path)
    assert path.read_bytes() == b"something else"


def test_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "audit.pem"
    other = generate_private_key(SECP256R1())
    path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    with pytest.raises(Unavailable, match="it holds a key, but not an Ed25519 one"):
        signing_key(path)


def test_a_place_where_nothing_can_be_written_is_said_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable) as refused:
        signing_key(tmp_path / "file" / "audit.pem")
    assert refused.value.message == "the audit key file `audit.pem` cannot be used: Not a directory"
