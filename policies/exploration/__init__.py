"""Exploration on top of any factor model: ε-greedy, UCB and Thompson sampling."""
