"""External recommenders as policies: models of other libraries (adapter), and running services (HTTP)."""
