"""Client secrets: never kept, never weak."""

import pytest

from agent_gateway.identity.client_secrets import SecretHash, WeakSecret, hash_secret, new_secret


def test_a_long_secret_gets_a_fast_hash_and_a_short_one_a_slow_one() -> None:
    long, short = new_secret(), "abcdefgh12345678"
    assert not hash_secret(long).is_slow
    assert hash_secret(short).is_slow
    for secret in (long, short):
        kept = hash_secret(secret)
        assert kept.matches(secret)
        assert not kept.matches(secret + "x")
        assert not kept.matches(secret[:-1])
        assert secret not in repr(kept)


def test_equal_short_secrets_have_different_hashes() -> None:
    assert hash_secret("abcdefgh12345678") != hash_secret("abcdefgh12345678")


@pytest.mark.parametrize("secret", ["", "short", "abcdefgh1234567", "a" * 64, "ab" * 32, "abcdefg" * 10, "x1" * 600])
def test_a_weak_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(WeakSecret) as caught:
        hash_secret(secret)
    assert not secret or secret not in str(caught.value)


def test_a_long_secret_of_few_characters_still_gets_the_slow_hash() -> None:
    assert hash_secret("abcdefgh" * 8).is_slow


@pytest.mark.parametrize("secret", ["", "x" * 1025, "\ud800" * 16])
def test_what_cannot_be_a_secret_matches_nothing(secret: str) -> None:
    assert not SecretHash(digest=bytes(32)).matches(secret)
