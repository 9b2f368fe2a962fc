"""Ollama's native API: `/api/chat` and `/api/embed`. Its OpenAI facade at `/v1` is a case for the `openai` dialect."""
