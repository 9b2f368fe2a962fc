"""Bedrock's format, read by boto3, which also checks the frames' checksums and signs what it sends."""

from __future__ import annotations

import json
from typing import Any

import boto3  # type: ignore[import-untyped]
import httpx
import pytest
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import ClientError, EventStreamError  # type: ignore[import-untyped]

from edgegate.simulate import Running
from edgegate.simulate.sigv4 import ACCESS_KEY, SECRET_KEY

MODEL = "anthropic.claude-haiku-4-5-v1:0"
TOOLS: Any = {
    "tools": [
        {
            "toolSpec": {
                "name": "get_weather",
                "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
            }
        },
        {"toolSpec": {"name": "do_nothing", "inputSchema": {"json": {"type": "object", "properties": {}}}}},
    ]
}
THINKING: Any = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
BEARER = {"authorization": "Bearer k"}


def made(url: str, secret: str = SECRET_KEY) -> Any:
    config = Config(retries={"max_attempts": 1, "mode": "standard"})
    keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": secret}
    return boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=url, config=config, **keys)


@pytest.fixture(scope="module")
def client(simulator: Running) -> Any:
    return made(simulator.url)


def user(*blocks: Any) -> Any:
    return [{"role": "user", "content": [{"text": block} if isinstance(block, str) else block for block in blocks]}]


def told(stream: Any) -> tuple[list[str], list[Any], list[Any]]:
    events = list(stream["stream"])
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    return [next(iter(event)) for event in events], deltas, events


def test_plain_and_stream_say_the_same(client: Any) -> None:
    plain = client.converse(modelId=MODEL, messages=user("Hello"), system=[{"text": "Be kind."}])
    names, deltas, events = told(client.converse_stream(modelId=MODEL, messages=user("Hello"), system=[{"text": "Be kind."}]))
    assert plain["output"]["message"]["content"][0]["text"].endswith("You said: Hello")
    assert "".join(delta["text"] for delta in deltas) == plain["output"]["message"]["content"][0]["text"]
    assert (names[0], names[-2], names[-1]) == ("messageStart", "messageStop", "metadata")
    assert events[-1]["metadata"]["usage"] == plain["usage"]
    assert plain["usage"]["inputTokens"] == 1 + 2 + 3
    assert plain["stopReason"] == "end_turn"


def test_calls_of_both_tools_and_their_answers(client: Any) -> None:
    asked = user("get_weather and do_nothing in parallel")
    plain = client.converse(modelId=MODEL, messages=asked, toolConfig=TOOLS)
    calls = [block["toolUse"] for block in plain["output"]["message"]["content"]]
    assert [(call["name"], call["input"]) for call in calls] == [("get_weather", {"city": "city"}), ("do_nothing", {})]
    names, deltas, _ = told(client.converse_stream(modelId=MODEL, messages=asked, toolConfig=TOOLS))
    assert names.count("contentBlockStart") == 2
    assert json.loads("".join(delta["toolUse"]["input"] for delta in deltas)) == {"city": "city"}
    results = [{"toolResult": {"toolUseId": call["toolUseId"], "content": [{"text": "17 degrees"}]}} for call in calls]
    back = [*asked, plain["output"]["message"], {"role": "user", "content": results}]
    assert "17 degrees" in client.converse(modelId=MODEL, messages=back, toolConfig=TOOLS)["output"]["message"]["content"][0]["text"]


def test_reasoning_is_signed_and_its_signature_is_checked(client: Any) -> None:
    plain = client.converse(modelId=MODEL, messages=user("Hello"), additionalModelRequestFields=THINKING)
    block = plain["output"]["message"]["content"][0]["reasoningContent"]["reasoningText"]
    _, deltas, _ = told(client.converse_stream(modelId=MODEL, messages=user("Hello"), additionalModelRequestFields=THINKING))
    parts = [delta["reasoningContent"] for delta in deltas if "reasoningContent" in delta]
    assert "".join(part.get("text", "") for part in parts) == block["text"]
    assert parts[-1]["signature"] == block["signature"]
    back = [*user("Hello"), plain["output"]["message"], *user("And?")]
    client.converse(modelId=MODEL, messages=back, additionalModelRequestFields=THINKING)
    block["text"] += " altered"
    with pytest.raises(ClientError, match="Invalid `signature`"):
        client.converse(modelId=MODEL, messages=back, additionalModelRequestFields=THINKING)


