"""The README's table of what works with what, made from the matrix: `python -m tests.e2e.matrix.table`."""

from __future__ import annotations

from tests.e2e.matrix.pairs import FEATURES, GAPS, PROVIDERS, SPEAKERS, fits

TITLES = {
    "openai-chat": "OpenAI chat",
    "openai-responses": "OpenAI Responses",
    "anthropic": "Anthropic messages",
    "gemini": "Gemini",
    "ollama": "Ollama",
    "cohere": "Cohere v2",
}


def table() -> str:
    """Markdown: providers down, clients across. A cell counts the features that work; numbers lead to the notes below it."""
    lines = [f"| provider \\ client | {' | '.join(TITLES[name] for name in SPEAKERS)} |", f"|---|{'---|' * len(SPEAKERS)}"]
    notes: list[str] = []
    for provider, case in PROVIDERS.items():
        cells = [cell(client, provider, notes) for client in SPEAKERS]
        lines.append(f"| {case.title} | {' | '.join(cells)} |")
    lines += ["", *[f"{number}. {note}." for number, note in enumerate(notes, 1)]]
    return "\n".join(lines)


def cell(client: str, provider: str, notes: list[str]) -> str:
    missing: set[str] = set()
    reasons = []
    for (clients, providers, features), gap in GAPS.items():
        if not fits(clients, client) or not fits(providers, provider):
            continue
        missing |= {feature for feature in FEATURES if fits(features, feature)}
        note = f"{', '.join(feature for feature in FEATURES if fits(features, feature))}: {gap.reason}"
        if note not in notes:
            notes.append(note)
        reasons.append(f"({notes.index(note) + 1})")
    count = f"{len(FEATURES) - len(missing)}/{len(FEATURES)}"
    return f"{count} {' '.join(sorted(set(reasons)))}".strip()


if __name__ == "__main__":
    print(table())
