"""The OpenAI dialect: chat completions (edgegate's neutral form), legacy completions and embeddings."""
