"""Plan and catalog to statement."""
