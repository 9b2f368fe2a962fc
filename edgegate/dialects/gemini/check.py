"""What edgegate relies on in Gemini's requests, checked before anything is done with them: it runs for native requests too.

Names may be written in camelCase or snake_case, and one object may stand for a list of one. Details of parts and tools are
checked where they are read (`conversation.py`, `asking.py`); where Google's servers read them, it is for them to say.
"""

from __future__ import annotations

from edgegate.dialects.base import Json
from edgegate.dialects.gemini.fields import a_text, an_object, objects, pick, wrong
from edgegate.errors import bad_request


def check_generate(request: Json, where: str = "") -> None:
    contents = objects(request.get("contents"), f"{where}contents")
    if not contents:
        raise bad_request("* GenerateContentRequest.contents: contents is not specified", f"{where}contents")
    for at, content in enumerate(contents):
        _content(content, f"{where}contents[{at}]")
    system = pick(request, "systemInstruction", "system_instruction")
    if system is not None:
        _content(an_object(system, f"{where}systemInstruction"), f"{where}systemInstruction")
    for name, snake in (("generationConfig", "generation_config"), ("toolConfig", "tool_config")):
        value = pick(request, name, snake)
        if value is not None:
            an_object(value, f"{where}{name}")
    objects(request.get("tools"), f"{where}tools")
    objects(pick(request, "safetySettings", "safety_settings"), f"{where}safetySettings")


def check_count(request: Json) -> None:
    inner = pick(request, "generateContentRequest", "generate_content_request")
    if inner is None:
        check_generate(request)
    else:
        check_generate(an_object(inner, "generateContentRequest"), "generateContentRequest.")


def check_embed(request: Json, where: str = "") -> None:
    if request.get("content") is None:
        raise wrong(f"{where}content", "an object with parts")
    _content(an_object(request["content"], f"{where}content"), f"{where}content")


def check_batch(request: Json) -> None:
    requests = objects(request.get("requests"), "requests")
    if not requests:
        raise bad_request("* BatchEmbedContentsRequest.requests: at least one request is expected", "requests")
    for at, item in enumerate(requests):
        check_embed(item, f"requests[{at}].")


def _content(content: Json, where: str) -> None:
    if content.get("role") is not None:
        a_text(content["role"], f"{where}.role")
    objects(content.get("parts"), f"{where}.parts")
