"""The structure of a chat-completions request: what routing, metering and every translator rely on.

Structure, not taste: whether a temperature of 3 or an effort of "turbo" is acceptable is for the provider to say, and
fields this module does not know pass. Null counts as absent, as OpenAI has it. Other dialects may check their
chat-shaped parts with `check_chat`. It runs on every request: plain functions, one table lookup per field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgegate.dialects.base import Json
from edgegate.dialects.openai import fields
from edgegate.dialects.openai.fields import Check, missing, unknown_value, wrong_type

ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def check_chat(request: Json) -> None:
    """Raises a 400 `GatewayError` that names the field and what was expected."""
    model = request.get("model")
    if model is None:
        raise missing("model")
    fields.filled(model, "model")
    if request.get("messages") is None:
        raise missing("messages")
    fields.each(request, _CHECKS)


def _messages(messages: Any, param: str) -> None:
    if type(messages) is not list:
        raise wrong_type(param, "an array of objects", messages)
    if not messages:
        raise fields.empty_array(param)
    for at, message in enumerate(messages):
        if type(message) is not dict:
            raise wrong_type(f"{param}[{at}]", "an object", message)
        role = message.get("role")
        # The common message, {role, content: text}, is judged here; everything else below.
        if type(message.get("content")) is not str or role != "user":
            _message(message, role, f"{param}[{at}]")


def _message(message: Json, role: Any, param: str) -> None:
    if role is None:
        raise missing(f"{param}.role")
    if type(role) is not str:
        raise wrong_type(f"{param}.role", "a string", role)
    if role not in ROLES:
        raise unknown_value(f"{param}.role", ROLES)
    content = message.get("content")
    if content is not None and type(content) is not str:
        _parts(content, f"{param}.content")
    if role == "assistant":
        calls = message.get("tool_calls")
        if calls is not None:
            _calls(calls, f"{param}.tool_calls")
        call = message.get("function_call")
        if call is not None:
            fields.object_(call, f"{param}.function_call")
            _function(call, f"{param}.function_call")
    elif role == "tool":
        id = message.get("tool_call_id")
        if id is None:
            raise missing(f"{param}.tool_call_id")
        fields.string(id, f"{param}.tool_call_id")
    elif role == "function":
        if message.get("name") is None:
            raise missing(f"{param}.name")
        fields.string(message["name"], f"{param}.name")


def _parts(content: Any, param: str) -> None:
    if type(content) is not list:
        raise wrong_type(param, "one of a string or an array of objects", content)
    for at, part in enumerate(content):
        where = f"{param}[{at}]"
        kind = fields.typed(part, where)
        if kind == "text" or kind == "refusal":
            if part.get(kind) is None:
                raise missing(f"{where}.{kind}")
            fields.string(part[kind], f"{where}.{kind}")
        elif kind == "image_url":
            image = part.get("image_url")
            if image is None:
                raise missing(f"{where}.image_url")
            if type(image) is dict:  # Mistral's clients write the URL without an object around it
                if image.get("url") is None:
                    raise missing(f"{where}.image_url.url")
                fields.string(image["url"], f"{where}.image_url.url")
            elif type(image) is not str:
                raise wrong_type(f"{where}.image_url", "an object", image)
        elif kind == "input_audio" or kind == "file":
            if part.get(kind) is None:
                raise missing(f"{where}.{kind}")
            fields.object_(part[kind], f"{where}.{kind}")


def _calls(calls: Any, param: str) -> None:
    if type(calls) is not list:
        raise wrong_type(param, "an array of objects", calls)
    for at, call in enumerate(calls):
        where = f"{param}[{at}]"
        if type(call) is not dict:
            raise wrong_type(where, "an object", call)
        if call.get("id") is None:
            raise missing(f"{where}.id")
        fields.string(call["id"], f"{where}.id")
        kind = call.get("type")
        if kind is not None:
            fields.string(kind, f"{where}.type")
        if kind is None or kind == "function":
            function = call.get("function")
            if function is None:
                raise missing(f"{where}.function")
            fields.object_(function, f"{where}.function")
            _function(function, f"{where}.function")


def _function(function: Json, param: str) -> None:
    """`{name, arguments}` of a call that was made."""
    if function.get("name") is None:
        raise missing(f"{param}.name")
    fields.filled(function["name"], f"{param}.name")
    arguments = function.get("arguments")
    if arguments is None:
        raise missing(f"{param}.arguments")
    if type(arguments) is not str:
        raise wrong_type(f"{param}.arguments", "a string holding JSON", arguments)


def _tools(tools: Any, param: str) -> None:
    if type(tools) is not list:
        raise wrong_type(param, "an array of objects", tools)
    for at, tool in enumerate(tools):
        where = f"{param}[{at}]"
        untyped = type(tool) is dict and tool.get("type") is None and type(tool.get("function")) is dict
        if untyped or fields.typed(tool, where) == "function":  # Mistral's clients leave the type out (mistral/chat-tools-*)
            function = tool.get("function")
            if function is None:
                raise missing(f"{where}.function")
            fields.object_(function, f"{where}.function")
            _declared(function, f"{where}.function")


def _functions(functions: Any, param: str) -> None:
    """The older form of `tools`."""
    if type(functions) is not list:
        raise wrong_type(param, "an array of objects", functions)
    for at, function in enumerate(functions):
        fields.object_(function, f"{param}[{at}]")
        _declared(function, f"{param}[{at}]")


def _declared(function: Json, param: str) -> None:
    """`{name, description, parameters}` of a function on offer."""
    if function.get("name") is None:
        raise missing(f"{param}.name")
    fields.filled(function["name"], f"{param}.name")
    if function.get("description") is not None:
        fields.string(function["description"], f"{param}.description")
    if function.get("parameters") is not None:
        fields.object_(function["parameters"], f"{param}.parameters")


def _tool_choice(choice: Any, param: str) -> None:
    if type(choice) is str:
        return
    if type(choice) is not dict:
        raise wrong_type(param, "one of a string or an object", choice)
    if fields.typed(choice, param) == "function":
        function = choice.get("function")
        if function is None:
            raise missing(f"{param}.function")
        fields.object_(function, f"{param}.function")
        if function.get("name") is None:
            raise missing(f"{param}.function.name")
        fields.filled(function["name"], f"{param}.function.name")


def _function_call(choice: Any, param: str) -> None:
    """The older form of `tool_choice`."""
    if type(choice) is str:
        return
    if type(choice) is not dict:
        raise wrong_type(param, "one of a string or an object", choice)
    if choice.get("name") is None:
        raise missing(f"{param}.name")
    fields.filled(choice["name"], f"{param}.name")


def _response_format(format: Any, param: str) -> None:
    if fields.typed(format, param) != "json_schema":
        return
    where = f"{param}.json_schema"
    schema = format.get("json_schema")
    if schema is None:
        raise missing(where)
    fields.object_(schema, where)
    if schema.get("name") is not None:
        fields.string(schema["name"], f"{where}.name")
    if schema.get("schema") is not None:
        fields.object_(schema["schema"], f"{where}.schema")
    if schema.get("strict") is not None:
        fields.boolean(schema["strict"], f"{where}.strict")


def _logprobs(value: Any, param: str) -> None:
    if type(value) is not bool and type(value) is not int:  # an integer at Together
        raise wrong_type(param, "a boolean", value)


_CHECKS: Mapping[str, Check] = {
    "messages": _messages,
    "stream": fields.boolean,
    "stream_options": fields.stream_options,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "functions": _functions,
    "function_call": _function_call,
    "response_format": _response_format,
    "stop": fields.string_or_strings,
    "n": fields.at_least(1),
    "max_tokens": fields.at_least(1),
    "max_completion_tokens": fields.at_least(1),
    "temperature": fields.number,
    "top_p": fields.number,
    "presence_penalty": fields.number,
    "frequency_penalty": fields.number,
    "seed": fields.integer,
    "logprobs": _logprobs,
    "top_logprobs": fields.at_least(0),
    "logit_bias": fields.object_,
    "parallel_tool_calls": fields.boolean,
    "user": fields.string,
    "store": fields.boolean,
    "metadata": fields.object_,
    "modalities": fields.strings,
    "audio": fields.object_,
    "prediction": fields.object_,
    "service_tier": fields.string,
    "prompt_cache_key": fields.string,
    "safety_identifier": fields.string,
    "web_search_options": fields.object_,
}
