"""The fields that Gemini's requests have, to refuse others as the vendor's JSON parser does: `Unknown name "x" at 'contents[0]': Cannot
find field.` Each is known in camelCase and in snake_case.
"""

from __future__ import annotations

import re
from typing import Any

from edgegate.simulate.vendor import Json, need

_REQUEST = (
    "contents systemInstruction tools toolConfig safetySettings generationConfig cachedContent labels modelArmorConfig model "
    "serviceTier store"
)
_CONFIG = (
    "audioTimestamp candidateCount enableAffectiveDialog enableEnhancedCivicAnswers frequencyPenalty imageConfig logprobs maxOutputTokens "
    "mediaResolution modelSelectionConfig presencePenalty responseFormat responseJsonSchema responseLogprobs responseMimeType "
    "responseModalities responseSchema routingConfig seed speechConfig stopSequences temperature thinkingConfig topK topP"
)
_PART = (
    "text thought thoughtSignature inlineData fileData functionCall functionResponse executableCode codeExecutionResult videoMetadata "
    "mediaResolution partMetadata toolCall toolResponse audioTranscription mediaProcessing"
)
_BELOW_PART = {
    "functionCall": "id name args partialArgs willContinue",
    "functionResponse": "id name response parts scheduling willContinue",
    "inlineData": "mimeType data displayName",
    "fileData": "mimeType fileUri displayName",
}
_TOOL = (
    "functionDeclarations googleSearch googleSearchRetrieval codeExecution urlContext computerUse fileSearch googleMaps mcpServers "
    "retrieval enterpriseWebSearch exaAiSearch parallelAiSearch"
)
_DECLARATION = "name description parameters parametersJsonSchema response responseJsonSchema behavior"
_TOOL_CONFIG = "functionCallingConfig retrievalConfig includeServerSideToolInvocations"


def snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda found: "_" + found.group(1).lower(), name)


def field(value: Any, name: str) -> Any:
    """A field under its JSON name or its proto name."""
    if not isinstance(value, dict):
        return None
    return value[name] if name in value else value.get(snake(name))


def check(body: Json) -> None:
    """Refuses fields that generateContent does not have."""
    _only(body, _REQUEST, "")
    for at, content in enumerate(_list(body, "contents")):
        _check_content(content, f"contents[{at}]")
    system = field(body, "systemInstruction")
    if isinstance(system, dict):
        _check_content(system, "system_instruction")
    _only(field(body, "generationConfig"), _CONFIG, "generation_config")
    thinking = field(field(body, "generationConfig"), "thinkingConfig")
    _only(thinking, "includeThoughts thinkingBudget thinkingLevel", "generation_config.thinking_config")
    need(
        field(thinking, "thinkingBudget") is None or field(thinking, "thinkingLevel") is None,
        "You can only set only one of thinking budget and thinking level.",
    )
    for at, tool in enumerate(_list(body, "tools")):
        _only(tool, _TOOL, f"tools[{at}]")
        for number, declaration in enumerate(field(tool, "functionDeclarations") or []):
            _only(declaration, _DECLARATION, f"tools[{at}].function_declarations[{number}]")
    config = field(body, "toolConfig")
    _only(config, _TOOL_CONFIG, "tool_config")
    calling = field(config, "functionCallingConfig")
    _only(calling, "mode allowedFunctionNames streamFunctionCallArguments", "tool_config.function_calling_config")


def _check_content(content: Any, where: str) -> None:
    _only(content, "role parts", where)
    parts = content.get("parts") if isinstance(content, dict) else None
    for at, part in enumerate(parts if isinstance(parts, list) else []):
        _only(part, _PART, f"{where}.parts[{at}]")
        for name, known in _BELOW_PART.items():
            _only(field(part, name), known, f"{where}.parts[{at}].{snake(name)}")


def _list(body: Json, name: str) -> list[Any]:
    found = field(body, name)
    return found if isinstance(found, list) else []


def _only(value: Any, known: str, where: str) -> None:
    names = known.split()
    for name in value if isinstance(value, dict) else ():
        place = f" at '{where}'" if where else ""
        fine = name in names or name in map(snake, names)
        need(fine, f'Invalid JSON payload received. Unknown name "{name}"{place}: Cannot find field.')
