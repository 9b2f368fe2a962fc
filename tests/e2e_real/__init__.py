"""Against a real model server: llama.cpp's OpenAI server with a tiny random model. `make e2e-real`."""
