"""Reads a Converse request into a question, and refuses what Bedrock refuses.

Strict where a badly translated request would show: unknown members, blocks with more or less than one member, turns that do not alternate,
results that answer no call, `toolConfig` missing although the history has calls, and altered reasoning signatures.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import orjson

from edgegate.simulate import media
from edgegate.simulate.mind import Question, Tool
from edgegate.simulate.seal import allows_foreign, holds
from edgegate.simulate.strict import fields, unknown
from edgegate.simulate.vendor import Asked, Json, need

VENDOR = "anthropic"
"""Who signs what Claude thought: its signatures are the same wherever it runs, and good at every place."""
_REQUEST = fields(
    "messages system inferenceConfig toolConfig guardrailConfig additionalModelRequestFields promptVariables "
    "additionalModelResponseFieldPaths requestMetadata performanceConfig serviceTier outputConfig"
)
_BLOCKS = fields(
    "text image document video audio toolUse toolResult guardContent cachePoint reasoningContent citationsContent searchResult "
    "toolAddition toolRemoval"
)
_INFERENCE = frozenset({"maxTokens", "temperature", "topP", "stopSequences"})
_TOOL_SPEC = frozenset({"name", "description", "inputSchema", "strict"})
_IMAGE_FORMATS = ("png", "jpeg", "gif", "webp")


def malformed(condition: bool, message: str) -> None:
    need(condition, f"The model returned the following errors: {message}")


def _only(value: Any, known: Collection[str], where: str) -> None:
    stray = unknown(value, known)
    need(
        stray is None,
        f"Malformed input request: #{where}: extraneous key [{stray}] is not permitted, please reformat your input and try again.",
    )


def question_of(asked: Asked, body: Json) -> Question:
    """The question in a Converse body, which may stand inside another request."""
    _only(body, _REQUEST, "")
    messages = body.get("messages")
    need(isinstance(messages, list) and bool(messages), "The value at messages is empty. Add values to messages and try again.")
    config = body.get("inferenceConfig") or {}
    _only(config, _INFERENCE, "/inferenceConfig")
    question = Question(asked.model, seed=asked.raw, max_tokens=config.get("maxTokens"), stop=list(config.get("stopSequences") or []))
    for name, top in (("temperature", 1), ("topP", 1)):
        value = config.get(name)
        need(
            value is None or 0 <= value <= top,
            f"Value at 'inferenceConfig.{name}' failed to satisfy constraint: must be between 0 and {top}",
        )
    question.settings = {name: value for name, value in config.items() if name in ("temperature", "topP")}
    extra = body.get("additionalModelRequestFields") or {}
    question.settings |= {"additionalModelRequestFields": extra} if extra else {}
    thinking = extra.get("thinking") or extra.get("reasoning_config") or extra.get("reasoningConfig") or {}
    thinking = thinking if isinstance(thinking, dict) else {"type": "adaptive"}  # recorded: an effort such as "high"
    question.think = thinking.get("type") in ("enabled", "adaptive")
    for at, block in enumerate(body.get("system") or []):
        _only(block, ("text", "guardContent", "cachePoint"), f"/system/{at}")
        need("text" not in block or bool(block["text"]), f"The text field in the system content at {at} is blank.")
        question.system += ("\n" if question.system and "text" in block else "") + str(block.get("text", ""))
    _read_tools(body, question, thinking.get("type") == "enabled")
    _read_messages(messages or [], question, asked, thinking.get("type") == "enabled")
    history = any("toolUse" in block or "toolResult" in block for message in messages or [] for block in message["content"])
    need(
        not history or bool((body.get("toolConfig") or {}).get("tools")),
        "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
    )
    _read_format(body, question)
    return question


def _read_format(body: Json, question: Question) -> None:
    output = body.get("outputConfig") or {}
    _only(output, ("textFormat", "effort"), "/outputConfig")
    wanted = output.get("textFormat") or {}
    if wanted.get("type") == "json_schema":
        schema = wanted["structure"]["jsonSchema"]["schema"]
        need(isinstance(schema, str), "outputConfig.textFormat.structure.jsonSchema.schema: expected type: String")
        question.schema = orjson.loads(schema)


def _read_tools(body: Json, question: Question, thinking: bool) -> None:
    config = body.get("toolConfig")
    if config is None:
        return
    _only(config, ("tools", "toolChoice"), "/toolConfig")
    tools = config.get("tools")
    need(isinstance(tools, list) and bool(tools), "The value at toolConfig.tools is empty. Add values to toolConfig.tools and try again.")
    for at, tool in enumerate(tools or []):
        _only(tool, ("toolSpec", "systemTool", "cachePoint"), f"/toolConfig/tools/{at}")
        spec = tool.get("toolSpec")
        if spec is None:
            continue
        _only(spec, _TOOL_SPEC, f"/toolConfig/tools/{at}/toolSpec")
        need(
            spec.get("description") != "",
            f"toolConfig.tools.{at}.member.toolSpec.description: Member must have length greater than or equal to 1",
        )
        schema = spec["inputSchema"]["json"]
        malformed(
            schema.get("type") == "object",
            f"The value at toolConfig.tools.{at}.toolSpec.inputSchema.json.type must be one of the following: object.",
        )
        question.tools.append(Tool(spec["name"], schema))
    choice = config.get("toolChoice") or {"auto": {}}
    _only(choice, ("auto", "any", "tool"), "/toolConfig/toolChoice")
    need(len(choice) == 1, "toolConfig.toolChoice must set exactly one of auto, any, tool.")
    question.choice = choice["tool"]["name"] if "tool" in choice else next(iter(choice))
    need(
        "tool" not in choice or question.choice in [tool.name for tool in question.tools],
        "The tool named in toolChoice is not in toolConfig.",
    )
    malformed(not thinking or "auto" in choice, "Thinking may not be enabled when tool_choice forces tool use.")


def _read_messages(messages: list[Any], question: Question, asked: Asked, thinking: bool) -> None:
    open_calls: list[str] = []
    before = ""
    for at, message in enumerate(messages):
        _only(message, ("role", "content"), f"/messages/{at}")
        role, content = message.get("role"), message.get("content")
        need(
            role in ("user", "assistant"),
            f"Value '{role}' at 'messages.{at + 1}.member.role' failed to satisfy constraint: [user, assistant]",
        )
        need(
            at > 0 or role == "user",
            "A conversation must start with a user message. Try again with a conversation that starts with a user message.",
        )
        # Titan alone takes turns in a row, as recorded
        need(
            role != before or "titan" in asked.model,
            f"A conversation must alternate between user and assistant roles. Make sure that messages.{at} alternates.",
        )
        need(
            isinstance(content, list) and bool(content),
            f"The content field in the Message object at messages.{at} is empty. "
            "Add a ContentBlock object to the content field and try again.",
        )
        texts: list[str] = []
        images: list[str] = []
        results: dict[str, str] = {}
        calls: list[str] = []
        for number, block in enumerate(content):
            where = f"/messages/{at}/content/{number}"
            _only(block, _BLOCKS, where)
            need(len(block) == 1, f"The content block at messages.{at}.content.{number} must set exactly one member.")
            if "text" in block:
                need(bool(block["text"].strip()), f"The text field in the ContentBlock object at messages.{at}.content.{number} is blank.")
                texts.append(block["text"])
            elif "image" in block:
                images.append(_image(block["image"], where))
            elif "toolUse" in block:
                call = block["toolUse"]
                _only(call, ("toolUseId", "name", "input", "type"), where + "/toolUse")
                malformed(isinstance(call["input"], dict), f"messages.{at}.content.{number}.toolUse.input: Input should be an object")
                need(role == "assistant", f"toolUse blocks can only be specified in the assistant role (messages.{at}).")
                if call.get("type") != "server_tool_use":
                    calls.append(str(call["toolUseId"]))
                texts.append(" " + json.dumps(call["input"]))
            elif "toolResult" in block:
                _only(block["toolResult"], ("toolUseId", "content", "status", "type"), where + "/toolResult")
                said = _result(block["toolResult"].get("content"), where)
                if role == "user":  # in an assistant turn it is of the vendor's own tool
                    results[str(block["toolResult"]["toolUseId"])] = said
            elif "reasoningContent" in block:
                need(role == "assistant", "reasoningContent blocks can only be specified in the assistant role.")
                _check_reasoning(block["reasoningContent"], asked, at, number)
        missing = [one for one in open_calls if one not in results]
        need(
            not missing,
            f"Expected toolResult blocks at messages.{at}.content for the following Ids: {', '.join(missing)}",
        )
        stray = [one for one in results if one not in open_calls]
        need(
            not stray,
            f"The number of toolResult blocks at messages.{at}.content exceeds the number of toolUse blocks of previous turn.",
        )
        later = any(
            "toolResult" not in block for following in messages[at + 1 :] if following["role"] == "user" for block in following["content"]
        )
        malformed(
            not (thinking and calls and not later) or "reasoningContent" in content[0],
            f"messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. "
            "When `thinking` is enabled, a final `assistant` message must start with a thinking block.",
        )
        open_calls, before = calls, str(role)
        question.results = list(results.values()) if not texts else []
        if role == "user" and (texts or images or not results):
            question.prompt = "".join(texts)
            question.see(images)
        question.roles.append(str(role))
        question.texts.append(" ".join(["".join(texts), *results.values()]).strip())
    need(not open_calls, f"Expected toolResult blocks for the following Ids: {', '.join(open_calls)}")


def _image(image: Json, where: str) -> str:
    _only(image, ("format", "source", "error"), where + "/image")
    need(image.get("format") in _IMAGE_FORMATS, f"Value at '{where[1:]}/image/format' failed to satisfy constraint: [png, jpeg, gif, webp]")
    source = image["source"]
    _only(source, ("bytes", "s3Location"), where + "/image/source")
    if "bytes" not in source:
        return str(source["s3Location"]["uri"])
    need(bool(source["bytes"]) and not source["bytes"].startswith("data:"), "The image bytes could not be decoded.")
    return media.of_base64(source["bytes"], f"image/{image['format']}")


def _result(content: Any, where: str) -> str:
    text = ""
    for block in content or []:
        _only(block, ("text", "json", "image", "document", "video", "searchResult"), where + "/toolResult/content")
        if "json" in block:
            need(isinstance(block["json"], dict), "The format of the value at toolResult.content.json is invalid. Provide a json object.")
            only = list(block["json"].values())
            text += only[0] if len(only) == 1 and isinstance(only[0], str) else json.dumps(block["json"], ensure_ascii=False)
        text += str(block.get("text", ""))
    return text


def _check_reasoning(content: Json, asked: Asked, at: int, number: int) -> None:
    need(len(content) == 1, "reasoningContent must set exactly one of reasoningText, redactedContent.")
    if "reasoningText" in content:
        text = content["reasoningText"]
        malformed(
            holds(VENDOR, text["text"], text.get("signature"), asked.headers),
            f"messages.{at}.content.{number}: Invalid `signature` in `thinking` block",
        )
    else:  # the simulator hides no reasoning, so what comes back hidden is not from here
        malformed(allows_foreign(asked.headers), f"messages.{at}.content.{number}: Invalid `data` in `redacted_thinking` block")
