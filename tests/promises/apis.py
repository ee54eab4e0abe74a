"""What holds of APIs that became tools."""

from typing import Final

from promises.requirement import Requirement

PROMISES: Final[dict[str, Requirement]] = {
    "mesh.tools-are-sound": Requirement(
        "issue 5, 2",
        "tools have distinct names, valid whole schemas and no credential as an argument, the same at each import",
    ),
    "mesh.arazzo": Requirement(
        "issue 5, 2",
        "an Arazzo workflow becomes one composite tool, each of whose steps is decided, paid and recorded for itself",
    ),
    "mesh.tasks": Requirement(
        "issue 5, 3",
        "work that an API accepts is a task of its caller, followed and cancelled on the API's origin only",
    ),
    "mesh.proposals": Requirement(
        "issue 5, 5", "what a scan finds waits for a word on it, is proposed once, and goes live by that word alone"
    ),
    "mesh.refetch": Requirement(
        "issue 5, 4", "a description is fetched again by itself; what might break is held, and waits where pins do"
    ),
    "mesh.canary": Requirement(
        "issue 5, 4",
        "a held version is tried on named callers, each caller sees one of the two, and both ways back are exact",
    ),
    "mesh.search-by-meaning": Requirement(
        "issue 5, 6", "embeddings of a server find beside words, and a search without them is as good as words are"
    ),
    "mesh.code-mode": Requirement(
        "issue 5, 6", "code composes calls in a sandbox with bounds, and may no more than its caller, call by call"
    ),
    "mesh.bombs": Requirement(
        "issue 5, Bad input", "hostile descriptions cost bounded time and memory, and run nothing"
    ),
    "mesh.drift-is-classed": Requirement(
        "issue 5, 4",
        "a changed operation is classed quiet, notify, hold or withdraw, and a held one serves what was approved",
    ),
    "mesh.wire-table": Requirement(
        "issue 5, 3", "each of the 74 calls of the wire table is exactly the bytes that the specifications want"
    ),
    "mesh.path-stays": Requirement(
        "issue 5, bad input", "no argument changes which segments a path has, however often it is encoded"
    ),
    "mesh.header-injection": Requirement(
        "issue 5, bad input", "no argument ends a header, or sets one that is the gateway's own"
    ),
    "mesh.calls-an-api": Requirement(
        "issue 5, 3", "a call of a generated tool is one HTTP request at the registered API"
    ),
    "mesh.credentials": Requirement(
        "issue 5, 3",
        "an operation's security, alternatives and all, is met by the gateway's own credentials or not at all",
    ),
    "mesh.waits-for-work": Requirement(
        "issue 5, 3", "work that an API accepted (202) is waited for where that is wanted"
    ),
    "mesh.search-knows-its-caller": Requirement(
        "issue 5, 6",
        "a search finds only what its caller may see, and what it may not see changes nothing in the answer",
    ),
    "mesh.discovery-proposes": Requirement(
        "issue 5, 5", "what is found is proposed, with owner and doubts, and nothing of a recording's values is in it"
    ),
    "mesh.sources-stay-inside": Requirement(
        "issue 5, 1",
        "a description is read from where the operator says, within bounds, and from nowhere that it refers to",
    ),
    "mesh.imports-are-pinned": Requirement("issue 5, 4", "an import that was changed after it was kept is not served"),
    "mesh.tools-are-governed": Requirement(
        "issue 5, 4", "an API's operation is a tool like any other: listed if callable, decided, budgeted and recorded"
    ),
    "mesh.arguments-are-checked": Requirement(
        "issue 5, 3", "arguments that do not fit a tool's schema are refused before anything is sent"
    ),
    "mesh.nothing-before-approval": Requirement("issue 5, 5", "no operation is served before somebody has approved it"),
    "mesh.held-tools-keep-their-contract": Requirement(
        "issue 5, 4", "whatever an API says later, an approved tool is served as it was approved"
    ),
    "mesh.compact-calls-are-calls": Requirement(
        "issue 5, 6", "a call through `call_tool` is decided, budgeted, checked and recorded as the tool that it names"
    ),
    "mesh.lists-have-a-price": Requirement(
        "issue 5, 6",
        "what a list costs a caller is measured, and above a limit the endpoint is compact for that caller",
    ),
    "mesh.search-finds": Requirement(
        "issue 5, 6", "of held-out summaries, 83 % find their tool among five by names and paths alone"
    ),
    "mesh.answers-are-kept-apart": Requirement(
        "issue 5, 6", "the handle of a cut answer serves its owner alone, for a while, within bounds"
    ),
    "mesh.binary-answers": Requirement(
        "issue 5, 3", "a file that an API answers with reaches the caller byte for byte"
    ),
    "mesh.no-upstream-urls": Requirement("issue 5, 3", "no host of an API is told in an answer's location or redirect"),
    "mesh.useful-errors": Requirement(
        "issue 5, 3", "an API's failure is told by status, its own words and what to try"
    ),
    "mesh.answers-fit": Requirement(
        "issue 5, 3", "a shown answer fits its bound, and every cut is told with the way on"
    ),
    "mesh.servers-pinned": Requirement(
        "issue 5, 3", "an operation's own server is used only on the registered origin, or where an operator says so"
    ),
}
