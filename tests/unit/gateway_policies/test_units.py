import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_policies.units import MAX_AMOUNT, amount_text, micros_from


@pytest.mark.parametrize(
    ("text", "micros"),
    [("0", 0), ("12", 12_000_000), ("12.5", 12_500_000), ("0.000001", 1), ("9007199254.740991", MAX_AMOUNT)],
)
def test_money_is_read_exactly(text: str, micros: int) -> None:
    assert micros_from(text) == micros


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1.",
        ".5",
        "-1",
        "+1",
        "1e3",
        "1,000",
        "1_000",
        " 1",
        "NaN",
        "inf",
        "١",
        "²",
        "1.²",
        "0.0000001",
        "9007199254.740992",
        "9" * 5000,
    ],
)
def test_what_is_no_exact_amount_of_money_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no amount|decimals|is more than") as caught:
        micros_from(text)
    assert len(str(caught.value)) < 120


@given(st.integers(0, MAX_AMOUNT))
def test_every_amount_can_be_written_and_read_back(amount: int) -> None:
    assert micros_from(f"{amount // 1_000_000}.{amount % 1_000_000:06}") == amount


def test_amounts_are_told_in_their_unit() -> None:
    assert [amount_text(1, "calls"), amount_text(20, "calls"), amount_text(1_250_000, "micros")] == [
        "1 call",
        "20 calls",
        "1250000 micros",
    ]
