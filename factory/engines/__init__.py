"""The only place of `factory` that loads models: engines behind one protocol and one durable store of requests."""
