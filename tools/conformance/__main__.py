"""python -m tools.conformance COMMAND [RULE ...]: test a worker program; exit code 1 if it breaks a rule."""

import asyncio
import sys
import tempfile
from pathlib import Path

from tools.conformance.played import BrokenRuleError, PlayedOrchestrator
from tools.conformance.program import Program
from tools.conformance.rules import ADVICE, LEASE_TTL_SECONDS, RULES, Rule

AT_ONCE = 4
MAX_LOG_CHARS = 2_000


async def check(rule: Rule, command: str, log: Path) -> list[str]:
    """Run one rule with a new process of the worker, and return the broken rules."""
    played = PlayedOrchestrator(LEASE_TTL_SECONDS)
    program = await Program.start(command, await played.start(), log)
    try:
        await rule(played, program)
    except BrokenRuleError as broken:
        played.broken.append(broken)
        if program.has_ended:
            played.broken.append(BrokenRuleError("the program ended before it was asked to"))
    finally:
        await program.kill()
        await played.stop()
    return list(dict.fromkeys(map(str, played.broken)))


async def main(command: str, names: list[str]) -> int:
    """Check the rules with these names, or all, some at a time. Print which are kept and which are broken."""
    rules = [each for each in RULES if not names or each.__name__ in names]
    some = asyncio.Semaphore(AT_ONCE)

    async def check_in_turn(rule: Rule, log: Path) -> list[str]:
        async with some:
            return await check(rule, command, log)

    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder) / rule.__name__ for rule in rules]
        checks = [asyncio.create_task(check_in_turn(*each)) for each in zip(rules, logs, strict=True)]
        for rule, log, broken in zip(rules, logs, checks, strict=True):
            failed += _print_result(rule, await broken, log)
    return min(failed, 1)


def _print_result(rule: Rule, broken: list[str], log: Path) -> bool:
    is_advice = rule in ADVICE
    sign = "✓" if not broken else "○" if is_advice else "✗"
    print(f"{sign} {rule.__name__.replace('_', ' ')}", flush=True)
    for line in broken:
        print(f"    {line}")
    if is_advice:
        return False
    if broken and (printed := log.read_text(errors="replace")[-MAX_LOG_CHARS:]):
        print("    the program printed:\n      " + printed.replace("\n", "\n      "))
    return bool(broken)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit('name the worker to test: make conformance WORKER="command"')
    try:
        sys.exit(asyncio.run(main(sys.argv[1], sys.argv[2:])))
    except OSError as error:
        sys.exit(f"the worker `{sys.argv[1]}` cannot be started: {error}")
