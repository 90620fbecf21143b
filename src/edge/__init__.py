"""What the families' endpoints and the REST engine share: limits, bodies, tokens, CORS, listening."""
