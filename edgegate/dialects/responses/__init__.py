"""OpenAI's Responses: the client side (`client.py`) and the provider side (`provider.py`).

How its items lie in a chat, the same for requests and replies, so that a request comes back equal through both sides:

- Reasoning: an item is one entry per part in `message.reasoning_details`: `{type: reasoning.summary, id, summary, format, index}`,
  `{type: reasoning.text, id, text, format, index}` for its `content`, `{type: reasoning.encrypted, id, data, format, index}`;
  an item with none of these is one empty summary. `format` is `sealed.RESPONSES`. The text is also in
  `message.reasoning_content`. `index` is the item's place among the items of its turn. An item whose `encrypted_content` is a
  seal (`sealed.py`) was made here, of another provider's reasoning: it becomes that again, and no detail.
- Calls: `tool_calls[].extra_content.openai` has the item's other fields (`id`, `namespace`, `caller`, a `status` that is not
  `completed`) and, where the order is not reasoning, message, calls, its `index`. A custom tool's is `{type: custom, custom:
  {name, input}}`. Results are tool messages; other fields of theirs are in `message.extra_content.openai`.
- Messages: `message.extra_content.openai` has `id`, `phase` and, under the same condition, `index`. Where one turn has several
  message items, each has these on the first of its content parts instead.
- Every other item is a content part of its own type, with `index`: in the assistant's message if the model or the vendor made it
  (`web_search_call`), alone in a message if the app did (`computer_call_output`: user; `additional_tools`: developer). In replies
  these are `message.provider_items`, and the places of several messages `extra_content.openai.messages` (see `output.py`).
- Tools of OpenAI's own, and the fields of requests that chats do not have (`include`, `truncation`, what `reasoning` and `text`
  hold beyond effort, format and verbosity), keep their names and places.
"""
