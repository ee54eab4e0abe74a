"""The acts about calls: who sees what, what is stopped and why, money that runs out, servers that die."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import psutil

from demos import processes
from demos.agents import Agent, Answer, Person, connected
from demos.processes import Running
from demos.stage import Stage
from demos.story import Story
from demos.tap import Tap

PARALLEL = 50
PURSE = 20  # calls, as `figures-purse` in gateway.yaml says
BACK_S = 30.0  # a server that returned is listed again within this time
LOOK_EVERY_S = 0.25
WORKBOOK = "figures.xlsx"

T = TypeVar("T")


@dataclass(slots=True)
class Scene:
    """What the acts share. `denied` is a call whose denial is looked at later, `allowed` one that passed."""

    story: Story
    stage: Stage
    tap: Tap
    gateway: Running
    excel: Running
    denied: Answer = field(default_factory=Answer)


@asynccontextmanager
async def scene(story: Story, stage: Stage) -> AsyncGenerator[Scene]:
    """Start the programs; a tap stands between the gateway and the Excel server."""
    tap = Tap(stage.ports.excel)
    await tap.start(stage.ports.tap)
    try:
        async with processes.excel(stage) as excel, processes.gateway(stage) as gateway:
            yield Scene(story, stage, tap, gateway, excel)
    finally:
        await tap.stop()


async def play(scene: Scene) -> None:
    """Play every act about calls."""
    async with connected(scene.stage, "planner") as planner, connected(scene.stage, "releaser") as releaser:
        _the_way_in(scene.story, planner)
        await _lists(scene, planner, releaser)
        await _allowed(scene, planner, releaser)
        await _denied_by_policy(scene, releaser)
        await _denied_for_arguments(scene, planner)
        await _hidden_is_unknown(scene.story, planner)
        await _a_person_is_asked(scene, releaser)
        await _prompts_and_resources(scene.story, planner, releaser)
        await _purse(scene, planner)
        await _a_child_dies(scene, planner)
        await _a_server_stops(scene, planner)


def _the_way_in(story: Story, planner: Agent) -> None:
    story.step("An agent finds its way in, knowing the endpoint, its name and its secret")
    story.show(planner.trail)
    story.check("it began with a 401 that says where to go", holds="401" in planner.trail[0], seen=planner.trail)
    paths = " ".join(planner.trail)
    told = all(word in paths for word in ("/.well-known/oauth-protected-resource/mcp", "/oauth/token"))
    story.check("the SDK followed it to the token service by itself", holds=told, seen=planner.trail)
    story.check("both speak MCP 2026-07-28", holds=planner.version == "2026-07-28", seen=planner.version)


async def _lists(scene: Scene, planner: Agent, releaser: Agent) -> None:
    story = scene.story
    story.step("Each agent sees only what it may call")
    seen, other = await planner.tools(), await releaser.tools()
    story.show(("planner:  " + ", ".join(seen.names), f"releaser: {len(other.names)} tools of the same three servers"))
    story.check("planner, in research, sees ten tools that only read", holds=len(seen.names) == 10, seen=seen.names)
    changes = {"git__git_create_branch", "excel__write_range"}
    story.check("releaser, in platform, sees those that change things", holds=changes < set(other.names), seen=other)
    story.check("planner sees none of these", holds=not changes & set(seen.names), seen=seen.names)
    dangers = {"git__git_reset", "excel__delete_sheet"}
    nobody = not dangers & ({*seen.names} | {*other.names})
    story.check("what destroys is listed for neither", holds=nobody, seen=dangers)
    async with connected(scene.stage, "planner", mode="legacy") as old:
        listed = await old.tools()
        story.check(f"a client of the era before ({old.version}) sees the same", holds=listed == seen, seen=listed)
    async with connected(scene.stage, "planner", path="/mcp/reading") as small:
        listed = await small.tools()
        story.check("the toolset `reading` is a smaller endpoint", holds=len(listed.names) == 6, seen=listed.names)


async def _allowed(scene: Scene, planner: Agent, releaser: Agent) -> None:
    story = scene.story
    story.step("Allowed calls reach real servers")
    paris = await planner.call("time__get_current_time", timezone="Europe/Paris")
    story.show(" ".join(paris.text.split()))
    story.check("planner asks mcp-server-time for the time", holds=paris.is_ok and "Paris" in paris.text, seen=paris)
    rows = [["month", "calls"], ["October", 4100], ["November", 5300]]
    made = await releaser.call("excel__create_workbook", path=WORKBOOK)
    filled = await releaser.call("excel__write_range", path=WORKBOOK, sheet="Sheet1", at="A1", rows=rows)
    both = made.is_ok and filled.is_ok
    story.check("releaser fills a workbook at excel-mcp-server over HTTP", holds=both, seen=(made, filled))
    story.check(
        "the file is there", holds=(scene.stage.workbooks / WORKBOOK).stat().st_size > 0, seen=scene.stage.workbooks
    )


async def _denied_by_policy(scene: Scene, releaser: Agent) -> None:
    story, repository = scene.story, str(scene.stage.repository)
    story.step("A policy says no, and says why")
    no = await releaser.call("git__git_create_branch", repo_path=repository, branch_name="hotfix")
    _show(story, no)
    denied = no.code == "forbidden" and "release/*" in no.reason and "release/" in no.hint
    story.check("branch `hotfix` is denied with a reason and what would satisfy it", holds=denied, seen=no)
    yes = await releaser.call("git__git_create_branch", repo_path=repository, branch_name="release/demo")
    made = yes.is_ok and (scene.stage.repository / ".git" / "refs" / "heads" / "release" / "demo").exists()
    story.check("branch `release/demo` is made", holds=made, seen=yes)


async def _denied_for_arguments(scene: Scene, planner: Agent) -> None:
    story, repository = scene.story, str(scene.stage.repository)
    story.step("The same tool, denied only for certain arguments")
    few = await planner.call("git__git_log", repo_path=repository, max_count=5)
    many = await planner.call("git__git_log", repo_path=repository, max_count=50)
    _show(story, many)
    story.check("5 commits of this repository are read", holds=few.is_ok and "Commit:" in few.text, seen=few)
    story.check("50 are denied", holds=many.code == "forbidden" and "10 commits" in many.reason, seen=many)
    scene.denied = many


async def _hidden_is_unknown(story: Story, planner: Agent) -> None:
    story.step("What is hidden does not exist")
    hidden, unknown = await planner.call("git__git_reset"), await planner.call("git__no_such_tool")
    story.show((hidden.reason, unknown.reason))
    same = hidden.reason.replace("git_reset", "no_such_tool") == unknown.reason
    same = same and (hidden.code, hidden.hint, hidden.call) == (unknown.code, unknown.hint, unknown.call)
    refused = hidden.code == "not_found"
    story.check("a hidden tool and an unknown one get the same answer", holds=same and refused, seen=(hidden, unknown))


async def _a_person_is_asked(scene: Scene, releaser: Agent) -> None:
    story, title = scene.story, "Relativity"
    story.step("A server asks the person behind the agent")
    for mode in ("auto", "legacy"):
        person = Person("Ana")
        async with connected(scene.stage, "releaser", mode=mode, person=person) as asking:
            lent = await asking.call("library__borrow", title=title)
            story.show(f"{asking.version}: {' '.join(person.asked)} → {lent.text}")
            answered = lent.is_ok and "lent to Ana" in lent.text and person.asked == ["In whose name?"]
            story.check(
                f"in {asking.version} the question came through and the answer went back", holds=answered, seen=lent
            )
    nobody = await releaser.call("library__borrow", title=title)
    _show(story, nobody)
    told = nobody.code == "-32021"
    story.check("a client that declares nothing is told what it lacks, and is not asked", holds=told, seen=nobody)


async def _prompts_and_resources(story: Story, planner: Agent, releaser: Agent) -> None:
    story.step("Prompts and resources are governed like tools")
    prompt = await releaser.prompt("library__review", title="Relativity")
    shelf = await releaser.read("library://shelf")
    story.show((prompt.text, shelf.text.replace("\n", ", ")))
    story.check("releaser gets a prompt", holds=prompt.is_ok and "Relativity" in prompt.text, seen=prompt)
    story.check("releaser reads a resource", holds=shelf.is_ok and "Silent Spring" in shelf.text, seen=shelf)
    hidden = [await planner.prompt("library__review", title="x"), await planner.read("library://shelf")]
    unknown = [await planner.prompt("library__nothing", title="x"), await planner.read("library://nothing")]
    refused = all(not one.is_ok and not one.text for one in (*hidden, *unknown))
    alike = [one.code for one in hidden] == [one.code for one in unknown]
    story.check("for planner there is neither, nor a sign of them", holds=refused and alike, seen=(hidden, unknown))


async def _purse(scene: Scene, planner: Agent) -> None:
    story = scene.story
    story.step(f"A budget of {PURSE} calls, and {PARALLEL} calls at once")
    before = scene.tap.calls
    reads = (planner.call("excel__read_range", path=WORKBOOK, sheet="Sheet1") for _ in range(PARALLEL))
    answers = await asyncio.gather(*reads)
    served = [one for one in answers if one.is_ok]
    refused = [one for one in answers if not one.is_ok]
    reached = scene.tap.calls - before
    story.check(f"{PURSE} were answered", holds=len(served) == PURSE, seen=len(served))
    _show(story, refused[0])
    others = {one.code for one in refused}
    story.check(f"{len(refused)} were refused for the budget", holds=others == {"over_budget"}, seen=others)
    story.check(f"the tap before the server counted {reached}", holds=reached == PURSE, seen=reached)


async def _a_child_dies(scene: Scene, planner: Agent) -> None:
    story, repository = scene.story, str(scene.stage.repository)
    story.step("A server is killed, and nobody else notices")
    before = _children(scene.gateway, "mcp-server-git")
    for child in before:
        child.kill()
    story.say(f"kill -9 of mcp-server-git, process {', '.join(str(child.pid) for child in before)}")
    calls = (planner.call("time__get_current_time", timezone="UTC") for _ in range(20))
    answers = await asyncio.gather(*calls)
    story.check("20 calls to mcp-server-time are answered", holds=all(one.is_ok for one in answers), seen=answers)
    again = await _eventually(
        lambda: planner.call("git__git_log", repo_path=repository, max_count=1), lambda one: one.is_ok
    )
    after = {child.pid for child in _children(scene.gateway, "mcp-server-git")}
    fresh = bool(after) and not after & {child.pid for child in before}
    story.check("mcp-server-git is back as another process", holds=fresh and again.is_ok, seen=after)


async def _a_server_stops(scene: Scene, planner: Agent) -> None:
    story, stage = scene.story, scene.stage
    story.step("A server is gone for good, and the list says so")
    await scene.tap.stop()
    await scene.excel.stop()
    lost: list[Answer] = []
    async with asyncio.timeout(BACK_S):
        while not (short := await planner.tools()).degraded:
            lost.append(await planner.call("excel__list_workbooks"))
    refused = all(one.code.startswith("upstream_") for one in lost)
    story.check("calls to it are refused, not left hanging", holds=refused, seen=lost)
    story.show(f"degraded: {short.degraded}")
    left = {name.split("__")[0] for name in short.names}
    story.check("the list is shorter and says that `excel` is missing", holds=left == {"git", "time"}, seen=short)
    async with processes.excel(stage):
        await scene.tap.start(stage.ports.tap)
        full = await _eventually(planner.tools, lambda listed: not listed.degraded)
        story.check("started again, it is listed again by itself", holds=len(full.names) == 10, seen=full)


async def _eventually(ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool]) -> T:
    """Ask again and again until the answer will do; raises `TimeoutError`."""
    async with asyncio.timeout(BACK_S):
        while True:
            answer = await ask()
            if holds(answer):
                return answer
            await asyncio.sleep(LOOK_EVERY_S)


def _children(gateway: Running, program: str) -> list[psutil.Process]:
    return [child for child in gateway.children() if any(program in word for word in child.cmdline())]


def _show(story: Story, refusal: Answer) -> None:
    story.show((f"{refusal.code}: {refusal.reason}", *([f"hint: {refusal.hint}"] if refusal.hint else ())))
