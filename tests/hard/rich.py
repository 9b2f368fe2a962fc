"""Requests that use much of each dialect at once: what mutation tests mutate."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string", "enum": ["a", "b"]}}, "required": ["city"]}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
DATA_URL = f"data:image/png;base64,{PIXEL}"

_FUNCTION: Json = {"name": "weather", "description": "d", "parameters": SCHEMA, "strict": True}
_CALL: Json = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "a"}'}}
_IMAGE: Json = {"type": "image_url", "image_url": {"url": DATA_URL, "detail": "low"}}

CHAT: Json = {
    "messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "Look"}, _IMAGE]},
        {"role": "assistant", "content": "Well", "tool_calls": [_CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "user", "content": "And?"},
    ],
    "tools": [{"type": "function", "function": _FUNCTION}],
    "tool_choice": {"type": "function", "function": {"name": "weather"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA, "strict": True}},
    "stop": ["x"],
    "reasoning_effort": "low",
    "temperature": 0.5,
    "max_completion_tokens": 3000,
}
RESPONSES: Json = {
    "instructions": "Be short.",
    "input": [
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "Look"}, {"type": "input_image", "image_url": DATA_URL, "detail": "low"}],
        },
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "abc"},
        {"type": "message", "role": "assistant", "id": "m1", "content": [{"type": "output_text", "text": "Well", "annotations": []}]},
        {"type": "function_call", "id": "fc", "call_id": "c1", "name": "weather", "arguments": '{"city": "a"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "sql", "input": "select"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "1"}]},
        {"role": "user", "content": [{"type": "input_file", "file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}]},
    ],
    "tools": [{"type": "function", **_FUNCTION}, {"type": "custom", "name": "sql", "format": {"type": "text"}}, {"type": "web_search"}],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "weather"}]},
    "text": {"format": {"type": "json_schema", "name": "s", "schema": SCHEMA, "strict": True}, "verbosity": "low"},
    "reasoning": {"effort": "low", "summary": "auto"},
    "include": ["reasoning.encrypted_content"],
    "max_output_tokens": 3000,
    "metadata": {"a": "b"},
}
MESSAGES: Json = {
    "max_tokens": 3000,
    "system": [{"type": "text", "text": "Be short.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}, "title": "t"},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "abc"},
                {"type": "text", "text": "Well", "citations": None},
                {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "a"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "rain"}], "is_error": False},
                {"type": "text", "text": "And?"},
            ],
        },
    ],
    "tools": [{"name": "weather", "description": "d", "input_schema": SCHEMA}, {"type": "web_search_20250305", "name": "web_search"}],
    "tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
    "metadata": {"user_id": "u"},
    "stop_sequences": ["x"],
}
GEMINI: Json = {
    "systemInstruction": {"parts": [{"text": "Be short."}]},
    "contents": [
        {"role": "user", "parts": [{"text": "Look"}, {"inlineData": {"mimeType": "image/png", "data": PIXEL}}]},
        {
            "role": "model",
            "parts": [
                {"text": "hm", "thought": True},
                {"functionCall": {"name": "weather", "args": {"city": "a"}, "id": "c1"}, "thoughtSignature": "YWJj"},
            ],
        },
        {"role": "user", "parts": [{"functionResponse": {"name": "weather", "id": "c1", "response": {"result": "rain"}}}]},
        {
            "role": "model",
            "parts": [
                {"executableCode": {"language": "PYTHON", "code": "1"}},
                {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
            ],
        },
        {"role": "user", "parts": [{"text": "And?"}]},
    ],
    "tools": [{"functionDeclarations": [{"name": "weather", "description": "d", "parameters": SCHEMA}]}, {"googleSearch": {}}],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    "generationConfig": {
        "temperature": 0.5,
        "maxOutputTokens": 3000,
        "stopSequences": ["x"],
        "candidateCount": 1,
        "responseMimeType": "application/json",
        "responseSchema": SCHEMA,
        "thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True},
        "responseModalities": ["TEXT"],
        "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
    },
}
OLLAMA: Json = {
    "messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Look", "images": [PIXEL]},
        {
            "role": "assistant",
            "content": "",
            "thinking": "hm",
            "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "a"}}}],
        },
        {"role": "tool", "content": "rain", "tool_name": "weather"},
        {"role": "user", "content": "And?"},
    ],
    "tools": [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": SCHEMA}}],
    "format": SCHEMA,
    "options": {"temperature": 0.5, "num_predict": 3000, "stop": ["x"], "seed": 3, "num_ctx": 4096, "top_k": 3},
    "think": "low",
    "keep_alive": "5m",
    "logprobs": True,
    "top_logprobs": 2,
}
COHERE: Json = {
    "messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "Look"}, _IMAGE]},
        {"role": "assistant", "tool_plan": "hm", "tool_calls": [_CALL], "citations": [{"start": 0, "end": 1, "text": "h", "sources": []}]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "document", "document": {"data": {"text": "rain"}, "id": "d"}}]},
        {"role": "user", "content": "And?"},
    ],
    "tools": [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": SCHEMA}}],
    "tool_choice": "REQUIRED",
    "documents": [{"id": "d1", "data": {"title": "t", "snippet": "s"}}, "text"],
    "response_format": {"type": "json_object", "json_schema": SCHEMA},
    "citation_options": {"mode": "FAST"},
    "thinking": {"type": "enabled", "token_budget": 1024},
    "stop_sequences": ["x"],
    "k": 3,
    "p": 0.5,
    "max_tokens": 3000,
}
EMBEDS: dict[str, Json] = {
    "gemini batch": {
        "requests": [
            {
                "model": "models/m",
                "content": {"parts": [{"text": "a"}]},
                "taskType": "RETRIEVAL_QUERY",
                "outputDimensionality": 8,
                "title": "t",
            },
            {"model": "models/m", "content": {"parts": [{"text": "b"}, {"inlineData": {"mimeType": "image/png", "data": PIXEL}}]}},
        ]
    },
    "ollama embed": {"input": ["a", "b"], "options": {"num_ctx": 3}, "truncate": True, "dimensions": 8},
    "cohere embed": {
        "texts": ["a", "b"],
        "input_type": "search_query",
        "embedding_types": ["float", "int8"],
        "output_dimension": 8,
        "truncate": "END",
    },
    "loose rerank": {
        "query": "q",
        "documents": [{"text": "a", "x": 1}, "b"],
        "top_k": 1,
        "return_documents": True,
        "rank_fields": ["text"],
    },
}
RICH: dict[str, Json] = {
    "chat": CHAT,
    "responses": RESPONSES,
    "messages": MESSAGES,
    "count_tokens": {name: value for name, value in MESSAGES.items() if name not in ("max_tokens", "metadata", "stop_sequences")},
    "gemini": GEMINI,
    "gemini count": {"generateContentRequest": {"model": "models/m", **GEMINI}},
    "ollama chat": OLLAMA,
    "cohere chat": COHERE,
    **EMBEDS,
}
