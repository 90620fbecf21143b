"""What families and the REST engine share of the way in: limits, bodies, CORS, listening."""
