"""Mistral: `POST /v1/chat/completions` and `/v1/embeddings` of api.mistral.ai, close to OpenAI but strict about every key."""
