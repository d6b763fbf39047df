"""Read real logs and infer worlds from them (twins): topics, tastes, quality, and the world that they form."""
