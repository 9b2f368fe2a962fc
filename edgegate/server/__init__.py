"""The client's side of the network: sockets, requests in, replies out."""