def test_images_limits_and_schemas(client: Any) -> None:
    image = {"image": {"format": "png", "source": {"bytes": b"\x89PNG\r\n\x1a\n" + b"0" * 60}}}
    seen = client.converse(modelId=MODEL, messages=user("What?", image))
    assert "1 image: image/png, 68 bytes" in seen["output"]["message"]["content"][0]["text"]
    limited = client.converse(modelId=MODEL, messages=user("repeat 9"), inferenceConfig={"maxTokens": 3})
    assert (limited["stopReason"], limited["usage"]["outputTokens"]) == ("max_tokens", 3)
    stopped = client.converse(modelId=MODEL, messages=user("repeat 9"), inferenceConfig={"stopSequences": ["dolor"]})
    assert stopped["stopReason"] == "stop_sequence"
    schema = json.dumps({"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]})
    output: Any = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"name": "person", "schema": schema}}}}
    answered = client.converse(modelId=MODEL, messages=user("Who?"), outputConfig=output)
    assert json.loads(answered["output"]["message"]["content"][0]["text"]) == {"age": 1}


def test_counting_and_embeddings(client: Any) -> None:
    assert client.count_tokens(modelId=MODEL, input={"converse": {"messages": user("one two")}})["inputTokens"] == 5
    body = json.dumps({"inputText": "one two", "dimensions": 256})
    reply = json.loads(client.invoke_model(modelId="amazon.titan-embed-text-v2:0", body=body)["body"].read())
    assert (len(reply["embedding"]), reply["inputTextTokenCount"]) == (256, 2)


def test_the_signature_is_checked(simulator: Running, http: httpx.Client) -> None:
    with pytest.raises(ClientError) as caught:
        made(simulator.url, "another secret").converse(modelId=MODEL, messages=user("x"))
    assert caught.value.response["Error"]["Code"] == "InvalidSignatureException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    reply = http.post(f"/model/{MODEL}/converse", json={"messages": user("x")})
    assert reply.status_code == 403
    assert reply.headers["x-amzn-errortype"].startswith("MissingAuthenticationTokenException:")
    assert http.post(f"/model/{MODEL}/converse", json={"messages": user("x")}, headers=BEARER).status_code == 200


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ValidationException"),
        (403, "AccessDeniedException"),
        (404, "ResourceNotFoundException"),
        (429, "ThrottlingException"),
        (500, "InternalServerException"),
        (503, "ServiceUnavailableException"),
    ],
)
def test_errors_have_their_names(client: Any, status: int, code: str) -> None:
    with pytest.raises(ClientError) as caught:
        client.converse(modelId=f"error-{status}", messages=user("x"))
    assert (caught.value.response["ResponseMetadata"]["HTTPStatusCode"], caught.value.response["Error"]["Code"]) == (status, code)


def test_an_error_in_a_stream_is_an_exception_frame(client: Any) -> None:
    with pytest.raises(EventStreamError, match="serviceUnavailableException"):
        list(client.converse_stream(modelId="error-in-stream", messages=user("repeat 9"))["stream"])


CALL = {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "get_weather", "input": {}}}]}
RESULT = {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [{"text": "x"}]}}]}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"max_tokens": 5}, "extraneous key [max_tokens]"),
        ({"inferenceConfig": {"topK": 5}}, "extraneous key [topK]"),
        ({"messages": [*user("x"), *user("y")]}, "alternate"),
        ({"messages": [{"role": "assistant", "content": [{"text": "x"}]}]}, "start with a user message"),
        ({"messages": user("")}, "is blank"),
        ({"messages": [*user("x"), CALL, RESULT]}, "toolConfig field must be defined"),
        ({"messages": [*user("x"), CALL, *user("y")], "toolConfig": TOOLS}, "Expected toolResult blocks"),
        ({"messages": [*user("x"), {"role": "assistant", "content": [{"text": "x"}]}, RESULT], "toolConfig": TOOLS}, "exceeds the number"),
        ({"messages": [*user("x"), CALL, RESULT], "toolConfig": TOOLS, "additionalModelRequestFields": THINKING}, "Expected `thinking`"),
        ({"toolConfig": TOOLS | {"toolChoice": {"none": {}}}}, "extraneous key [none]"),
        ({"inferenceConfig": {"temperature": 1.5}}, "temperature"),
    ],
)
def test_a_request_that_the_vendor_refuses_is_refused(http: httpx.Client, body: Any, says: str) -> None:
    reply = http.post(f"/model/{MODEL}/converse", json={"messages": user("x")} | body, headers=BEARER)
    assert reply.status_code == 400
    assert reply.headers["x-amzn-errortype"].startswith("ValidationException")
    assert says in reply.json()["message"]
