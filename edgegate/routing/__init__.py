"""From the model name a client asked for to the targets that may serve it."""
