"""The provider's side of the network: pooled HTTP/1.1 connections whose bytes are pushed, and their deadlines."""
