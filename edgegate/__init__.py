"""edgegate: a reverse proxy for LLM traffic.

Apps keep their SDK and the API they already speak; edgegate authenticates the caller, answers from its cache, picks a
model, rewrites the request into the provider's wire format, relays the answer as it streams, and knows what it cost.
"""

__version__ = "0.1.0"
