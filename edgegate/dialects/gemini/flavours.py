"""The two services that speak Gemini's format, and what each of them does not take.

AI Studio (the "Gemini Developer API") and Vertex (now "Gemini Enterprise Agent Platform") share one format but for some
fields; an unknown one is a 400 at either. The lists are those of google-genai's converters (`_..._to_mldev`, `_..._to_vertex`).
"""

from __future__ import annotations

from dataclasses import dataclass

from edgegate.dialects.base import Json
from edgegate.dialects.losses import Losses


@dataclass(frozen=True, slots=True)
class Flavour:
    """Names of what the service refuses: fields of the request, of `generationConfig`, kinds of tools, fields of
    `functionCallingConfig` and `toolConfig`, of safety settings, of parts and of the calls and responses in them."""

    fields: frozenset[str] = frozenset()
    config: frozenset[str] = frozenset()
    tools: frozenset[str] = frozenset()
    calling: frozenset[str] = frozenset()
    safety: frozenset[str] = frozenset()
    search: frozenset[str] = frozenset()
    image: frozenset[str] = frozenset()
    parts: frozenset[str] = frozenset()
    inside: frozenset[str] = frozenset()


AI_STUDIO = Flavour(
    fields=frozenset(("modelArmorConfig",)),
    config=frozenset(("routingConfig", "modelSelectionConfig", "modelConfig", "audioTimestamp", "generationOutputConfig")),
    tools=frozenset(("retrieval", "enterpriseWebSearch", "parallelAiSearch", "exaAiSearch")),
    calling=frozenset(("streamFunctionCallArguments",)),
    safety=frozenset(("method",)),
    search=frozenset(("blockingConfidence", "excludeDomains")),
    image=frozenset(("personGeneration", "prominentPeople", "imageOutputOptions")),
    inside=frozenset(("partialArgs",)),
)
VERTEX = Flavour(
    fields=frozenset(("store",)),
    config=frozenset(("enableEnhancedCivicAnswers",)),
    tools=frozenset(("fileSearch", "mcpServers")),
    calling=frozenset(("includeServerSideToolInvocations",)),
    parts=frozenset(("toolCall", "toolResponse", "partMetadata", "mediaProcessing")),
)


def fit(body: Json, flavour: Flavour, losses: Losses) -> None:
    """Takes out of a body, made for this one request, what the service refuses, and names it."""
    _only(body, flavour.fields, "", losses)
    if "generationConfig" in body:
        config = _without(body["generationConfig"], flavour.config, "generationConfig.", losses)
        if isinstance(config.get("imageConfig"), dict):
            config = {**config, "imageConfig": _without(config["imageConfig"], flavour.image, "generationConfig.imageConfig.", losses)}
        body["generationConfig"] = config
    if "tools" in body:
        tools = [_without(tool, flavour.tools, "tools.", losses) for tool in body["tools"]]
        body["tools"] = [_search(tool, flavour, losses) for tool in tools if tool]
        if not body["tools"]:
            del body["tools"]
    if "toolConfig" in body:
        choice = _without(body["toolConfig"], flavour.calling, "toolConfig.", losses)
        if isinstance(choice.get("functionCallingConfig"), dict):
            calling = _without(choice["functionCallingConfig"], flavour.calling, "toolConfig.functionCallingConfig.", losses)
            choice = {**choice, "functionCallingConfig": calling}
        body["toolConfig"] = choice
    settings = body.get("safetySettings")
    if isinstance(settings, list):
        body["safetySettings"] = [
            _without(item, flavour.safety, "safetySettings.", losses) if isinstance(item, dict) else item for item in settings
        ]
    for turn in body["contents"]:
        turn["parts"] = [kept for part in turn["parts"] if (kept := _part(part, flavour, losses))]
    body["contents"] = [turn for turn in body["contents"] if turn["parts"]]


def _part(part: Json, flavour: Flavour, losses: Losses) -> Json:
    part = _without(part, flavour.parts, "content.", losses)
    for kind in ("functionCall", "functionResponse"):
        if isinstance(part.get(kind), dict):
            part = {**part, kind: _without(part[kind], flavour.inside, f"content.{kind}.", losses)}
    return {} if part.keys() <= {"thoughtSignature"} else part


def _search(tool: Json, flavour: Flavour, losses: Losses) -> Json:
    search = tool.get("googleSearch")
    return {**tool, "googleSearch": _without(search, flavour.search, "tools.googleSearch.", losses)} if isinstance(search, dict) else tool


def _without(value: Json, refused: frozenset[str], where: str, losses: Losses) -> Json:
    """The object without what is refused; the same object if that is nothing."""
    if refused.isdisjoint(value):
        return value
    for name in sorted(refused & value.keys()):
        losses.drop(f"{where}{name}")
    return {name: item for name, item in value.items() if name not in refused}


def _only(body: Json, refused: frozenset[str], where: str, losses: Losses) -> None:
    for name in sorted(refused & body.keys()):
        losses.drop(f"{where}{name}")
        del body[name]
