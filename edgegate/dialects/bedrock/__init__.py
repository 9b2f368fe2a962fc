"""Amazon Bedrock: the Converse API for chats, InvokeModel for embeddings. A provider side only."""
