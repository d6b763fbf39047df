"""Matrix factorization with embeddings in ID tables: collisionless, hashed, or quotient-remainder."""
