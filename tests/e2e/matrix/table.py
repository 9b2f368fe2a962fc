"""The README's table of what works with what, made from the matrix: `python -m tests.e2e.matrix.table` prints it, with `--write` it is
put into the README between its marks."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from tests.e2e.matrix.pairs import FEATURES, GAPS, PROVIDERS, SPEAKERS, fits

README = Path(__file__).parents[3] / "README.md"
BEGIN, END = "<!-- matrix: python -m tests.e2e.matrix.table --write -->\n", "<!-- end of matrix -->\n"

TITLES = {
    "openai-chat": "OpenAI chat",
    "openai-responses": "OpenAI Responses",
    "anthropic": "Anthropic messages",
    "gemini": "Gemini",
    "ollama": "Ollama",
    "cohere": "Cohere v2",
}
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def table() -> str:
    """Markdown: providers down, clients across. A cell says which of the features do not work; its numbers lead to the reasons
    below the table."""
    lines = [f"| provider \\ app speaks | {' | '.join(TITLES[name] for name in SPEAKERS)} |", f"|---|{'---|' * len(SPEAKERS)}"]
    reasons: list[str] = []
    for provider, case in PROVIDERS.items():
        cells = [cell(client, provider, reasons) for client in SPEAKERS]
        lines.append(f"| {case.title} | {' | '.join(cells)} |")
    features = f"**All** is: {', '.join(FEATURES)}; each plain and streamed."
    notes = " ".join(f"{raised(number)}\u00a0{reason}." for number, reason in enumerate(reasons, 1))
    return "\n".join([*lines, "", textwrap.fill(f"{features} {notes}".strip(), 125)]) + "\n"


def cell(client: str, provider: str, reasons: list[str]) -> str:
    """`reasons` are those of the cells before, and are added to."""
    missing: dict[str, list[int]] = {}
    for (clients, providers, features), gap in GAPS.items():
        if not fits(clients, client) or not fits(providers, provider):
            continue
        reason = gap.reason[0].upper() + gap.reason[1:]
        if reason not in reasons:
            reasons.append(reason)
        for feature in FEATURES:
            if fits(features, feature):
                missing.setdefault(feature, []).append(reasons.index(reason) + 1)
    if not missing:
        return "all"
    return "all but " + ", ".join(
        f"{feature}{'·'.join(raised(number) for number in sorted(set(numbers)))}" for feature, numbers in missing.items()
    )


def raised(number: int) -> str:
    return str(number).translate(_RAISED)


def replaced(page: str) -> str:
    """The page with the table of now between its marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no place for the table")
    return f"{before}{begin}\n{table()}\n{end}{after}"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        README.write_text(replaced(README.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(table(), end="")
