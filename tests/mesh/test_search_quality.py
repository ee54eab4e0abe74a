"""How well tools are found by words, on the small descriptions: the report on all of them is `make mesh-report`."""

import pytest

from context_mesh.search.index import Index
from demos.search_report import MIN_RECALL, SMALL, entry_of, held_out, main, scored, tools_below


@pytest.mark.requirement("mesh.search-finds")
def test_a_summary_finds_its_tool_by_names_and_paths_alone() -> None:
    found = tools_below([SMALL])
    index = Index(entry_of(one, is_held_out=True) for one in found)
    score = scored(index, held_out(found, names_source=False))
    assert score.count > 50
    assert score.at[1] >= MIN_RECALL


def test_the_report_tells_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "held out, API named" in capsys.readouterr().out
