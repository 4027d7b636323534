"""One step each: retries, cache policy, clients from settings, one call into loopline."""
