"""Ollama's native API, `/api/chat`, `/api/generate`, `/api/embed` and `/api/embeddings`: the client sides for apps that speak it
to us, `OllamaProvider` for speaking it to Ollama, and `models` for what its clients ask about models. Ollama's OpenAI facade at
`/v1` is a case for the `openai` dialect."""
